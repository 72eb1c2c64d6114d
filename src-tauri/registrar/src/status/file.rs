//! `status.json`: the status for whoever has no channel to the process that publishes.

use super::Status;
use crate::home::Home;
use crate::limits::FILE;
use client::private_file;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Writes it (0600), in one step, and does not wait for the disk: after a power cut it says nothing.
///
/// # Errors
/// The file system's.
pub fn write(home: &Home, status: &Status) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(status)?;
    private_file::write_unsynced(&home.status(), &text)
}

/// Reads it; `None` when nobody publishes or the file cannot be understood.
#[must_use]
pub fn read(home: &Home) -> Option<Status> {
    let text = private_file::read(&home.status(), FILE).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Takes it away: nobody publishes any more.
pub fn remove(home: &Home) {
    let _ = std::fs::remove_file(home.status());
}

/// Writes one status after the other on a thread of its own: a slow disk must not hold up the one
/// thread that serves requests.
pub(crate) struct Writer<W> {
    write: Arc<W>,
    under_way: Option<JoinHandle<()>>,
}

impl<W: Fn(Status) + Send + Sync + 'static> Writer<W> {
    pub(crate) fn new(write: W) -> Self {
        Self { write: Arc::new(write), under_way: None }
    }

    /// Whether nothing is being written.
    pub(crate) fn is_free(&self) -> bool {
        self.under_way.is_none()
    }

    /// Begins to write; the writer must be free.
    pub(crate) fn write(&mut self, status: Status) {
        let write = Arc::clone(&self.write);
        self.under_way = Some(tokio::task::spawn_blocking(move || write(status)));
    }

    /// Waits until it is free. May be dropped and called again.
    pub(crate) async fn done(&mut self) {
        if let Some(writing) = &mut self.under_way {
            let _ = writing.await;
            self.under_way = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, Writer};
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn a_disk_that_takes_its_time_holds_up_nothing_else() {
        let (go_on, wait) = sync_channel::<()>(1);
        let (say, said) = sync_channel(1);
        let wait = parking_lot::Mutex::new(wait);
        let mut writer = Writer::new(move |_| {
            let went_on = wait.lock().recv_timeout(Duration::from_secs(5)).is_ok();
            say.send(went_on).unwrap();
        });
        writer.write(Status::default());
        assert!(!writer.is_free());
        // Everything else of this thread goes on while the disk is waited for.
        go_on.send(()).unwrap();
        writer.done().await;
        assert!(writer.is_free() && said.recv().unwrap(), "the thread waited for the disk");
    }
}
