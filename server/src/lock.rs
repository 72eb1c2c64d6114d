//! One mcpd serves a data folder: two of them would not know of each other's names and tasks.
//! `mcpd token …` and other commands beside a running server need no lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The lock's file.
const FILE: &str = "mcpd.lock";
/// The longest text that a process id has.
const PID_BYTES: u64 = 16;

/// Held for as long as this value lives; the system lets go of it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another mcpd serves it.
    #[error(
        "another mcpd{} serves the data folder {}; stop that one first, or give this one a \
         folder of its own with --data-dir",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        .folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// The other's process id, when it could write it down.
        pid: Option<u32>,
    },
    /// The file cannot be made, or the file system has no locks.
    #[error(
        "the lock {} cannot be taken: {error}; the data folder must belong to the user who runs \
         mcpd, on a file system with locks", .file.display()
    )]
    Io {
        /// The lock's file.
        file: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// Takes the folder's lock.
///
/// # Errors
/// [`LockError`].
pub fn take(folder: &Path) -> Result<Lock, LockError> {
    let path = folder.join(FILE);
    let failed = |error| LockError::Io { file: path.clone(), error };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            // For people only: a full disk must not keep a server from its start.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(Lock { _file: file })
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.take(PID_BYTES).read_to_string(&mut text);
            Err(LockError::Taken { folder: folder.to_owned(), pid: text.trim().parse().ok() })
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{LockError, take};

    #[test]
    fn a_folder_is_locked_once_and_the_second_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        let refused = take(folder.path()).unwrap_err();
        let LockError::Taken { pid, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*pid, Some(std::process::id()));
        let said = refused.to_string();
        assert!(said.contains("--data-dir") && said.contains(folder.path().to_str().unwrap()));
        drop(first);
        take(folder.path()).unwrap();
    }
}
