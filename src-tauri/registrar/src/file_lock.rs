//! Locks between programs of one person: whoever holds the folder's publishes, and whoever holds the
//! configuration's edits it.

use crate::home::Home;
use crate::limits::LOCK_AGAIN;
use client::private_file;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Held for as long as this value lives; the OS lets go of it when the process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Takes the folder's lock, or `None` when another process has it.
///
/// # Errors
/// The file system's.
pub fn try_acquire(home: &Home) -> io::Result<Option<FileLock>> {
    try_lock(&home.lock())
}

/// What to tell when the folder's lock is held and nothing says by which program of ours.
#[must_use]
pub fn held_by_a_stranger(home: &Home) -> String {
    let lock = home.lock();
    let lock = lock.display();
    format!(
        "another process holds {lock} and publishes nothing: nothing can be published from this \
         folder. `fuser {lock}` shows which process; end it, or, when it is another user's, remove \
         that file and start again"
    )
}

/// Takes the lock on this file, which is made (0600) when it is missing; `None` when another process
/// has it. Whoever can open a file can lock it, so one of ours is closed to other users first.
///
/// # Errors
/// The file system's.
pub fn try_lock(path: &Path) -> io::Result<Option<FileLock>> {
    attempt(private_file::append(path)?)
}

/// Takes the lock on this file, waiting for another process no longer than this; `None` after that.
/// Blocks.
///
/// # Errors
/// The file system's.
pub(crate) fn wait(path: &Path, at_most: Duration) -> io::Result<Option<FileLock>> {
    let mut left = at_most;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(Some(lock));
        }
        if left.is_zero() {
            return Ok(None);
        }
        let pause = LOCK_AGAIN.min(left);
        std::thread::sleep(pause);
        left -= pause;
    }
}

fn attempt(file: File) -> io::Result<Option<FileLock>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{try_lock, wait};
    use std::time::Duration;

    #[test]
    fn a_lock_that_another_holds_is_waited_for_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = try_lock(&path).unwrap().unwrap();
        assert!(wait(&path, Duration::from_millis(60)).unwrap().is_none());
        let freed = std::thread::spawn(move || drop(held));
        assert!(wait(&path, Duration::from_secs(9)).unwrap().is_some());
        freed.join().unwrap();
    }
}
