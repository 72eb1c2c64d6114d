//! One registrar per folder. The first process that asks gets the lock and publishes; every other
//! one shows the first one's status and takes over when that one ends.

use crate::clock::unix_ms;
use crate::config_watch::{self as config_watch, Snapshot};
use crate::control_files::ControlFiles;
use crate::file_lock::{self, FileLock};
use crate::home::Home;
use crate::limits::{GOODBYE_REST, LOCK_EVERY, SHOW_EVERY, STATUS_EVERY, Times};
use crate::registrar::Registrar;
use crate::status::file::Writer;
use crate::status::{ConnectionState, Status, file};
use keychain::Keychain;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a host shows while it runs.
pub struct LeaderHandle {
    /// What is published, by this process or by the one that got here first.
    pub status: watch::Receiver<Status>,
    /// What the folder's configuration asks for.
    pub config: watch::Receiver<Arc<Snapshot>>,
    /// Ends after the goodbye.
    pub task: JoinHandle<()>,
}

/// Publishes, or shows who does, until `stop`.
#[must_use]
pub fn run(home: Home, keychain: Keychain, program: &str, stop: CancellationToken) -> LeaderHandle {
    home.tighten();
    let (shown, status) = watch::channel(Status::default());
    let watching = CancellationToken::new();
    let (config, mut watcher) = config_watch::start(&home, watching.clone());
    let program = program.to_owned();
    let host = Host { home, keychain, program, config: config.clone(), shown, stop };
    let task = tokio::spawn(async move {
        let mut hosted = std::pin::pin!(host.run());
        tokio::select! {
            () = &mut hosted => {
                watching.cancel();
                let _ = watcher.await;
            }
            // What is published stays so, and nothing else would say why edits do nothing.
            ended = &mut watcher => {
                tracing::error!(?ended, "config.json is not followed any more; start again");
                hosted.await;
            }
        }
    });
    LeaderHandle { status, config, task }
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
                    .send_modify(|status| status.connection = ConnectionState::Stopped { message });
            }
        }
    }

    /// Shows the other one's status until the lock is free; `None` when told to stop before.
    async fn until_ours(&self) -> Option<FileLock> {
        let (mut told, began) = (false, Instant::now());
        let silent = Times::from_env().lock_silent;
        loop {
            match file_lock::try_acquire(&self.home) {
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
            match file::read(&self.home) {
                Some(status) => self.show(status),
                None if told && began.elapsed() >= silent => self.complain(),
                None => {}
            }
            let wait = tokio::time::sleep(LOCK_EVERY);
            self.stop.run_until_cancelled(wait).await?;
        }
    }

    /// Another process has the lock and says nothing: it does not publish, and is none of ours maybe.
    fn complain(&self) {
        let message = file_lock::held_by_a_stranger(&self.home);
        let stopped = ConnectionState::Stopped { message: message.clone() };
        let told = self.shown.borrow().connection == stopped;
        if !told {
            tracing::error!("{message}");
            self.show(Status { connection: stopped, ..Status::default() });
        }
    }

    async fn publish(&self, registrar: Registrar, lock: FileLock) {
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
                () = tokio::time::sleep_until(write_at), if !written && writer.is_free() => {
                    writer.write(status.borrow().clone());
                    (written, write_at) = (true, Instant::now() + STATUS_EVERY);
                }
                () = writer.done(), if !writer.is_free() => {}
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
        // One that is under way would put the file back.
        let _ = tokio::time::timeout(GOODBYE_REST, writer.done()).await;
        file::remove(&self.home);
        drop(lock);
    }

    fn show(&self, status: Status) {
        self.shown.send_if_modified(|shown| {
            let other = Status { at: 0, ..shown.clone() } != Status { at: 0, ..status.clone() };
            *shown = status;
            other
        });
    }
}

fn write(home: &Home, status: Status) {
    let now = Status { at: unix_ms(), ..status };
    if let Err(error) = file::write(home, &now) {
        tracing::debug!(%error, "status.json cannot be written");
    }
}
