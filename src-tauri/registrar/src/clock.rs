//! The time of day, for people.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in unix milliseconds.
#[must_use]
pub fn unix_ms() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}
