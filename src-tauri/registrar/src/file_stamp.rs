//! What tells one state of a file or a folder from another without opening it: opening wakes everybody
//! who watches the folder, ourselves among them.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// Clocks of file systems are coarse: two changes within this time may bear the same one.
const GRAIN: Duration = Duration::from_secs(2);

/// The state that was there at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    file: u64,
    bytes: u64,
    changed: SystemTime,
}

impl FileStamp {
    /// Of what is at this path, behind all links; none when nothing is.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { file: identity(&meta), bytes: meta.len(), changed: changed(&meta)? })
    }

    /// Whether every later change has another stamp. What is read after this holds for as long as the
    /// stamp does.
    pub(crate) fn is_settled(&self) -> bool {
        self.changed.elapsed().is_ok_and(|age| age > GRAIN)
    }
}

/// Which file or folder it is.
#[cfg(unix)]
pub(crate) fn identity(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
pub(crate) fn identity(_meta: &std::fs::Metadata) -> u64 {
    0
}

/// Of the content or of anything else; nobody can set that back.
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
