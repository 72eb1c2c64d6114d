//! The relay's clock.

use relay::Millis;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Unix milliseconds, read once at start, plus monotonic time: never jumps while the server runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct MonotonicClock {
    origin: Instant,
    unix_ms: u64,
}

impl MonotonicClock {
    /// A clock that agrees with the wall clock now.
    pub(super) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), unix_ms: to_ms(unix) }
    }

    /// The time.
    pub(super) fn now(self) -> Millis {
        self.unix_ms + to_ms(self.origin.elapsed())
    }

    /// The instant of a time of this clock.
    pub(super) fn instant(self, at: Millis) -> Instant {
        self.origin + Duration::from_millis(at.saturating_sub(self.unix_ms))
    }
}

fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
