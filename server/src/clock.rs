//! The wall clock, by which tokens expire: a correction of the system's time while the server runs
//! must take effect at once. Durations go by the monotonic clock of `relay_driver`, which never
//! jumps.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock; tests use their own.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

impl WallClock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// A clock that shows what this function returns, in unix milliseconds.
    pub fn new(shows: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(shows))
    }

    /// The time in unix milliseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}
