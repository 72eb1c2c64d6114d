//! The state that every handler can reach.

use crate::accounting::Accounting;
use crate::auth::pairing_codes::Pairings;
use crate::auth::{self, Tokens};
use crate::clock::WallClock;
use crate::config::Serving;
use crate::http::body::Bodies;
use crate::limits::{self, Times};
use crate::relay_driver::RelayDriver;
use crate::store::{Store, StoreError};
use crate::telemetry::request_log;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// The server's state.
pub(crate) struct App {
    /// The running relay.
    pub(crate) relay: Arc<RelayDriver>,
    /// Tokens in use.
    pub(crate) tokens: Tokens,
    /// Codes that become tokens.
    pub(crate) pairings: Pairings,
    /// Clock of the tokens' lifetimes.
    pub(crate) clock: WallClock,
    /// The database.
    pub(crate) store: Arc<dyn Store>,
    /// Time limits in force.
    pub(crate) times: Times,
    /// Reader of request bodies.
    pub(crate) bodies: Bodies,
    /// Receives each caller's request when it ends.
    pub(crate) accounting: Arc<Accounting>,
    /// Cancelled when the control channels close, at the end of the drain.
    pub(crate) closing: CancellationToken,
    draining: AtomicBool,
}

impl AsRef<Tokens> for App {
    fn as_ref(&self) -> &Tokens {
        &self.tokens
    }
}

impl App {
    /// The state around a relay and its store.
    #[must_use]
    pub(crate) fn new(
        relay: Arc<RelayDriver>,
        store: Arc<dyn Store>,
        tokens: Tokens,
        clock: WallClock,
        serving: &Serving,
    ) -> Arc<Self> {
        let times = Times::scaled(serving.time_scale);
        Arc::new(Self {
            relay,
            tokens,
            pairings: Pairings::default(),
            clock,
            store,
            times,
            bodies: Bodies::new(serving.body_budget, serving.body_share, &times),
            accounting: Accounting::new(vec![Box::new(request_log::write)]),
            closing: CancellationToken::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// Returns true if new work is refused.
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Ends what tokens that have died hold open: streams, published models, pairing codes.
    ///
    /// # Errors
    /// The store cannot be read; the next call repeats what is missing.
    pub(crate) async fn revoke_dead_tokens(&self) -> Result<(), StoreError> {
        let losses = self.tokens.remove_dead().await?;
        for user in &losses.users {
            self.pairings.remove_user(user);
        }
        for owner in &losses.publishers {
            let reason = auth::REVOKED;
            self.relay.with(|relay, now, out| relay.revoke_owner(owner, reason, now, out));
        }
        Ok(())
    }

    /// Deletes tokens that have been dead for [`limits::DEAD_TOKEN_MS`].
    ///
    /// # Errors
    /// The store cannot be written; the rest is deleted by the next call.
    pub(crate) async fn delete_dead_tokens(&self) -> Result<(), StoreError> {
        let by = self.clock.now().saturating_sub(limits::DEAD_TOKEN_MS);
        let mut deleted = 0;
        loop {
            let applied = self.tokens.applied();
            let step = self.store.delete_dead(by, limits::TOKEN_SWEEP_STEP, applied).await?;
            deleted += step;
            if step < u64::from(limits::TOKEN_SWEEP_STEP) {
                break;
            }
        }
        if deleted > 0 {
            tracing::info!(tokens = deleted, "deleted tokens that died a month ago");
        }
        Ok(())
    }

    /// Refuses new work from now on and asks the publishers to leave.
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
    use crate::relay_driver::RelayDriver;
    use crate::store::{self, Location, TokenQuery};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use wire::token::CreateToken;

    #[tokio::test]
    async fn a_dead_token_is_deleted_after_a_month_and_a_valid_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let store = store::open(&Location::in_folder(dir.path())).await.unwrap();
        let time = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&time);
        let clock = WallClock::new(move || shown.load(Ordering::Relaxed));
        let driver = RelayDriver::new(Arc::clone(&store), relay::Limits::default()).await.unwrap();
        let tokens = Tokens::new(Arc::clone(&store), clock.clone(), 0);
        let app = App::new(driver, Arc::clone(&store), tokens, clock, &Serving::default());
        for (user, expires_in_seconds) in [("ever", None), ("short", Some(1)), ("gone", None)] {
            let (user, scopes) = (user.to_owned(), vec!["infer".to_owned()]);
            let request =
                CreateToken { user, scopes, expires_in_seconds, ..CreateToken::default() };
            auth::create(store.as_ref(), &request, 0).await.unwrap();
        }
        store.revoke_user("gone", 5_000).await.unwrap();
        let left = async |at: u64| {
            time.store(at, Ordering::Relaxed);
            app.revoke_dead_tokens().await.unwrap();
            app.delete_dead_tokens().await.unwrap();
            let all = TokenQuery { most: 9, ..TokenQuery::default() };
            let tokens = store.tokens(&all).await.unwrap();
            tokens.into_iter().map(|token| token.user).collect::<Vec<_>>()
        };
        assert_eq!(left(DEAD_TOKEN_MS + 999).await, ["gone", "short", "ever"]);
        assert_eq!(left(DEAD_TOKEN_MS + 1_000).await, ["gone", "ever"]);
        assert_eq!(left(DEAD_TOKEN_MS + 5_000).await, ["ever"]);
        assert_eq!(left(u64::MAX).await, ["ever"]);
        assert_eq!(
            store.last_revocation().await.unwrap(),
            0,
            "the revocation itself is deleted too"
        );
    }
}
