//! `status.json`: the status for whoever has no channel to the process that publishes.

use super::Status;
use crate::home::{Home, write_private};
use std::io;

/// Writes it (0600), in one step.
///
/// # Errors
/// The file system's.
pub fn write(home: &Home, status: &Status) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(status)?;
    write_private(&home.status(), &text)
}

/// Reads it; `None` when nobody publishes or the file cannot be understood.
#[must_use]
pub fn read(home: &Home) -> Option<Status> {
    let text = std::fs::read(home.status()).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Takes it away: nobody publishes any more.
pub fn remove(home: &Home) {
    let _ = std::fs::remove_file(home.status());
}
