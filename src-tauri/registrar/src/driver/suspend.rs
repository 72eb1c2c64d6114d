//! Notices that the machine was suspended.

use crate::limits::Times;
use crate::reconnect_policy::slept;
use std::time::SystemTime;
use tokio::time::Instant;

/// The two clocks: one of them stops while the machine is suspended.
pub(super) struct SuspendDetector {
    wall: SystemTime,
    ours: Instant,
}

impl SuspendDetector {
    pub(super) fn new() -> Self {
        Self { wall: SystemTime::now(), ours: Instant::now() }
    }

    /// Whether it was, since the last check.
    pub(super) fn slept(&mut self, times: &Times) -> bool {
        let before = std::mem::replace(self, Self::new());
        let wall = self.wall.duration_since(before.wall).unwrap_or_default();
        slept(times, wall, self.ours - before.ours)
    }
}
