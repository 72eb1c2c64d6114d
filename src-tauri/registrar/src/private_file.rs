//! Files and folders that are their owner's alone: how they are opened, written and closed to other
//! users. What stands in them is known elsewhere.

use std::fs::{File, OpenOptions};
#[cfg(unix)]
use std::fs::{Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Bits of a mode that let other users in.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// All of a regular file that has at most so many bytes.
///
/// # Errors
/// It is missing, unreadable, too large, or no regular file.
pub(crate) fn read(path: &Path, at_most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(at_most + 1).read_to_end(&mut bytes)?;
    if read as u64 > at_most {
        let message = format!("it has more than {at_most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Opens a regular file for reading. A FIFO is refused: opening it could wait for ever.
///
/// # Errors
/// It is missing, unreadable, or no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, without_waiting());
    regular(options.open(path)?)
}

/// Opens a file for appending, made (0600) when it is missing. One of ours that other users may open
/// is closed to them first: they could lock it or read it.
///
/// # Errors
/// It cannot be made or opened, or it is no regular file.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(without_waiting());
    }
    let file = regular(options.open(path)?)?;
    #[cfg(unix)]
    if is_open_to_others(&file.metadata()?) && is_ours(&file.metadata()?) {
        file.set_permissions(private(0o600))?;
    }
    Ok(file)
}

/// Writes a private file (0600) in one step: whoever reads sees the old or the new one.
///
/// # Errors
/// The file system's.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = beside(path, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

/// As [`write()`], without waiting for the disk: for what is worth nothing after a power cut.
///
/// # Errors
/// The file system's.
pub(crate) fn write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    beside(path, bytes)?.persist(path).map(drop).map_err(|e| e.error)
}

/// A private file with this content in the same folder.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Makes a folder (0700), and those above it, when they are missing.
///
/// # Errors
/// The file system's.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let message = "it is no regular file but a folder, a pipe or a device";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(unix)]
fn without_waiting() -> i32 {
    nix::fcntl::OFlag::O_NONBLOCK.bits()
}

#[cfg(unix)]
fn private(mode: u32) -> Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

/// The bits of its mode that say who may do what.
#[cfg(unix)]
pub(crate) fn mode(meta: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777
}

/// Whether its mode lets other users read, write or enter it.
#[cfg(unix)]
pub(crate) fn is_open_to_others(meta: &Metadata) -> bool {
    mode(meta) & OTHERS != 0
}

/// Whether it belongs to the user as whom this process runs.
#[cfg(unix)]
pub(crate) fn is_ours(meta: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(meta) == nix::unistd::geteuid().as_raw()
}

/// How a folder was open to other users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg(unix)]
pub(crate) enum Folder {
    /// Not at all.
    Private,
    /// By this mode; it is 0700 now.
    Tightened(u32),
    /// It belongs to another user, and is left as it is.
    Foreign,
}

/// Closes a folder of ours to other users.
///
/// # Errors
/// The file system's.
#[cfg(unix)]
pub(crate) fn tighten_folder(path: &Path) -> io::Result<Folder> {
    let meta = std::fs::metadata(path)?;
    if !is_ours(&meta) {
        return Ok(Folder::Foreign);
    }
    if !is_open_to_others(&meta) {
        return Ok(Folder::Private);
    }
    std::fs::set_permissions(path, private(0o700))?;
    Ok(Folder::Tightened(mode(&meta)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::{Folder, append, is_ours, mode, open, read, tighten_folder};
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pipe_is_refused_at_once_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for refused in [open(&pipe).unwrap_err(), append(&pipe).unwrap_err()] {
            // Nobody reads: a writer hears so from the system, and no later than a reader of ours.
            assert!(!refused.to_string().is_empty());
        }
        assert!(open(&pipe).unwrap_err().to_string().contains("no regular file"));
        assert!(read(dir.path(), 9).is_err(), "a folder is no file either");
    }

    #[test]
    fn a_file_that_others_may_lock_is_closed_to_them_before_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock");
        std::fs::write(&file, "").unwrap();
        set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        append(&file).unwrap();
        assert_eq!(mode(&metadata(&file).unwrap()), 0o600);
    }

    #[test]
    fn a_folder_of_ours_is_closed_to_others_and_one_of_another_user_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(tighten_folder(dir.path()).unwrap(), Folder::Tightened(0o755));
        assert_eq!(mode(&metadata(dir.path()).unwrap()), 0o700);
        assert_eq!(tighten_folder(dir.path()).unwrap(), Folder::Private);
        // As root everything can be given away; as anybody else, the root folder is another's.
        let another = if nix::unistd::geteuid().is_root() {
            set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(dir.path(), Some(4_242), None).unwrap();
            dir.path()
        } else {
            std::path::Path::new("/")
        };
        let before = mode(&metadata(another).unwrap());
        assert!(!is_ours(&metadata(another).unwrap()));
        assert_eq!(tighten_folder(another).unwrap(), Folder::Foreign);
        assert_eq!(mode(&metadata(another).unwrap()), before);
    }
}
