//! What every handler can reach.

use crate::admin::pairing::codes::Pairings;
use crate::auth::{self, Tokens};
use crate::clock::WallClock;
use crate::config::Serving;
use crate::http::body::Pace;
use crate::http::body::budget::Budget;
use crate::limits;
use crate::relay_driver::Driver;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The server's state.
pub(crate) struct App {
    /// The relay at work.
    pub(crate) relay: Arc<Driver>,
    /// Tokens.
    pub(crate) tokens: Tokens,
    /// The time that tokens live by.
    pub(crate) clock: WallClock,
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
    pub(crate) fn new(
        relay: Arc<Driver>,
        store: Arc<dyn Store>,
        tokens: Tokens,
        clock: WallClock,
        serving: &Serving,
    ) -> Arc<Self> {
        Arc::new(Self {
            relay,
            tokens,
            clock,
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

    /// Ends what tokens that have died hold open, and voids what was made for their users.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn settle_tokens(&self) -> Result<(), StoreError> {
        let settled = self.tokens.settle(self.clock.now()).await?;
        for user in &settled.users {
            self.pairings.remove_user(user);
        }
        for owner in &settled.owners {
            let reason = auth::REVOKED;
            self.relay.with(|relay, now, out| relay.revoke_owner(owner, reason, now, out));
        }
        Ok(())
    }

    /// Deletes tokens that have been dead for long.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn delete_dead_tokens(&self) -> Result<(), StoreError> {
        let by = self.clock.now().saturating_sub(limits::DEAD_TOKEN_MS);
        let mut deleted = 0;
        loop {
            let settled = self.tokens.settled();
            let step = self.store.delete_dead(by, limits::TOKEN_SWEEP_STEP, settled).await?;
            deleted += step;
            if step < u64::from(limits::TOKEN_SWEEP_STEP) {
                break;
            }
        }
        if deleted > 0 {
            tracing::info!(tokens = deleted, "tokens that died a month ago were deleted");
        }
        Ok(())
    }

    /// Refuses new work from now on and tells the publishers.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.relay.with(|relay, _, out| relay.drain(out));
    }
}

#[cfg(test)]
mod tests {
    use super::App;
    use crate::auth::{self, Tokens};
    use crate::clock::WallClock;
    use crate::config::Serving;
    use crate::limits::DEAD_TOKEN_MS;
    use crate::relay_driver::Driver;
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Store, TokenQuery};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use wire::token::CreateToken;

    #[tokio::test]
    async fn a_dead_token_is_deleted_a_month_after_its_end_and_a_living_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&dir.path().join("mcpd.db")).await.unwrap());
        let time = Arc::new(AtomicU64::new(0));
        let shows = Arc::clone(&time);
        let clock = WallClock::new(move || shows.load(Ordering::Relaxed));
        let driver = Driver::new(Arc::clone(&store), relay::Limits::default()).await.unwrap();
        let tokens = Tokens::new(Arc::clone(&store), 0);
        let app = App::new(driver, Arc::clone(&store), tokens, clock, &Serving::default());
        for (user, expires_in_seconds) in [("ever", None), ("short", Some(1)), ("gone", None)] {
            let (user, scopes) = (user.to_owned(), vec!["infer".to_owned()]);
            let wish = CreateToken { user, scopes, expires_in_seconds, ..CreateToken::default() };
            auth::create(store.as_ref(), &wish, 0).await.unwrap();
        }
        store.revoke_user("gone", 5_000).await.unwrap();
        let left = async |at: u64| {
            time.store(at, Ordering::Relaxed);
            app.settle_tokens().await.unwrap();
            app.delete_dead_tokens().await.unwrap();
            let all = TokenQuery { most: 9, ..TokenQuery::default() };
            let tokens = store.tokens(&all).await.unwrap();
            tokens.into_iter().map(|token| token.user).collect::<Vec<_>>()
        };
        assert_eq!(left(DEAD_TOKEN_MS + 999).await, ["gone", "short", "ever"]);
        assert_eq!(left(DEAD_TOKEN_MS + 1_000).await, ["gone", "ever"]);
        assert_eq!(left(DEAD_TOKEN_MS + 5_000).await, ["ever"]);
        assert_eq!(left(u64::MAX).await, ["ever"]);
        assert_eq!(store.last_revocation().await.unwrap(), 0, "nor what told of the revocation");
    }
}
