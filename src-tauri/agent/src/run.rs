//! `run`: the registrar in the foreground, with word to systemd where that waits for it.

use keychain::Keychain;
use registrar::home::Home;
use registrar::leader::{self, LeaderHandle};
use registrar::publish_gate::HoldReason;
use registrar::status::{ConnectionState, Status};
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use wire::names::printable;

pub(crate) async fn run(home: Home) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    // Before anything starts: a signal that comes early must not be lost.
    let signal = signal()?;
    let hosting = leader::run(home, Keychain::os(), env!("CARGO_BIN_NAME"), stop.clone());
    let LeaderHandle { mut status, task: mut host, .. } = hosting;
    tell(&[NotifyState::Ready]);
    let mut signal = std::pin::pin!(signal);
    loop {
        tokio::select! {
            () = &mut signal => break,
            // Without a host there is nothing to wait for.
            _ = &mut host => return Ok(()),
            changed = status.changed() => {
                if changed.is_err() {
                    break;
                }
                // A line break would begin a message of its own to systemd.
                let words = printable(&words(&status.borrow_and_update()));
                tell(&[NotifyState::Status(&words)]);
            }
        }
    }
    tracing::info!("stopping");
    tell(&[NotifyState::Stopping]);
    stop.cancel();
    let _ = host.await;
    Ok(())
}

fn tell(news: &[NotifyState<'_>]) {
    // Without systemd nobody listens, and that is fine.
    let _ = sd_notify::notify(news);
}

/// The connection in words.
pub(crate) fn words(status: &Status) -> String {
    let server = status.server.as_deref().unwrap_or("the server");
    match &status.connection {
        ConnectionState::Idle => "nothing is published".into(),
        ConnectionState::Held(hold) => match hold.reason {
            HoldReason::Paused => "paused: nothing is published".into(),
            HoldReason::QuietHours => "quiet hours: nothing is published".into(),
            HoldReason::OnBattery => "on battery: nothing is published".into(),
        },
        ConnectionState::NotConfigured { message } => format!("not set up: {message}"),
        ConnectionState::WaitingForKeyring => "waiting for the keyring to be unlocked".into(),
        ConnectionState::Connecting => format!("connecting to {server}"),
        ConnectionState::Online { .. } => format!("online at {server}"),
        ConnectionState::Reconnecting { message, attempt, .. } => {
            format!("reconnecting to {server} (attempt {attempt}): {message}")
        }
        ConnectionState::Stopped { message } => format!("stopped: {message}"),
    }
}

/// Ends when this program is told to end; listens from now on.
#[cfg(unix)]
pub(crate) fn signal() -> std::io::Result<impl Future<Output = ()>> {
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

/// Ends when this program is told to end.
#[cfg(not(unix))]
pub(crate) fn signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
