//! One tray app per folder: a second start shows the window of the first and ends. By a lock and a
//! file, so that it works where there is no session bus too.

use crate::limits::ASKED_EVERY;
use registrar::file_lock::{self, FileLock};
use registrar::fs_events::FolderWatcher;
use registrar::home::Home;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Held by the one tray app of this folder.
pub(crate) struct Instance {
    _lock: FileLock,
    show: PathBuf,
}

/// This process is the one; or `None` when there is another, which has been asked to show itself.
pub(crate) fn claim(home: &Home) -> io::Result<Option<Instance>> {
    let show = home.tray_show();
    match file_lock::try_lock(&lock_file(home))? {
        Some(lock) => {
            let _ = std::fs::remove_file(&show);
            Ok(Some(Instance { _lock: lock, show }))
        }
        None => {
            File::create(&show)?;
            Ok(None)
        }
    }
}

/// Whether a tray app runs in this folder.
pub(crate) fn is_running(home: &Home) -> bool {
    // Taken and let go at once when nobody has it.
    file_lock::try_lock(&lock_file(home)).is_ok_and(|lock| lock.is_none())
}

fn lock_file(home: &Home) -> PathBuf {
    home.tray_lock()
}

impl Instance {
    /// Calls `show` whenever another start asks for the window.
    pub(crate) async fn follow(self, show: impl Fn()) {
        let mut watcher = FolderWatcher::default();
        loop {
            watcher.watch(&[self.show.parent().unwrap_or(&self.show)]);
            watcher.changed_within(ASKED_EVERY).await;
            if self.show.exists() {
                let _ = std::fs::remove_file(&self.show);
                show();
            }
        }
    }
}
