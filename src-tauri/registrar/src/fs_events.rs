//! Folders that are watched for changes, as a hint to look sooner.
//!
//! Notifications stay silent on network file systems, bind mounts and exhausted limits: whoever
//! waits for one looks by itself too, after a while.

use crate::file_stamp;
use notify::{RecursiveMode, Watcher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The watched folders.
pub struct FolderWatcher {
    watcher: Option<notify::RecommendedWatcher>,
    watched: Vec<(PathBuf, Option<u64>)>,
    unreliable: bool,
    heard: Arc<Notify>,
}

impl Default for FolderWatcher {
    fn default() -> Self {
        let heard = Arc::new(Notify::new());
        let hint = Arc::clone(&heard);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading is told too: taking it for a change would never end.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                hint.notify_one();
            }
        });
        Self { unreliable: watcher.is_err(), watcher: watcher.ok(), watched: Vec::new(), heard }
    }
}

impl FolderWatcher {
    /// Watches these folders, and nothing below them; anew when one has become another folder.
    pub fn watch(&mut self, dirs: &[&Path]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let mut dirs: Vec<_> = dirs.iter().map(|dir| (dir.to_path_buf(), identity(dir))).collect();
        dirs.dedup();
        if dirs == self.watched {
            return;
        }
        for (dir, _) in &self.watched {
            let _ = watcher.unwatch(dir);
        }
        self.unreliable = false;
        for (dir, _) in &dirs {
            self.unreliable |= watcher.watch(dir, RecursiveMode::NonRecursive).is_err();
        }
        self.watched = dirs;
    }

    /// Whether the system refuses to tell of a folder: its limits are exhausted, or there is none.
    pub fn is_unreliable(&self) -> bool {
        self.unreliable
    }

    /// Waits for a change, and no longer than this; whether there was one.
    pub async fn changed_within(&self, at_most: Duration) -> bool {
        tokio::time::timeout(at_most, self.heard.notified()).await.is_ok()
    }
}

fn identity(dir: &Path) -> Option<u64> {
    std::fs::metadata(dir).ok().as_ref().map(file_stamp::identity)
}

#[cfg(test)]
mod tests {
    use super::FolderWatcher;
    use std::time::Duration;

    #[tokio::test]
    async fn reading_is_no_change_and_writing_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "{}").unwrap();
        let mut watcher = FolderWatcher::default();
        watcher.watch(&[dir.path()]);
        for _ in 0..5 {
            std::fs::read(&file).unwrap();
            std::fs::read_dir(dir.path()).unwrap().count();
        }
        assert!(!watcher.changed_within(Duration::from_millis(150)).await, "a hint came");
        std::fs::write(&file, "{ }").unwrap();
        assert!(watcher.changed_within(Duration::from_secs(2)).await, "no hint came");
    }
}
