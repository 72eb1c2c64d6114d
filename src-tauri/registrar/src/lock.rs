//! One registrar per home: whoever holds the lock publishes.

use crate::home::Home;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;

/// Held for as long as this value lives; the OS lets go of it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock, or `None` when another process has it.
///
/// # Errors
/// The file system's.
pub fn try_acquire(home: &Home) -> io::Result<Option<Lock>> {
    let file = OpenOptions::new().create(true).append(true).open(home.lock())?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
