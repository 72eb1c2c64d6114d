//! Notices that the files of a certificate have changed, by polling: that sees every way of writing
//! a file, links and mounted folders included.

use super::CertificateFiles;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// State of a file: inode, size, and time of the last change of content, owner or mode. `None` if
/// it cannot be seen.
type Stamp = Option<(u64, u64, i64, i64)>;

/// State of both files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamps {
    certificate: Stamp,
    key: Stamp,
}

impl Stamps {
    pub(super) fn of(files: &CertificateFiles) -> Self {
        Self { certificate: stamp(&files.certificate), key: stamp(&files.key) }
    }
}

fn stamp(file: &Path) -> Stamp {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
}

/// Checks the files every `interval` and calls `read` when they are no longer as in `stamps`. The
/// two are written one after the other, so a change counts when the next check finds no further
/// one.
pub(super) async fn follow(
    files: &CertificateFiles,
    stamps: Stamps,
    interval: Duration,
    read: impl Fn() + Clone + Send + 'static,
) {
    let (mut last_read, mut last_seen) = (stamps, stamps);
    loop {
        tokio::time::sleep(interval).await;
        let files = files.clone();
        let Ok(now) = spawn_blocking(move || Stamps::of(&files)).await else { continue };
        if now != last_read && now == last_seen {
            last_read = now;
            let _ = spawn_blocking(read.clone()).await;
        }
        last_seen = now;
    }
}
