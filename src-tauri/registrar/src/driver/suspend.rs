//! Detects that the machine was suspended.

use crate::limits::Times;
use crate::reconnect_policy::was_suspended;
use std::time::SystemTime;
use tokio::time::Instant;

/// Two clocks, of which the monotonic one stands still while the machine is suspended.
pub(super) struct SuspendDetector {
    wall: SystemTime,
    monotonic: Instant,
}

impl SuspendDetector {
    pub(super) fn new() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// True if the machine was suspended since the last check.
    pub(super) fn check(&mut self, times: &Times) -> bool {
        let before = std::mem::replace(self, Self::new());
        let wall = self.wall.duration_since(before.wall).unwrap_or_default();
        was_suspended(times, wall, self.monotonic - before.monotonic)
    }
}
