//! `run`: publishes in the foreground and reports its state to systemd, if that started it.

use crate::signals;
use crate::status::describe_connection;
use keychain::Keychain;
use registrar::home::Home;
use registrar::leader::{self, LeaderHandle};
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use wire::names::printable;

pub(crate) async fn run(home: Home) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    // Installed before anything starts, so that an early signal is not lost.
    let mut termination = std::pin::pin!(signals::termination()?);
    let started = leader::run(home, Keychain::os(), env!("CARGO_BIN_NAME"), stop.clone());
    let LeaderHandle { mut status, task: mut leader, .. } = started;
    notify(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            () = &mut termination => break,
            _ = &mut leader => return Ok(()),
            changed = status.changed() => {
                if changed.is_err() {
                    break;
                }
                // A line break would start another systemd variable.
                let connection = printable(&describe_connection(&status.borrow_and_update()));
                notify(&[NotifyState::Status(&connection)]);
            }
        }
    }
    tracing::info!("stopping");
    notify(&[NotifyState::Stopping]);
    stop.cancel();
    let _ = leader.await;
    Ok(())
}

/// Notifies systemd; does nothing without it.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
