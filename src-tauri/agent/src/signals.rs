//! Signals that end the program.

/// Starts to listen for a termination signal; the returned future ends with the first one.
///
/// # Errors
/// The system refuses to install a signal handler.
#[cfg(unix)]
pub(crate) fn termination() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

/// Returns a future that ends with Ctrl-C.
///
/// # Errors
/// None on this platform.
#[cfg(not(unix))]
pub(crate) fn termination() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
