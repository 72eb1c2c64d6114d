//! What every handler can reach.

use crate::auth::Tokens;
use crate::driver::Driver;
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The server's state.
pub struct App {
    /// The relay at work.
    pub driver: Arc<Driver>,
    /// Tokens.
    pub tokens: Tokens,
    /// The database.
    pub store: Arc<dyn Store>,
    /// The server's own times.
    pub times: Times,
    /// Set at the server's end: channels close.
    pub closing: CancellationToken,
    draining: AtomicBool,
}

/// Times that tests scale.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Between comments on a control channel.
    pub channel_comment: Duration,
    /// A caller that takes nothing for this long is cut.
    pub slow_caller: Duration,
    /// A backend that sends nothing for this long is given up.
    pub backend_silence: Duration,
    /// A caller's body may pause for so long.
    pub body_idle: Duration,
}

impl Times {
    /// The documented times, multiplied.
    #[must_use]
    pub fn scaled(factor: f64) -> Self {
        let comment = Duration::from_millis(wire::limits::CHANNEL_COMMENT_MS);
        Self {
            channel_comment: comment.mul_f64(factor),
            slow_caller: crate::limits::SLOW_CALLER.mul_f64(factor),
            backend_silence: crate::limits::BACKEND_SILENCE.mul_f64(factor),
            body_idle: crate::limits::BODY_IDLE.mul_f64(factor),
        }
    }
}

impl App {
    /// The state around a driver and its store.
    #[must_use]
    pub fn new(driver: Arc<Driver>, store: Arc<dyn Store>, times: Times) -> Arc<Self> {
        Arc::new(Self {
            driver,
            tokens: Tokens::new(Arc::clone(&store)),
            store,
            times,
            closing: CancellationToken::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// Whether the server takes new work.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Refuses new work from now on and tells the publishers.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.driver.with(|relay, now, out| relay.drain(now, out));
    }
}
