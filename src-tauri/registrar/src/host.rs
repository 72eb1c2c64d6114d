//! One registrar per folder. The first process that asks gets the lock and publishes; every other
//! one shows the first one's status and takes over when that one ends.

use crate::clock::unix_ms;
use crate::home::Home;
use crate::limits::{LOCK_EVERY, SHOW_EVERY, STATUS_EVERY};
use crate::lock::{self, Lock};
use crate::registrar::Registrar;
use crate::requests::Requests;
use crate::status::{Connection, Status, file};
use crate::watch::{self as config_watch, Snapshot};
use keychain::Keychain;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a host shows while it runs.
pub struct Hosting {
    /// What is published, by this process or by the one that got here first.
    pub status: watch::Receiver<Status>,
    /// What the folder's configuration asks for.
    pub config: watch::Receiver<Arc<Snapshot>>,
    /// Ends after the goodbye.
    pub task: JoinHandle<()>,
}

/// Publishes, or shows who does, until `stop`.
#[must_use]
pub fn run(home: Home, keychain: Keychain, program: &str, stop: CancellationToken) -> Hosting {
    let (shown, status) = watch::channel(Status::default());
    let watching = CancellationToken::new();
    let (config, watcher) = config_watch::start(&home, watching.clone());
    let program = program.to_owned();
    let host = Host { home, keychain, program, config: config.clone(), shown, stop };
    let task = tokio::spawn(async move {
        host.run().await;
        watching.cancel();
        let _ = watcher.await;
    });
    Hosting { status, config, task }
}

struct Host {
    home: Home,
    keychain: Keychain,
    program: String,
    config: watch::Receiver<Arc<Snapshot>>,
    shown: watch::Sender<Status>,
    stop: CancellationToken,
}

impl Host {
    async fn run(self) {
        let Some(lock) = self.until_ours().await else {
            return;
        };
        let (home, keychain) = (self.home.clone(), self.keychain.clone());
        match Registrar::start(home, keychain, self.config.clone(), &self.program) {
            Ok(registrar) => self.publish(registrar, lock).await,
            Err(message) => {
                tracing::error!("{message}");
                self.shown
                    .send_modify(|status| status.connection = Connection::Stopped { message });
            }
        }
    }

    /// Shows the other one's status until the lock is free; `None` when told to stop before.
    async fn until_ours(&self) -> Option<Lock> {
        let mut told = false;
        loop {
            match lock::try_acquire(&self.home) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) if !told => {
                    told = true;
                    tracing::info!(
                        "another process publishes from this folder; showing its status"
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the lock cannot be asked for"),
            }
            if let Some(status) = file::read(&self.home) {
                self.show(status);
            }
            let wait = tokio::time::sleep(LOCK_EVERY);
            self.stop.run_until_cancelled(wait).await?;
        }
    }

    async fn publish(&self, registrar: Registrar, lock: Lock) {
        let mut status = registrar.status();
        let (mut show_at, mut shown) = (Instant::now(), false);
        let (mut write_at, mut written) = (Instant::now(), false);
        let mut requests = Requests::new(&self.home);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                taken = requests.next() => {
                    for request in taken {
                        registrar.perform(&request);
                    }
                }
                () = tokio::time::sleep_until(show_at), if !shown => {
                    self.show(status.borrow_and_update().clone());
                    (shown, show_at) = (true, Instant::now() + SHOW_EVERY);
                }
                () = tokio::time::sleep_until(write_at), if !written => {
                    self.write(&status.borrow());
                    (written, write_at) = (true, Instant::now() + STATUS_EVERY);
                }
                changed = status.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    status.mark_unchanged();
                    (shown, written) = (false, false);
                }
            }
        }
        registrar.stop().await;
        file::remove(&self.home);
        drop(lock);
    }

    fn write(&self, status: &Status) {
        let now = Status { at: unix_ms(), ..status.clone() };
        if let Err(error) = file::write(&self.home, &now) {
            tracing::debug!(%error, "status.json cannot be written");
        }
    }

    fn show(&self, status: Status) {
        self.shown.send_if_modified(|shown| {
            let other = Status { at: 0, ..shown.clone() } != Status { at: 0, ..status.clone() };
            *shown = status;
            other
        });
    }
}
