//! Who calls: tokens, their text, their scopes, and how fast a revoked one dies.
//!
//! A token is `mcp_<kind>_` + 30 random base62 characters + 6 base62 characters of CRC32. Only its
//! SHA-256 is stored: it has 178 random bits, so a slow hash would protect nothing.

mod extract;
mod new_token;

pub(crate) use new_token::accept;
pub use new_token::create;

use crate::http::error::ApiError;
use crate::store::{Revoked, Store, StoreError};
use parking_lot::Mutex;
use rand::RngCore as _;
use relay::{Allowed, Owner, OwnerId};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wire::token::TokenInfo;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 30;
const CHECK_CHARS: usize = 6;
/// Tokens that are remembered between requests; beyond that, those not in use are forgotten.
const CACHE: usize = 10_000;
/// What a publisher is told whose token died.
pub(crate) const REVOKED: &str = "the token was revoked or has expired";
/// The scope of publishers.
const PUBLISH: &str = "publish";
/// `last_used` is kept to the minute.
const LAST_USED_STEP_MS: u64 = 60_000;

/// Who makes a request.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// The stored token.
    pub(crate) info: Arc<TokenInfo>,
    /// Cancelled when the token is revoked or expires: open streams end then.
    pub(crate) alive: CancellationToken,
}

impl Principal {
    /// As the relay knows owners.
    #[must_use]
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            id: OwnerId(self.info.user.as_str().into()),
            label: self.info.user.clone(),
            groups: self.info.groups.clone(),
        }
    }

    /// Whether the token has this very scope.
    #[must_use]
    pub(crate) fn has(&self, scope: &str) -> bool {
        self.info.scopes.iter().any(|s| s == scope)
    }

    /// Which LLMs the token may use; `None` when it may use none.
    #[must_use]
    pub(crate) fn allowed(&self) -> Option<Allowed> {
        if self.has("infer") {
            return Some(Allowed::All);
        }
        let named = self.info.scopes.iter().filter_map(|s| s.strip_prefix("infer:"));
        let names: Vec<String> = named.map(str::to_ascii_lowercase).collect();
        // A publisher may always call what it publishes.
        let own = self.has("publish").then(|| self.owner().id);
        (own.is_some() || !names.is_empty()).then_some(Allowed::Some { names, own })
    }

    /// # Errors
    /// 403 naming the scope.
    pub(crate) fn require(&self, scope: &str) -> Result<(), ApiError> {
        if self.has(scope) { Ok(()) } else { Err(ApiError::forbidden(scope)) }
    }
}

/// The tokens in use, in front of the store.
pub(crate) struct Tokens {
    store: Arc<dyn Store>,
    cache: Mutex<Cache>,
    used: Mutex<HashMap<String, u64>>,
}

#[derive(Default)]
struct Cache {
    known: HashMap<[u8; 32], Principal>,
    /// The number of the latest revocation that has been seen to.
    settled: u64,
    /// Users who may have lost their last token to publish with.
    publishers: BTreeSet<String>,
    /// Users of whom everything was revoked.
    users: BTreeSet<String>,
}

/// What follows from the tokens that have died.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Users who have no token left to publish with.
    pub(crate) owners: Vec<OwnerId>,
    /// Users of whom everything was revoked.
    pub(crate) users: Vec<String>,
}

