//! One process publishes from a folder: the first one that takes the lock. Every other one shows the
//! first one's status, and takes over when that one ends.

use crate::clock::unix_ms;
use crate::config_watch::{self, Snapshot};
use crate::control_files::ControlFiles;
use crate::file_lock::{self, FileLock};
use crate::home::Home;
use crate::limits::{SHOW_EVERY, STOP_GRACE, Times};
use crate::registrar::Registrar;
use crate::status::file::Writer;
use crate::status::{ConnectionState, Status, file};
use keychain::Keychain;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A process that publishes, or waits for its turn.
pub struct LeaderHandle {
    /// The status of the process that publishes, this one or another.
    pub status: watch::Receiver<Status>,
    /// The configuration of the folder.
    pub config: watch::Receiver<Arc<Snapshot>>,
    /// Ends when everything is withdrawn.
    pub task: JoinHandle<()>,
}

/// Publishes from this folder, or shows the status of the process that does, until `stop`.
#[must_use]
pub fn run(home: Home, keychain: Keychain, program: &str, stop: CancellationToken) -> LeaderHandle {
    home.tighten();
    let (shown, status) = watch::channel(Status::default());
    let stop_watching = CancellationToken::new();
    let (config, mut watcher) = config_watch::start(&home, stop_watching.clone());
    let program = program.to_owned();
    let leader = Leader { home, keychain, program, config: config.clone(), shown, stop };
    let task = tokio::spawn(async move {
        let mut leading = std::pin::pin!(leader.run());
        tokio::select! {
            () = &mut leading => {
                stop_watching.cancel();
                let _ = watcher.await;
            }
            // Publishing goes on, and this line is the only sign of why edits have no effect.
            ended = &mut watcher => {
                tracing::error!(?ended, "config.json is not followed any more; start again");
                leading.await;
            }
        }
    });
    LeaderHandle { status, config, task }
}

struct Leader {
    home: Home,
    keychain: Keychain,
    program: String,
    config: watch::Receiver<Arc<Snapshot>>,
    shown: watch::Sender<Status>,
    stop: CancellationToken,
}

impl Leader {
    async fn run(self) {
        let Some(lock) = self.wait_for_lock().await else {
            return;
        };
        let (home, keychain) = (self.home.clone(), self.keychain.clone());
        match Registrar::start(home, keychain, self.config.clone(), &self.program) {
            Ok(registrar) => self.publish(registrar, lock).await,
            Err(message) => {
                tracing::error!("{message}");
                let stopped = ConnectionState::Stopped { message };
                self.shown.send_modify(|status| status.connection = stopped);
            }
        }
    }

    /// Shows the other process's status until the lock is free; `None` if stopped before.
    async fn wait_for_lock(&self) -> Option<FileLock> {
        let (mut logged, began) = (false, Instant::now());
        let times = Times::from_env();
        loop {
            match file_lock::try_acquire(&self.home) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) if !logged => {
                    logged = true;
                    tracing::info!(
                        "another process publishes from this folder; showing its status"
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the lock cannot be asked for"),
            }
            match file::read(&self.home) {
                Some(status) => self.show(status),
                None if logged && began.elapsed() >= times.lock_silent => {
                    self.report_unknown_holder()
                }
                None => {}
            }
            let wait = tokio::time::sleep(times.lock_every);
            self.stop.run_until_cancelled(wait).await?;
        }
    }

    /// Another process holds the lock and writes no status: it does not publish, and may be no program
    /// of ours.
    fn report_unknown_holder(&self) {
        let message = file_lock::held_by_unknown(&self.home);
        let stopped = ConnectionState::Stopped { message: message.clone() };
        let shown = self.shown.borrow().connection == stopped;
        if !shown {
            tracing::error!("{message}");
            self.show(Status { connection: stopped, ..Status::default() });
        }
    }

    /// Publishes, performs control requests and writes the status, until stopped.
    async fn publish(&self, registrar: Registrar, lock: FileLock) {
        let status_every = Times::from_env().status_every;
        let mut status = registrar.status();
        let (mut show_at, mut shown) = (Instant::now(), false);
        let (mut write_at, mut written) = (Instant::now(), false);
        let home = self.home.clone();
        let mut writer = Writer::new(move |status| write(&home, status));
        let mut requests = ControlFiles::new(&self.home);
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
                () = tokio::time::sleep_until(write_at), if !written && writer.is_idle() => {
                    writer.start(status.borrow().clone());
                    (written, write_at) = (true, Instant::now() + status_every);
                }
                () = writer.done(), if !writer.is_idle() => {}
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
        // A write that still runs would create the file again.
        let _ = tokio::time::timeout(STOP_GRACE, writer.done()).await;
        file::remove(&self.home);
        drop(lock);
    }

    fn show(&self, status: Status) {
        self.shown.send_if_modified(|shown| {
            let changed = Status { at: 0, ..shown.clone() } != Status { at: 0, ..status.clone() };
            *shown = status;
            changed
        });
    }
}

fn write(home: &Home, status: Status) {
    let now = Status { at: unix_ms(), ..status };
    if let Err(error) = file::write(home, &now) {
        tracing::debug!(%error, "status.json cannot be written");
    }
}
