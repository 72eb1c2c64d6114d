//! The tokens in use: a cache in front of the store, and what follows when a token dies.

use super::secret::{hash, is_well_formed};
use super::{PUBLISH, Principal, is_dead};
use crate::clock::WallClock;
use crate::http::error::ApiError;
use crate::store::{Revoked, Store, StoreError};
use parking_lot::Mutex;
use relay::OwnerId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wire::token::TokenInfo;

/// Cached tokens; above that, those that no request holds are dropped.
const CACHE: usize = 10_000;
/// `last_used` is stored in steps of a minute.
const LAST_USED_STEP_MS: u64 = 60_000;

/// The tokens in use.
pub(crate) struct Tokens {
    store: Arc<dyn Store>,
    clock: WallClock,
    cache: Mutex<Cache>,
    used: Mutex<HashMap<String, u64>>,
}

#[derive(Default)]
struct Cache {
    known: HashMap<[u8; 32], Principal>,
    /// Number of the latest revocation that has been applied.
    applied: u64,
    /// Users who may have lost their last token to publish with.
    publishers: BTreeSet<String>,
    /// Users whose tokens were all revoked.
    users: BTreeSet<String>,
}

/// Consequences of the tokens that have died.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Users without a valid token to publish with.
    pub(crate) publishers: Vec<OwnerId>,
    /// Users whose tokens were all revoked.
    pub(crate) users: Vec<String>,
}

impl Tokens {
    /// The tokens of this store, in which `applied` was the latest revocation before any token was
    /// read.
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>, clock: WallClock, applied: u64) -> Self {
        let cache = Cache { applied, ..Cache::default() };
        Self { store, clock, cache: Mutex::new(cache), used: Mutex::default() }
    }

    /// Finds the principal of a token's text.
    ///
    /// # Errors
    /// 401 if the text is malformed or unknown, or the token is revoked or has expired; 500 if the
    /// store fails.
    pub(crate) async fn principal(&self, token: &str) -> Result<Principal, ApiError> {
        if !is_well_formed(token) {
            return Err(ApiError::unauthorized("this is not a key of mcpd; check for a typo"));
        }
        let now = self.clock.now();
        let hash = hash(token);
        let cached = self.cache.lock().known.get(&hash).cloned();
        let found = match cached {
            Some(principal) => principal,
            None => self.load(hash, now).await?,
        };
        let info = &found.info;
        if info.revoked.is_some() || found.alive.is_cancelled() {
            return Err(ApiError::unauthorized("this key was revoked; ask for a new one"));
        }
        if info.expires.is_some_and(|at| at <= now) {
            return Err(ApiError::unauthorized("this key has expired; ask for a new one"));
        }
        self.used.lock().insert(info.id.clone(), now - now % LAST_USED_STEP_MS);
        Ok(found)
    }

    /// Reads the token from the store, and caches it if it is valid.
    async fn load(&self, hash: [u8; 32], now: u64) -> Result<Principal, ApiError> {
        loop {
            let applied = self.cache.lock().applied;
            let Some(info) = self.store.token(&hash).await.map_err(ApiError::internal)? else {
                return Err(ApiError::unauthorized("this key is not known here"));
            };
            let principal = Principal { info: Arc::new(info), alive: CancellationToken::new() };
            if is_dead(&principal.info, now) {
                return Ok(principal);
            }
            let mut cache = self.cache.lock();
            if cache.applied != applied {
                // A revocation was applied since the read: this token may be among the revoked
                // ones, and would stay cached for ever.
                continue;
            }
            if cache.known.len() >= CACHE {
                cache.known.retain(|_, p| Arc::strong_count(&p.info) > 1);
            }
            return Ok(cache.known.entry(hash).or_insert(principal).clone());
        }
    }

    /// Removes tokens that were revoked, by this process or another one, or have expired; ends what
    /// they hold open, and returns the further consequences.
    ///
    /// # Errors
    /// The store cannot be read. Consequences found so far are returned by the next call.
    pub(crate) async fn remove_dead(&self) -> Result<Losses, StoreError> {
        let now = self.clock.now();
        let applied = self.applied();
        let revoked = self.store.revoked_since(applied).await?;
        let candidates = self.cache.lock().remove_dead(&revoked, now);
        let mut publishers = Vec::new();
        for user in &candidates {
            if !self.store.has_token(user, PUBLISH, now).await? {
                publishers.push(OwnerId(user.as_str().into()));
            }
        }
        // Only after the last read: what a failure of the store cuts short is repeated.
        let mut cache = self.cache.lock();
        cache.publishers.retain(|user| !candidates.contains(user));
        let users = std::mem::take(&mut cache.users).into_iter().collect();
        Ok(Losses { publishers, users })
    }

    /// Number of the latest revocation that has been applied.
    #[must_use]
    pub(crate) fn applied(&self) -> u64 {
        self.cache.lock().applied
    }

    /// Stores which tokens were used since the last call.
    ///
    /// # Errors
    /// The store cannot be written; these uses are lost.
    pub(crate) async fn save_used(&self) -> Result<(), StoreError> {
        let used: Vec<(String, u64)> = self.used.lock().drain().collect();
        if used.is_empty() { Ok(()) } else { self.store.touch_tokens(&used).await }
    }
}

impl Cache {
    /// Removes and cancels dead tokens. Returns the users whose last token to publish with may have
    /// been among them.
    fn remove_dead(&mut self, revoked: &Revoked, now: u64) -> BTreeSet<String> {
        let ids: HashSet<&str> = revoked.tokens.iter().map(|info| info.id.as_str()).collect();
        let mut died: Vec<Arc<TokenInfo>> = Vec::new();
        self.known.retain(|_, principal| {
            let dies = ids.contains(principal.info.id.as_str()) || is_dead(&principal.info, now);
            if dies {
                principal.alive.cancel();
                died.push(Arc::clone(&principal.info));
            }
            !dies
        });
        let died = died.iter().map(Arc::as_ref).chain(&revoked.tokens);
        let publishers = died.filter(|info| may_publish(info)).map(|info| info.user.clone());
        self.publishers.extend(publishers);
        self.users.extend(revoked.users.iter().cloned());
        self.applied = self.applied.max(revoked.number);
        self.publishers.clone()
    }
}

fn may_publish(token: &TokenInfo) -> bool {
    token.scopes.iter().any(|scope| scope == PUBLISH)
}
