//! Control requests to the process that publishes from the same folder: one file each under
//! `requests/`, which that process removes and performs. Tray and command line use it alike, and
//! nothing listens on a socket.

use crate::file_stamp::FileStamp;
use crate::fs_events::FolderWatcher;
use crate::home::Home;
use crate::limits::{REQUEST_STALE, REQUESTS_EVERY};
use client::private_file;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// Requests that are taken at once; the rest waits for the next check.
const BATCH: usize = 64;
/// The longest request in bytes.
const MAX_BYTES: u64 = 4096;

/// A control request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what")]
pub enum ControlRequest {
    /// Load the credentials again and connect now.
    Reconnect,
    /// Publish from this machine although another one holds the session.
    TakeOver,
    /// Stop a running request.
    Stop {
        /// Its id in the status.
        task: String,
    },
}

/// Sends a request.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn send(home: &Home, request: &ControlRequest) -> io::Result<()> {
    let dir = home.requests();
    private_file::create_folder(&dir)?;
    let name = format!("{}.json", uuid::Uuid::now_v7().simple());
    private_file::write_unsynced(&dir.join(name), &serde_json::to_vec(request)?)
}

/// Receives the requests of one folder.
pub(crate) struct ControlFiles {
    dir: PathBuf,
    watcher: FolderWatcher,
    next_check: Instant,
    /// The folder at the last check, if its stamp was settled.
    stamp: Option<FileStamp>,
}

impl ControlFiles {
    pub(crate) fn new(home: &Home) -> Self {
        let dir = home.requests();
        // A missing folder cannot be watched.
        let _ = private_file::create_folder(&dir);
        let mut watcher = FolderWatcher::default();
        watcher.watch(&[&dir]);
        Self { dir, watcher, next_check: Instant::now(), stamp: None }
    }

    /// Waits for requests and takes them, oldest first; returns none if none came for a while.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Vec<ControlRequest> {
        self.watcher
            .changed_within(self.next_check.saturating_duration_since(Instant::now()))
            .await;
        self.next_check = Instant::now() + REQUESTS_EVERY;
        let stamp = FileStamp::of(&self.dir).filter(FileStamp::is_settled);
        if std::mem::replace(&mut self.stamp, stamp) == stamp && stamp.is_some() {
            return Vec::new();
        }
        self.watcher.watch(&[&self.dir]);
        take(&self.dir)
    }
}

/// Removes and returns the waiting requests. Old and invalid ones are only removed.
fn take(dir: &Path) -> Vec<ControlRequest> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    files.truncate(BATCH);
    files
        .iter()
        .filter_map(|path| {
            let request = read(path);
            let _ = std::fs::remove_file(path);
            request
        })
        .collect()
}

fn read(path: &Path) -> Option<ControlRequest> {
    let meta = std::fs::metadata(path).ok()?;
    let fresh = meta.modified().ok()?.elapsed().is_ok_and(|age| age < REQUEST_STALE);
    if !fresh {
        return None;
    }
    serde_json::from_slice(&private_file::read(path, MAX_BYTES).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::{ControlRequest, send, take};
    use crate::home::Home;
    use std::time::{Duration, SystemTime};

    #[test]
    fn requests_are_taken_once_in_order_and_invalid_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        assert_eq!(take(&home.requests()), vec![]);
        let stop = ControlRequest::Stop { task: "t1".into() };
        send(&home, &stop).unwrap();
        std::fs::write(home.requests().join("0.json"), "rubbish").unwrap();
        send(&home, &ControlRequest::Reconnect).unwrap();
        assert_eq!(take(&home.requests()), vec![stop, ControlRequest::Reconnect]);
        assert_eq!(std::fs::read_dir(home.requests()).unwrap().count(), 0);
    }

    #[test]
    fn a_request_older_than_a_minute_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        send(&home, &ControlRequest::Reconnect).unwrap();
        let path = std::fs::read_dir(home.requests()).unwrap().next().unwrap().unwrap().path();
        let old = SystemTime::now() - Duration::from_secs(61);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        assert_eq!(take(&home.requests()), vec![]);
    }
}
