//! Distinguishes states of a file or a folder without opening it: opening would cause an event for
//! each watcher of the folder, this process included.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// Resolution of a file system's clock: two changes within this time may have the same time.
const RESOLUTION: Duration = Duration::from_secs(2);

/// Identity, length and change time of a file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    file: u64,
    bytes: u64,
    changed: SystemTime,
}

impl FileStamp {
    /// The stamp of what is at this path, behind all links; `None` if nothing is.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { file: identity(&meta), bytes: meta.len(), changed: changed(&meta)? })
    }

    /// True if every later change has another stamp. Content that is read after that is current for as
    /// long as the stamp stays the same.
    pub(crate) fn is_settled(&self) -> bool {
        self.changed.elapsed().is_ok_and(|age| age > RESOLUTION)
    }
}

/// The inode number; 0 on systems without one.
#[cfg(unix)]
pub(crate) fn identity(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
pub(crate) fn identity(_meta: &std::fs::Metadata) -> u64 {
    0
}

/// Time of the last change of content or metadata, which a program cannot set back.
#[cfg(unix)]
fn changed(meta: &std::fs::Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;
    let (seconds, nanos) = (meta.ctime().try_into().ok()?, meta.ctime_nsec().try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

#[cfg(not(unix))]
fn changed(meta: &std::fs::Metadata) -> Option<SystemTime> {
    meta.modified().ok()
}
