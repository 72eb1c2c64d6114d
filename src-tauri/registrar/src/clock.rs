//! The wall clock, for times that people see.

use std::time::{SystemTime, UNIX_EPOCH};

/// The current time in unix milliseconds.
#[must_use]
pub fn unix_ms() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}
