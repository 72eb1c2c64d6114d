//! Locks between our programs: one process publishes from a folder, and one at a time edits the
//! configuration.

use crate::home::Home;
use crate::limits::LOCK_RETRY;
use client::private_file;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// A held lock. Dropping it, or the end of the process, releases it.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Takes the folder's lock; `None` if another process holds it.
///
/// # Errors
/// The lock file cannot be created or opened.
pub fn try_acquire(home: &Home) -> io::Result<Option<FileLock>> {
    try_lock(&home.lock())
}

/// The message for a folder whose lock is held by a process that writes no status.
#[must_use]
pub fn held_by_unknown(home: &Home) -> String {
    let lock = home.lock();
    let lock = lock.display();
    format!(
        "another process holds {lock} and publishes nothing: nothing can be published from this \
         folder. `fuser {lock}` shows which process; end it, or, when it is another user's, remove \
         that file and start again"
    )
}

/// Takes the lock on this file, which is created (mode 0600) if it is missing; `None` if another
/// process holds it. A lock file of ours is closed to other users first, because a user who can open
/// it can hold it.
///
/// # Errors
/// The file cannot be created or opened.
pub fn try_lock(path: &Path) -> io::Result<Option<FileLock>> {
    let file = private_file::append(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes the lock on this file; `None` if another process still holds it after `max`. Blocks.
///
/// # Errors
/// The file cannot be created or opened.
pub(crate) fn wait(path: &Path, max: Duration) -> io::Result<Option<FileLock>> {
    let mut left = max;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(Some(lock));
        }
        if left.is_zero() {
            return Ok(None);
        }
        let pause = LOCK_RETRY.min(left);
        std::thread::sleep(pause);
        left -= pause;
    }
}

#[cfg(test)]
mod tests {
    use super::{try_lock, wait};
    use std::time::Duration;

    #[test]
    fn a_held_lock_is_waited_for_within_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = try_lock(&path).unwrap().unwrap();
        assert!(wait(&path, Duration::from_millis(60)).unwrap().is_none());
        let freed = std::thread::spawn(move || drop(held));
        assert!(wait(&path, Duration::from_secs(9)).unwrap().is_some());
        freed.join().unwrap();
    }
}
