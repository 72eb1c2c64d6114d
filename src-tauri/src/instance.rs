//! One tray app per folder: a second start shows the window of the first and ends. By a lock and a
//! file, so that it works where there is no session bus too.

use crate::limits::ASKED_EVERY;
use registrar::hints::Hints;
use registrar::home::Home;
use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;

/// Held by the one tray app of this folder.
pub(crate) struct Instance {
    _lock: File,
    show: PathBuf,
}

/// This process is the one; or `None` when there is another, which has been asked to show itself.
pub(crate) fn claim(home: &Home) -> io::Result<Option<Instance>> {
    let show = home.dir().join("tray.show");
    let lock = File::options().create(true).append(true).open(home.dir().join("tray.lock"))?;
    match lock.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(&show);
            Ok(Some(Instance { _lock: lock, show }))
        }
        Err(TryLockError::WouldBlock) => {
            File::create(&show)?;
            Ok(None)
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a tray app runs in this folder.
pub(crate) fn is_running(home: &Home) -> bool {
    let lock = File::options().create(true).append(true).open(home.dir().join("tray.lock"));
    // Taken and let go at once when nobody has it.
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

impl Instance {
    /// Calls `show` whenever another start asks for the window.
    pub(crate) async fn follow(self, show: impl Fn()) {
        let mut hints = Hints::default();
        loop {
            hints.aim(&[self.show.parent().unwrap_or(&self.show)]);
            hints.heard(ASKED_EVERY).await;
            if self.show.exists() {
                let _ = std::fs::remove_file(&self.show);
                show();
            }
        }
    }
}
