//! Decides when an uplink is replaced and how soon it is opened again: pure, from how the earlier ones
//! ended.

use crate::limits::{Times, UPLINK_BREAKS, UPLINK_BYTES, UPLINK_BYTES_MIN};
use std::time::Duration;

/// The limits of the next uplink. A proxy may limit the age or the size of a request.
#[derive(Debug)]
pub struct Pace {
    times: Times,
    /// Age at which an uplink is replaced.
    pub age: Duration,
    /// Size at which an uplink is replaced, in bytes.
    pub bytes: u64,
    /// Uplinks in a row that broke after they had worked.
    breaks: u32,
    /// Time until the next one is opened after a loss.
    delay: Duration,
}

impl Pace {
    /// The limits of the first uplink.
    #[must_use]
    pub fn new(times: Times) -> Self {
        let (age, bytes) = (times.uplink_age, UPLINK_BYTES);
        Self { times, age, bytes, breaks: 0, delay: Duration::ZERO }
    }

    /// An uplink ended as it should.
    pub fn confirmed(&mut self) {
        (self.breaks, self.delay) = (0, Duration::ZERO);
    }

    /// An uplink broke after this time. Returns the time until the next one is opened.
    pub fn lost(&mut self, was_used: bool, age: Duration) -> Duration {
        let has_worked = age >= self.times.uplink_again_max;
        self.breaks += u32::from(was_used || has_worked);
        if self.breaks >= UPLINK_BREAKS {
            self.breaks = 0;
            self.age = (self.age / 2).max(self.times.uplink_age_min);
            self.bytes = (self.bytes / 2).max(UPLINK_BYTES_MIN);
        }
        if has_worked {
            self.delay = Duration::ZERO;
        }
        let longer = (self.delay * 2).max(self.times.uplink_again);
        std::mem::replace(&mut self.delay, longer.min(self.times.uplink_again_max))
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use crate::limits::{Times, UPLINK_BYTES, UPLINK_BYTES_MIN};
    use std::time::Duration;

    #[test]
    fn a_lost_uplink_is_opened_again_at_once_and_then_ever_more_slowly() {
        let mut pace = Pace::new(Times::default());
        let mut lost = |age| pace.lost(false, Duration::from_secs(age)).as_millis();
        let delays: Vec<_> = (0..9).map(|_| lost(0)).collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!((lost(30), lost(0)), (0, 100), "it had worked for a while");
        pace.confirmed();
        assert_eq!(pace.lost(false, Duration::ZERO), Duration::ZERO);
        assert_eq!((pace.age, pace.bytes), (Times::default().uplink_age, UPLINK_BYTES));
    }

    #[test]
    fn three_breaks_in_a_row_halve_the_age_and_the_size_down_to_a_floor() {
        let mut pace = Pace::new(Times::default());
        let age = pace.age;
        for _ in 0..2 {
            pace.lost(true, age / 2);
            pace.lost(true, age / 2);
            pace.confirmed();
        }
        assert_eq!((pace.age, pace.bytes), (age, UPLINK_BYTES));
        for _ in 0..3 {
            pace.lost(true, age / 2);
        }
        assert_eq!((pace.age, pace.bytes), (age / 2, UPLINK_BYTES / 2));
        for _ in 0..100 {
            pace.lost(true, age / 2);
        }
        assert_eq!((pace.age, pace.bytes), (Duration::from_secs(1), UPLINK_BYTES_MIN));
    }
}
