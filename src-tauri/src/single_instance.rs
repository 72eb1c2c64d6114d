//! One tray process per folder: a second start shows the window of the first and ends. Uses a lock
//! and a file, so that it also works without a session bus.

use crate::events::{Event, EventSender};
use crate::handoff::Handoff;
use crate::limits::SECOND_START_EVERY;
use registrar::file_lock::FileLock;
use registrar::fs_events::FolderWatcher;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Held by the one tray process of a folder.
pub(crate) struct Instance {
    _lock: FileLock,
    second_start: PathBuf,
}

/// Claims the folder for this process. `None` if another one has it; that one then shows its window.
///
/// # Errors
/// The lock file or `tray.show` cannot be created.
pub(crate) fn claim(handoff: &Handoff) -> io::Result<Option<Instance>> {
    let second_start = handoff.second_start();
    match handoff.lock_tray()? {
        Some(lock) => {
            let _ = std::fs::remove_file(&second_start);
            Ok(Some(Instance { _lock: lock, second_start }))
        }
        None => {
            File::create(&second_start)?;
            Ok(None)
        }
    }
}

impl Instance {
    /// Sends [`Event::Show`] for every second start. Never returns.
    pub(crate) async fn watch_second_starts(self, events: EventSender) {
        let mut watcher = FolderWatcher::default();
        loop {
            watcher.watch(&[self.second_start.parent().unwrap_or(&self.second_start)]);
            watcher.changed_within(SECOND_START_EVERY).await;
            if self.second_start.exists() {
                let _ = std::fs::remove_file(&self.second_start);
                events.send(Event::Show(None));
            }
        }
    }
}
