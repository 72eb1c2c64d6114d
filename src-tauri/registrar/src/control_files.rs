//! What one process of a person asks of the one that publishes from the same folder: a file each
//! under `requests/`, taken away when it is done. Tray and command line ask the same way, whoever
//! publishes, and nothing listens.

use crate::file_stamp::FileStamp;
use crate::fs_events::FolderWatcher;
use crate::home::Home;
use crate::limits::{REQUEST_STALE, REQUESTS_EVERY};
use client::private_file;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// ControlFiles that are taken at once; the rest waits for the next look.
const AT_ONCE: usize = 64;
/// The longest request.
const MAX_BYTES: u64 = 4096;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what")]
pub enum ControlRequest {
    /// Look at the credentials again and connect now.
    Reconnect,
    /// Publish from here although another machine holds the session.
    TakeOver,
    /// Stop this running request.
    Stop {
        /// Its id, as the status names it.
        task: String,
    },
}

/// Asks.
///
/// # Errors
/// The file system's.
pub fn send(home: &Home, request: &ControlRequest) -> io::Result<()> {
    let dir = home.requests();
    private_file::create_folder(&dir)?;
    let name = format!("{}.json", uuid::Uuid::now_v7().simple());
    private_file::write_unsynced(&dir.join(name), &serde_json::to_vec(request)?)
}

/// Those that come.
pub(crate) struct ControlFiles {
    dir: PathBuf,
    watcher: FolderWatcher,
    look_at: Instant,
    /// The folder as it was at the last look, when that holds.
    seen: Option<FileStamp>,
}

impl ControlFiles {
    pub(crate) fn new(home: &Home) -> Self {
        let dir = home.requests();
        // Without the folder there would be nothing to watch.
        let _ = private_file::create_folder(&dir);
        let mut watcher = FolderWatcher::default();
        watcher.watch(&[&dir]);
        Self { dir, watcher, look_at: Instant::now(), seen: None }
    }

    /// The next ones, oldest first; none when none came for a while. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Vec<ControlRequest> {
        self.watcher.changed_within(self.look_at.saturating_duration_since(Instant::now())).await;
        self.look_at = Instant::now() + REQUESTS_EVERY;
        let seen = FileStamp::of(&self.dir).filter(FileStamp::is_settled);
        if std::mem::replace(&mut self.seen, seen) == seen && seen.is_some() {
            return Vec::new();
        }
        self.watcher.watch(&[&self.dir]);
        take(&self.dir)
    }
}

/// Takes those that wait. What is old or no request is taken away too.
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
    files.truncate(AT_ONCE);
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
    fn requests_are_taken_once_in_order_and_rubbish_disappears() {
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
    fn a_request_that_nobody_took_for_a_minute_is_not_meant_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        send(&home, &ControlRequest::Reconnect).unwrap();
        let path = std::fs::read_dir(home.requests()).unwrap().next().unwrap().unwrap().path();
        let old = SystemTime::now() - Duration::from_secs(61);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        assert_eq!(take(&home.requests()), vec![]);
    }
}
