//! `status.json`: the status for all processes but the one that publishes.

use super::Status;
use crate::home::Home;
use crate::limits::FILE;
use client::private_file;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Writes the status (mode 0600) in one step, without fsync: after a power cut it is worthless.
///
/// # Errors
/// The file cannot be written.
pub fn write(home: &Home, status: &Status) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(status)?;
    private_file::write_unsynced(&home.status(), &text)
}

/// Reads the status; `None` if no process publishes or the file is invalid.
#[must_use]
pub fn read(home: &Home) -> Option<Status> {
    let text = private_file::read(&home.status(), FILE).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Removes the status: no process publishes any more.
pub fn remove(home: &Home) {
    let _ = std::fs::remove_file(home.status());
}

/// Writes one status after the other on a blocking thread: a slow disk must not block the one thread
/// that serves requests.
pub(crate) struct Writer<W> {
    write: Arc<W>,
    running: Option<JoinHandle<()>>,
}

impl<W: Fn(Status) + Send + Sync + 'static> Writer<W> {
    pub(crate) fn new(write: W) -> Self {
        Self { write: Arc::new(write), running: None }
    }

    /// True if no write runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Starts a write. The writer must be idle.
    pub(crate) fn start(&mut self, status: Status) {
        let write = Arc::clone(&self.write);
        self.running = Some(tokio::task::spawn_blocking(move || write(status)));
    }

    /// Waits until the writer is idle. Cancel-safe.
    pub(crate) async fn done(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.await;
            self.running = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, Writer};
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn a_slow_disk_does_not_block_the_thread() {
        let (go_on, wait) = sync_channel::<()>(1);
        let (result, went_on) = sync_channel(1);
        let wait = parking_lot::Mutex::new(wait);
        let mut writer = Writer::new(move |_| {
            let in_time = wait.lock().recv_timeout(Duration::from_secs(5)).is_ok();
            result.send(in_time).unwrap();
        });
        writer.start(Status::default());
        assert!(!writer.is_idle());
        // The thread goes on while the write waits.
        go_on.send(()).unwrap();
        writer.done().await;
        assert!(writer.is_idle() && went_on.recv().unwrap(), "the thread waited for the disk");
    }
}
