//! The time that people's clocks show. Tokens live by it: a clock that is corrected while the server
//! runs must count at once. What lasts a while goes by the driver's clock, which never jumps.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock; tests bring their own.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

impl WallClock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// One that shows what this says, in unix milliseconds.
    pub fn new(shows: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(shows))
    }

    /// Unix milliseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}
