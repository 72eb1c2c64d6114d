//! File events of folders, as a hint to check sooner.
//!
//! Events do not arrive on network file systems and bind mounts, and not after the system's limits are
//! reached. Code that waits for them must therefore check by itself, too, after a while.

use crate::file_stamp;
use notify::{RecursiveMode, Watcher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Watches folders for changes.
pub struct FolderWatcher {
    watcher: Option<notify::RecommendedWatcher>,
    /// With the identity of each folder, which may be replaced by another one of the same name.
    watched: Vec<(PathBuf, Option<u64>)>,
    unreliable: bool,
    changed: Arc<Notify>,
}

impl Default for FolderWatcher {
    fn default() -> Self {
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reads are events too: two watchers would wake each other for ever.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                notify.notify_one();
            }
        });
        let unreliable = watcher.is_err();
        Self { watcher: watcher.ok(), watched: Vec::new(), unreliable, changed }
    }
}

impl FolderWatcher {
    /// Watches these folders and nothing below them. Call it again before each wait: it notices that a
    /// folder was replaced.
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

    /// True if the system cannot watch one of the folders: it is missing, or the limits are reached.
    pub fn is_unreliable(&self) -> bool {
        self.unreliable
    }

    /// Waits for a change; false if there is none within `max`.
    pub async fn changed_within(&self, max: Duration) -> bool {
        tokio::time::timeout(max, self.changed.notified()).await.is_ok()
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
    async fn reading_a_file_is_no_event_and_writing_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "{}").unwrap();
        let mut watcher = FolderWatcher::default();
        watcher.watch(&[dir.path()]);
        for _ in 0..5 {
            std::fs::read(&file).unwrap();
            std::fs::read_dir(dir.path()).unwrap().count();
        }
        assert!(!watcher.changed_within(Duration::from_millis(150)).await, "an event came");
        std::fs::write(&file, "{ }").unwrap();
        assert!(watcher.changed_within(Duration::from_secs(2)).await, "no event came");
    }
}
