//! What mcpd keeps across restarts: tokens (hashed), sessions, rows, names. Never a
//! prompt or an answer.
//!
//! [`Store`] is the seam for another database; the contract is a story that each must pass.

#[cfg(test)]
mod contract;
pub mod sqlite;

use async_trait::async_trait;
use relay::{LlmId, Saved, SavedLlm, SavedName, SavedSession, SessionId};
use wire::token::TokenInfo;

/// A failure of the database, with its cause.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {0}")]
pub struct StoreError(#[from] pub sqlx::Error);

/// One change of the relay's rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The row as it is now; `None`: deleted.
    Llm(LlmId, Option<Box<SavedLlm>>),
    /// The session as it is now; `None`: deleted.
    Session(SessionId, Option<Box<SavedSession>>),
    /// The name as it is now; `None`: it is free.
    Name(String, Option<Box<SavedName>>),
}

impl Change {
    /// True for a change that takes something away.
    #[must_use]
    pub fn deletes(&self) -> bool {
        matches!(self, Self::Llm(_, None) | Self::Session(_, None) | Self::Name(_, None))
    }
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// Everything else.
    pub info: TokenInfo,
}

/// Which tokens are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenQuery<'a> {
    /// This user's only.
    pub user: Option<&'a str>,
    /// Those made before the token with this id.
    pub after: Option<&'a str>,
    /// At most so many.
    pub most: u32,
}

/// What was revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// The number of the latest revocation among them; the one that was asked for when there is none.
    pub number: u64,
    /// The tokens.
    pub tokens: Vec<TokenInfo>,
    /// Users of whom everything was revoked.
    pub users: Vec<String>,
}

/// The database.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What an earlier run left.
    async fn load(&self) -> Result<Saved, StoreError>;
    /// All changes or none.
    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;
    /// Stores a new token.
    async fn add_token(&self, token: &StoredToken) -> Result<(), StoreError>;
    /// The token with this hash, revoked and expired ones too.
    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenInfo>, StoreError>;
    /// The token with this id, revoked and expired ones too.
    async fn token_with_id(&self, id: &str) -> Result<Option<TokenInfo>, StoreError>;
    /// Tokens, newest first.
    async fn tokens(&self, which: &TokenQuery<'_>) -> Result<Vec<TokenInfo>, StoreError>;
    /// Whether the user has a token of this scope that is valid at `now`.
    async fn has_token(&self, user: &str, scope: &str, now: u64) -> Result<bool, StoreError>;
    /// Revokes a token; false when there is none of that id. Revoking twice keeps the first time.
    async fn revoke_token(&self, id: &str, now: u64) -> Result<bool, StoreError>;
    /// Revokes everything of a user; how many tokens were valid until now.
    async fn revoke_user(&self, user: &str, now: u64) -> Result<u64, StoreError>;
    /// The number of the latest revocation; 0 when there is none.
    async fn last_revocation(&self) -> Result<u64, StoreError>;
    /// What was revoked, by this process or another one, after the revocation of this number.
    async fn revoked_since(&self, number: u64) -> Result<Revoked, StoreError>;
    /// Notes when tokens were last used.
    async fn touch_tokens(&self, used: &[(String, u64)]) -> Result<(), StoreError>;
    /// Deletes tokens that were revoked or expired by then, at most `most` of them, and forgets
    /// revocations up to this number; how many tokens were deleted.
    async fn delete_dead(&self, by: u64, most: u32, number: u64) -> Result<u64, StoreError>;
    /// The database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
