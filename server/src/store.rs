//! What mcpd keeps across restarts: tokens (hashed), sessions, rows, names. Never a
//! prompt or an answer.
//!
//! [`Store`] is the seam for another database; the contract is a story that each must pass.

#[cfg(test)]
mod contract;
pub mod sqlite;

use async_trait::async_trait;
use relay::{LlmId, Saved, SavedLlm, SavedName, SavedSession, SessionId};
use std::collections::HashSet;
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
    /// All tokens, newest first.
    async fn tokens(&self) -> Result<Vec<TokenInfo>, StoreError>;
    /// Revokes a token; false when there is none of that id. Revoking twice keeps the first time.
    async fn revoke_token(&self, id: &str, now: u64) -> Result<bool, StoreError>;
    /// Notes when tokens were last used.
    async fn touch_tokens(&self, used: &[(String, u64)]) -> Result<(), StoreError>;
    /// Ids of the tokens that were revoked at any time or have expired by `now`. No window of time:
    /// another process revokes by its own clock.
    async fn dead_tokens(&self, now: u64) -> Result<HashSet<String>, StoreError>;
    /// The database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
