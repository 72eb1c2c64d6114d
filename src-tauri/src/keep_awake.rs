//! Keeps this machine awake while that is chosen and needed.

use registrar::config::settings::{KeepAwake, Settings};
use registrar::status::{ConnectionState, Status};

/// True if the settings require the machine to stay awake in this state.
pub(crate) fn is_needed(settings: &Settings, status: &Status) -> bool {
    match settings.keep_awake {
        KeepAwake::Never => false,
        KeepAwake::Answering => !status.running.is_empty(),
        KeepAwake::Publishing => matches!(status.connection, ConnectionState::Online { .. }),
    }
}

/// The desktop's lock against sleep, while it is held.
#[derive(Default)]
pub(crate) struct AwakeLock {
    wanted: bool,
    lock: Option<keepawake::KeepAwake>,
}

impl AwakeLock {
    /// Takes or releases the lock. Calls the desktop on a thread of its own, because that may block.
    pub(crate) async fn set(&mut self, wanted: bool) {
        if std::mem::replace(&mut self.wanted, wanted) == wanted {
            return;
        }
        let held = self.lock.take();
        let taken = tokio::task::spawn_blocking(move || {
            drop(held);
            wanted.then(take)
        });
        match taken.await {
            Ok(Some(Ok(lock))) => self.lock = Some(lock),
            Ok(Some(Err(error))) => tracing::warn!(%error, "this machine cannot be kept awake"),
            Ok(None) | Err(_) => {}
        }
    }
}

fn take() -> keepawake::Result<keepawake::KeepAwake> {
    keepawake::Builder::default()
        .idle(true)
        .sleep(true)
        .reason("a language model on this machine is shared")
        .app_name("mcplocal")
        .app_reverse_domain("dev.mcpctl.mcplocal")
        .create()
}
