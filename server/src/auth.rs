//! Authenticates callers and publishers: tokens, scopes, and how soon a revoked token is refused.

mod extract;
mod new_token;
pub(crate) mod pairing_codes;
pub(crate) mod secret;
mod tokens;

pub(crate) use new_token::validate;
pub use new_token::{CreateTokenError, create};
pub(crate) use tokens::Tokens;

use crate::http::error::ApiError;
use relay::{Allowed, Owner, OwnerId};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wire::token::TokenInfo;

/// Scope of administrators.
pub(crate) const ADMIN: &str = "admin";
/// Scope of publishers.
pub(crate) const PUBLISH: &str = "publish";
/// Scope of callers, for every model; `infer:<name>` is for one.
pub(crate) const INFER: &str = "infer";
/// Reason given to a publisher whose token is no longer valid.
pub(crate) const REVOKED: &str = "the token was revoked or has expired";

/// The valid token that a request was sent with.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// The stored token.
    pub(crate) info: Arc<TokenInfo>,
    /// Cancelled when the token is revoked or expires: open streams end then.
    pub(crate) alive: CancellationToken,
}

impl Principal {
    /// The token's user as an owner of published models.
    #[must_use]
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            id: OwnerId(self.info.user.as_str().into()),
            label: self.info.user.clone(),
            groups: self.info.groups.clone(),
        }
    }

    /// Returns true if the token has exactly this scope.
    #[must_use]
    pub(crate) fn has(&self, scope: &str) -> bool {
        self.info.scopes.iter().any(|s| s == scope)
    }

    /// The models that the token may call; `None` if it may call none.
    #[must_use]
    pub(crate) fn allowed(&self) -> Option<Allowed> {
        if self.has(INFER) {
            return Some(Allowed::All);
        }
        let named = self.info.scopes.iter().filter_map(|s| s.strip_prefix("infer:"));
        let names: Vec<String> = named.map(str::to_ascii_lowercase).collect();
        // A publisher may always call what it publishes.
        let own = self.has(PUBLISH).then(|| self.owner().id);
        (own.is_some() || !names.is_empty()).then_some(Allowed::Some { names, own })
    }

    /// Checks that the token has this scope.
    ///
    /// # Errors
    /// 403, naming the scope, if it does not.
    pub(crate) fn require(&self, scope: &str) -> Result<(), ApiError> {
        if self.has(scope) { Ok(()) } else { Err(ApiError::forbidden(scope)) }
    }
}

/// Returns true if the token is revoked or has expired at this time (unix milliseconds).
#[must_use]
pub(crate) fn is_dead(token: &TokenInfo, now: u64) -> bool {
    token.revoked.is_some() || token.expires.is_some_and(|at| at <= now)
}
