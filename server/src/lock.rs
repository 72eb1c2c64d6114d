//! The lock on a data folder: only one mcpd may serve it, because two would have separate names and
//! tasks. `mcpd token …` and other commands beside a running server need no lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Name of the lock file.
const FILE: &str = "mcpd.lock";
/// Bytes of the lock file that are read for a process id.
const PID_BYTES: u64 = 16;

/// A held lock; it is released when this value is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Reason why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another mcpd serves the folder.
    #[error(
        "another mcpd{} serves the data folder {}; stop that one first, or give this one a \
         folder of its own with --data-dir",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        .folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// The other process's id, if it could write it.
        pid: Option<u32>,
    },
    /// The file cannot be created, or the file system has no locks.
    #[error(
        "the lock {} cannot be taken: {error}; the data folder must belong to the user who runs \
         mcpd, on a file system with locks", .file.display()
    )]
    Io {
        /// The lock file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// Takes the folder's lock.
///
/// # Errors
/// [`LockError`]: another mcpd holds it, or the file cannot be created or locked.
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
            // The id is for people only: a full disk must not keep a server from starting.
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
    fn a_second_lock_on_a_folder_fails_and_names_the_process_that_holds_it() {
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
