//! Who calls: tokens, their text, their scopes, and how fast a revoked one dies.
//!
//! A token is `mcp_<kind>_` + 30 random base62 characters + 6 base62 characters of CRC32. Only its
//! SHA-256 is stored: it has 178 random bits, so a slow hash would protect nothing.

mod extract;

use crate::error::ApiError;
use crate::store::{Store, StoreError, StoredToken};
use parking_lot::Mutex;
use rand::RngCore as _;
use relay::{Allowed, Owner, OwnerId};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wire::token::{CreateToken, CreatedToken, TokenInfo};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 30;
const CHECK_CHARS: usize = 6;
/// Tokens that are remembered between requests; beyond that, those not in use are forgotten.
const CACHE: usize = 10_000;
/// What a publisher is told whose token died.
pub(crate) const REVOKED: &str = "the token was revoked or has expired";
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
            id: OwnerId(self.info.user.clone()),
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
    cache: Mutex<HashMap<[u8; 32], Principal>>,
    used: Mutex<HashMap<String, u64>>,
}

impl Tokens {
    /// Tokens of this store.
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cache: Mutex::default(), used: Mutex::default() }
    }

    /// Whose token this is.
    pub(crate) async fn principal(&self, token: &str, now: u64) -> Result<Principal, ApiError> {
        if !is_well_formed(token) {
            return Err(ApiError::unauthorized("this is not a key of mcpd; check for a typo"));
        }
        let hash = hash(token);
        let cached = self.cache.lock().get(&hash).cloned();
        let found = match cached {
            Some(principal) => principal,
            None => self.look_up(hash).await?,
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

    async fn look_up(&self, hash: [u8; 32]) -> Result<Principal, ApiError> {
        let Some(info) = self.store.token(&hash).await.map_err(ApiError::internal)? else {
            return Err(ApiError::unauthorized("this key is not known here"));
        };
        let principal = Principal { info: Arc::new(info), alive: CancellationToken::new() };
        let mut cache = self.cache.lock();
        if cache.len() >= CACHE {
            cache.retain(|_, p| Arc::strong_count(&p.info) > 1);
        }
        Ok(cache.entry(hash).or_insert(principal).clone())
    }

    /// Ends what the tokens that have died hold open, and returns those of their users who have no
    /// other token to publish with.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn settle(&self, now: u64) -> Result<Vec<OwnerId>, StoreError> {
        let dead = self.store.dead_tokens(now).await?;
        let mut died = Vec::new();
        self.cache.lock().retain(|_, principal| {
            let dies = dead.contains(&principal.info.id);
            if dies {
                principal.alive.cancel();
                died.push(Arc::clone(&principal.info));
            }
            !dies
        });
        died.retain(|info| may_publish(info));
        if died.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.store.tokens().await?;
        let left = |user: &str| {
            all.iter().any(|t| t.user == user && may_publish(t) && !dead.contains(&t.id))
        };
        died.retain(|info| !left(&info.user));
        Ok(died.iter().map(|info| OwnerId(info.user.clone())).collect())
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

fn may_publish(token: &TokenInfo) -> bool {
    token.scopes.iter().any(|scope| scope == "publish")
}

/// Checks a wish for a token, makes it and stores its hash.
///
/// # Errors
/// 400 for a bad wish; the store's failure.
pub async fn create(
    store: &dyn Store,
    wish: &CreateToken,
    now: u64,
) -> Result<CreatedToken, ApiError> {
    check(wish).map_err(|why| ApiError::invalid(why, None))?;
    let kind = match wish.scopes.as_slice() {
        [one] => one.split(':').next().unwrap_or("key"),
        _ => "key",
    };
    let token = generate(kind);
    let info = TokenInfo {
        id: uuid::Uuid::now_v7().simple().to_string(),
        user: wish.user.trim().to_owned(),
        label: wish.label.clone().unwrap_or_default(),
        scopes: wish.scopes.clone(),
        groups: wish.groups.clone(),
        created: now,
        expires: wish.expires_in_seconds.map(|secs| now + secs.saturating_mul(1000)),
        last_used: None,
        revoked: None,
    };
    let stored = StoredToken { hash: hash(&token), info: info.clone() };
    store.add_token(&stored).await.map_err(ApiError::internal)?;
    Ok(CreatedToken { token, info })
}

/// Whether such a token can be made.
///
/// # Errors
/// What is wrong with the wish.
pub(crate) fn check(wish: &CreateToken) -> Result<(), String> {
    if wish.user.trim().is_empty() {
        return Err("`user` must name whom the token acts for".into());
    }
    if wish.scopes.is_empty() {
        return Err("`scopes` must have at least one of infer, infer:<name>, publish, admin".into());
    }
    for scope in &wish.scopes {
        match scope.split_once(':') {
            Some(("infer", name)) => {
                wire::names::normalise(name).map_err(|why| format!("scope {scope:?}: {why}"))?;
            }
            None if matches!(scope.as_str(), "infer" | "publish" | "admin") => {}
            Some(_) | None => {
                return Err(format!(
                    "scope {scope:?} is not known; use infer, infer:<name>, publish or admin"
                ));
            }
        }
    }
    Ok(())
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
    use super::{check, generate, is_well_formed};
    use wire::token::CreateToken;

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

    #[test]
    fn a_wish_with_an_unknown_scope_is_refused_by_its_name() {
        let wish = |scope: &str| CreateToken {
            user: "mia".into(),
            scopes: vec![scope.into()],
            ..CreateToken::default()
        };
        for good in ["infer", "infer:qwen3:8b", "publish", "admin"] {
            assert_eq!(check(&wish(good)), Ok(()));
        }
        for bad in ["root", "publish:x", "infer:", "INFER"] {
            assert!(check(&wish(bad)).unwrap_err().contains("scope"), "{bad}");
        }
    }
}
