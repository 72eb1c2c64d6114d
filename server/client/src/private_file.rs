//! Files and folders that only their owner may use: opening, writing and restricting them. Their
//! contents are other modules' business.

use std::fs::{File, OpenOptions};
#[cfg(unix)]
use std::fs::{Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Mode bits that grant access to other users.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// Reads a whole regular file of at most `limit` bytes.
///
/// # Errors
/// It is missing, unreadable, too large, or not a regular file.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if read as u64 > limit {
        let message = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Opens a regular file for reading. A FIFO is refused: opening it could block for ever.
///
/// # Errors
/// It is missing, unreadable, or not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, non_blocking());
    check_regular(options.open(path)?)
}

/// Opens a file for appending and creates it (0600) if it is missing. If it belongs to this user
/// and is open to others, it is restricted first: they could lock or read it.
///
/// # Errors
/// It cannot be created or opened, or it is not a regular file.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(non_blocking());
    }
    let file = check_regular(options.open(path)?)?;
    #[cfg(unix)]
    if is_open_to_others(&file.metadata()?) && is_own(&file.metadata()?) {
        file.set_permissions(permissions(0o600))?;
    }
    Ok(file)
}

/// Replaces a private file (0600) atomically: a reader sees the old or the new content.
///
/// # Errors
/// The folder is missing or cannot be written, or the disk is full.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = temporary_beside(path, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

/// As [`write()`], without fsync: for content that is worthless after a power cut.
///
/// # Errors
/// The folder is missing or cannot be written, or the disk is full.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    temporary_beside(path, bytes)?.persist(path).map(drop).map_err(|e| e.error)
}

fn temporary_beside(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Creates a folder (0700) and its parents if they are missing.
///
/// # Errors
/// The folder cannot be created, or a file has its name.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn check_regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let message = "it is not a regular file but a folder, a pipe or a device";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(unix)]
fn non_blocking() -> i32 {
    nix::fcntl::OFlag::O_NONBLOCK.bits()
}

#[cfg(unix)]
fn permissions(mode: u32) -> Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

/// Returns the permission bits.
#[cfg(unix)]
#[must_use]
pub fn mode(meta: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777
}

/// True if other users may read, write or enter it.
#[cfg(unix)]
#[must_use]
pub fn is_open_to_others(meta: &Metadata) -> bool {
    mode(meta) & OTHERS != 0
}

/// True if it belongs to the user this process runs as.
#[cfg(unix)]
#[must_use]
pub fn is_own(meta: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(meta) == nix::unistd::geteuid().as_raw()
}

/// Result of [`restrict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg(unix)]
pub enum Access {
    /// It was private before.
    Private,
    /// It had this mode, and is private now.
    Restricted(u32),
    /// It belongs to another user, and is unchanged.
    Foreign,
}

/// Gives a file or folder this mode if it belongs to this user and is open to others.
///
/// # Errors
/// It is missing, or its mode cannot be read or changed.
#[cfg(unix)]
pub fn restrict(path: &Path, private: u32) -> io::Result<Access> {
    let meta = std::fs::metadata(path)?;
    if !is_own(&meta) {
        return Ok(Access::Foreign);
    }
    if !is_open_to_others(&meta) {
        return Ok(Access::Private);
    }
    std::fs::set_permissions(path, permissions(private))?;
    Ok(Access::Restricted(mode(&meta)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::{Access, append, is_own, mode, open, read, restrict};
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for refused in [open(&pipe).unwrap_err(), append(&pipe).unwrap_err()] {
            // Without a reader, opening for writing fails in the system itself.
            assert!(!refused.to_string().is_empty());
        }
        assert!(open(&pipe).unwrap_err().to_string().contains("not a regular file"));
        assert!(read(dir.path(), 9).is_err(), "a folder is not a regular file");
    }

    #[test]
    fn a_file_that_others_may_lock_is_restricted_before_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock");
        std::fs::write(&file, "").unwrap();
        set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        append(&file).unwrap();
        assert_eq!(mode(&metadata(&file).unwrap()), 0o600);
    }

    #[test]
    fn an_own_folder_is_restricted_and_a_foreign_one_is_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(restrict(dir.path(), 0o700).unwrap(), Access::Restricted(0o755));
        assert_eq!(mode(&metadata(dir.path()).unwrap()), 0o700);
        assert_eq!(restrict(dir.path(), 0o700).unwrap(), Access::Private);
        // Root can give a folder away; for other users, `/` is foreign.
        let foreign = if nix::unistd::geteuid().is_root() {
            set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(dir.path(), Some(4_242), None).unwrap();
            dir.path()
        } else {
            std::path::Path::new("/")
        };
        let before = mode(&metadata(foreign).unwrap());
        assert!(!is_own(&metadata(foreign).unwrap()));
        assert_eq!(restrict(foreign, 0o700).unwrap(), Access::Foreign);
        assert_eq!(mode(&metadata(foreign).unwrap()), before);
    }
}