impl Tokens {
    /// Tokens of this store, in which this was the latest revocation before anything was read.
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>, settled: u64) -> Self {
        let cache = Cache { settled, ..Cache::default() };
        Self { store, cache: Mutex::new(cache), used: Mutex::default() }
    }

    /// Whose token this is.
    pub(crate) async fn principal(&self, token: &str, now: u64) -> Result<Principal, ApiError> {
        if !is_well_formed(token) {
            return Err(ApiError::unauthorized("this is not a key of mcpd; check for a typo"));
        }
        let hash = hash(token);
        let cached = self.cache.lock().known.get(&hash).cloned();
        let found = match cached {
            Some(principal) => principal,
            None => self.look_up(hash, now).await?,
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

    /// The token in the store; kept for later requests if it is valid.
    async fn look_up(&self, hash: [u8; 32], now: u64) -> Result<Principal, ApiError> {
        loop {
            let settled = self.cache.lock().settled;
            let Some(info) = self.store.token(&hash).await.map_err(ApiError::internal)? else {
                return Err(ApiError::unauthorized("this key is not known here"));
            };
            let principal = Principal { info: Arc::new(info), alive: CancellationToken::new() };
            if is_dead(&principal.info, now) {
                return Ok(principal);
            }
            let mut cache = self.cache.lock();
            if cache.settled != settled {
                // It may have been revoked after it was read, and nobody would notice any more.
                continue;
            }
            if cache.known.len() >= CACHE {
                cache.known.retain(|_, p| Arc::strong_count(&p.info) > 1);
            }
            return Ok(cache.known.entry(hash).or_insert(principal).clone());
        }
    }

    /// Ends what the tokens that have died hold open, and says what else follows from it.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn settle(&self, now: u64) -> Result<Settled, StoreError> {
        let settled = self.settled();
        let revoked = self.store.revoked_since(settled).await?;
        let publishers = self.cache.lock().bury(&revoked, now);
        let mut owners = Vec::new();
        for user in &publishers {
            if !self.store.has_token(user, PUBLISH, now).await? {
                owners.push(OwnerId(user.as_str().into()));
            }
        }
        // Only now: what a failure of the store has cut short is done the next time.
        let mut cache = self.cache.lock();
        cache.publishers.retain(|user| !publishers.contains(user));
        let users = std::mem::take(&mut cache.users).into_iter().collect();
        Ok(Settled { owners, users })
    }

    /// The number of the latest revocation that has been seen to.
    #[must_use]
    pub(crate) fn settled(&self) -> u64 {
        self.cache.lock().settled
    }

    /// Writes down which tokens were used.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn save_used(&self) -> Result<(), StoreError> {
        let used: Vec<(String, u64)> = self.used.lock().drain().collect();
        if used.is_empty() { Ok(()) } else { self.store.touch_tokens(&used).await }
    }
}

impl Cache {
    /// Cancels what has died, and says whose last token to publish with it may have been.
    fn bury(&mut self, revoked: &Revoked, now: u64) -> BTreeSet<String> {
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
        self.settled = self.settled.max(revoked.number);
        self.publishers.clone()
    }
}

/// Whether the token is good for nothing at this time.
#[must_use]
pub(crate) fn is_dead(token: &TokenInfo, now: u64) -> bool {
    token.revoked.is_some() || token.expires.is_some_and(|at| at <= now)
}

fn may_publish(token: &TokenInfo) -> bool {
    token.scopes.iter().any(|scope| scope == PUBLISH)
}

fn generate(kind: &str) -> String {
    let mut token = format!("mcp_{kind}_");
    let mut rng = rand::rng();
    while token.len() < kind.len() + 5 + RANDOM_CHARS {
        // Bytes of 248 and more are drawn again, so that every character is as likely.
        let byte = (rng.next_u32() & 0xff) as usize;
        if byte < 248 {
            token.push(char::from(BASE62[byte % 62]));
        }
    }
    let check = check_chars(&token);
    token + &check
}

fn check_chars(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits.iter().map(|b| char::from(*b)).collect()
}

/// Whether the text can be a token at all: typing errors never reach the database.
pub(crate) fn is_well_formed(token: &str) -> bool {
    if !token.is_ascii() || token.len() > 128 {
        return false;
    }
    let Some(split) = token.len().checked_sub(CHECK_CHARS) else {
        return false;
    };
    let (text, check) = token.split_at(split);
    let parts: Vec<&str> = text.splitn(3, '_').collect();
    matches!(parts.as_slice(), ["mcp", _, random] if random.len() == RANDOM_CHARS)
        && check_chars(text) == check
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::{generate, is_well_formed};

    #[test]
    fn a_token_knows_its_own_typing_errors() {
        let token = generate("publish");
        assert!(token.starts_with("mcp_publish_") && token.len() == 12 + 36, "{token}");
        assert!(is_well_formed(&token));
        for at in 0..token.len() {
            let other = if &token[at..=at] == "x" { "y" } else { "x" };
            let typo = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(!is_well_formed(&typo), "{typo}");
        }
        assert!(!is_well_formed("") && !is_well_formed("sk-123") && !is_well_formed("mcp_é"));
    }
}
