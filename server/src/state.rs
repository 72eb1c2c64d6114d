//! What every handler can reach.

use crate::auth::{self, Tokens};
use crate::body::Pace;
use crate::body::budget::Budget;
use crate::config::Serving;
use crate::driver::Driver;
use crate::pairing::codes::Pairings;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The server's state.
pub(crate) struct App {
    /// The relay at work.
    pub(crate) driver: Arc<Driver>,
    /// Tokens.
    pub(crate) tokens: Tokens,
    /// Codes that become tokens.
    pub(crate) pairings: Pairings,
    /// The database.
    pub(crate) store: Arc<dyn Store>,
    /// The server's own times.
    pub(crate) times: Times,
    /// What request bodies may hold at once.
    pub(crate) budget: Arc<Budget>,
    /// Set at the server's end: channels close.
    pub(crate) closing: CancellationToken,
    draining: AtomicBool,
}

/// Times that tests scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Between comments on a control channel.
    pub(crate) channel_comment: Duration,
    /// A peer whose socket takes nothing for this long is cut.
    pub(crate) slow_caller: Duration,
    /// A backend that sends nothing for this long is given up.
    pub(crate) backend_silence: Duration,
    /// A body may pause for so long; a control body has no more in all.
    pub(crate) body_idle: Duration,
    /// How long a larger body may take.
    pub(crate) body: Pace,
    /// A connection without a valid key must have brought a request within this time.
    pub(crate) unproven: Duration,
    /// Request line and headers must arrive within this time.
    pub(crate) header_wait: Duration,
    /// Running answers get so long at the server's end.
    pub(crate) drain: Duration,
}

impl Times {
    /// The documented times, multiplied.
    #[must_use]
    pub(crate) fn scaled(factor: f64) -> Self {
        let comment = Duration::from_millis(wire::limits::CHANNEL_COMMENT_MS);
        let idle = crate::limits::BODY_IDLE.mul_f64(factor);
        let mib = Duration::from_secs((1 << 20) / crate::limits::BODY_RATE);
        let body = Pace {
            idle,
            base: crate::limits::BODY_BASE.mul_f64(factor),
            per_mib: mib.mul_f64(factor),
        };
        Self {
            channel_comment: comment.mul_f64(factor),
            slow_caller: crate::limits::SLOW_CALLER.mul_f64(factor),
            backend_silence: crate::limits::BACKEND_SILENCE.mul_f64(factor),
            body_idle: idle,
            body,
            unproven: crate::limits::UNPROVEN.mul_f64(factor),
            header_wait: crate::limits::HEADER_WAIT.mul_f64(factor),
            drain: crate::limits::DRAIN.mul_f64(factor),
        }
    }
}

impl App {
    /// The state around a driver and its store.
    #[must_use]
    pub(crate) fn new(driver: Arc<Driver>, store: Arc<dyn Store>, serving: &Serving) -> Arc<Self> {
        Arc::new(Self {
            driver,
            tokens: Tokens::new(Arc::clone(&store)),
            pairings: Pairings::default(),
            store,
            times: Times::scaled(serving.time_scale),
            budget: Budget::new(serving.body_budget, serving.body_share),
            closing: CancellationToken::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// Whether the server takes new work.
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Ends what tokens that have died hold open.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn settle_tokens(&self) -> Result<(), StoreError> {
        let now = self.driver.now();
        for owner in self.tokens.settle(now).await? {
            let reason = auth::REVOKED;
            self.driver.with(|relay, now, out| relay.revoke_owner(&owner, reason, now, out));
        }
        Ok(())
    }

    /// Refuses new work from now on and tells the publishers.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.driver.with(|relay, now, out| relay.drain(now, out));
    }
}
