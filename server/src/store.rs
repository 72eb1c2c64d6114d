//! The data that mcpd stores across restarts: tokens (hashed), sessions, catalogue entries, names.
//! Never a prompt or a response.
//!
//! Each database implements [`Store`] and must pass the tests in `contract`; [`open`] and the
//! functions beside it choose it by [`Location`]. To the rest of the program it is a `dyn Store`.

#[cfg(test)]
mod contract;
mod sqlite;

pub use sqlite::{Checked, Fault, OpenError};

use async_trait::async_trait;
use relay::{LlmId, Saved, SavedLlm, SavedName, SavedSession, SessionId};
use sqlite::SqliteStore;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::token::TokenInfo;

/// Name of the database file in a data folder.
const FILE: &str = "mcpd.db";

/// Place of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// An SQLite file.
    File(PathBuf),
}

impl Location {
    /// The database in a data folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self::File(folder.join(FILE))
    }
}

/// Opens the database, creates it if it is missing, and brings its tables up to date.
///
/// # Errors
/// [`OpenError`]: the database cannot be used, or a newer mcpd has changed it.
pub async fn open(location: &Location) -> Result<Arc<dyn Store>, OpenError> {
    let Location::File(file) = location;
    Ok(Arc::new(SqliteStore::open(file).await?))
}

/// As [`open`], but does not create a missing database.
///
/// # Errors
/// As [`open`]; [`Fault::Missing`] if there is no database.
pub async fn open_existing(location: &Location) -> Result<Arc<dyn Store>, OpenError> {
    let Location::File(file) = location;
    Ok(Arc::new(SqliteStore::open_existing(file).await?))
}

/// Copies the database as it is now into a new private file, also while a server uses it. Returns
/// the size of the copy in bytes.
///
/// # Errors
/// [`OpenError`] of the database, or of the copy, which must not exist yet.
pub async fn backup(location: &Location, copy: &Path) -> Result<u64, OpenError> {
    let Location::File(file) = location;
    sqlite::backup(file, copy).await
}

/// Checks the integrity of the database, also while a server uses it.
///
/// # Errors
/// [`OpenError`]: the database cannot be read.
pub async fn check(location: &Location) -> Result<Checked, OpenError> {
    let Location::File(file) = location;
    sqlite::check(file).await
}

/// A failure of the database, with its cause.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {0}")]
pub struct StoreError(#[from] pub sqlx::Error);

/// One change of the relay's data; `None` means deleted.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A catalogue entry.
    Llm(LlmId, Option<Box<SavedLlm>>),
    /// A session.
    Session(SessionId, Option<Box<SavedSession>>),
    /// A name and its owner.
    Name(String, Option<Box<SavedName>>),
}

impl Change {
    /// Returns true for a deletion.
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
    /// The rest of the token.
    pub info: TokenInfo,
}

/// Selects the tokens to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenQuery<'a> {
    /// Tokens of this user only.
    pub user: Option<&'a str>,
    /// Tokens created before the one with this id.
    pub after: Option<&'a str>,
    /// Largest number of tokens.
    pub most: u32,
}

/// Revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Number of the latest of them; the requested number if there is none.
    pub number: u64,
    /// The revoked tokens.
    pub tokens: Vec<TokenInfo>,
    /// Users whose tokens were all revoked.
    pub users: Vec<String>,
}

/// A database.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads everything that an earlier run of the relay stored.
    async fn load(&self) -> Result<Saved, StoreError>;
    /// Stores all changes or none.
    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;
    /// Stores a new token.
    async fn add_token(&self, token: &StoredToken) -> Result<(), StoreError>;
    /// Finds the token with this hash, also if it is revoked or expired.
    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenInfo>, StoreError>;
    /// Finds the token with this id, also if it is revoked or expired.
    async fn token_with_id(&self, id: &str) -> Result<Option<TokenInfo>, StoreError>;
    /// Lists tokens, newest first.
    async fn tokens(&self, which: &TokenQuery<'_>) -> Result<Vec<TokenInfo>, StoreError>;
    /// Returns true if the user has a token of this scope that is valid at `now`.
    async fn has_token(&self, user: &str, scope: &str, now: u64) -> Result<bool, StoreError>;
    /// Revokes a token. Returns false if none has this id. Revoking twice keeps the first time.
    async fn revoke_token(&self, id: &str, now: u64) -> Result<bool, StoreError>;
    /// Revokes all tokens of a user and returns how many of them were valid.
    async fn revoke_user(&self, user: &str, now: u64) -> Result<u64, StoreError>;
    /// Number of the latest revocation; 0 if there is none.
    async fn last_revocation(&self) -> Result<u64, StoreError>;
    /// Revocations after this number, by this process or another one.
    async fn revoked_since(&self, number: u64) -> Result<Revoked, StoreError>;
    /// Stores when tokens were last used: pairs of id and unix milliseconds.
    async fn touch_tokens(&self, used: &[(String, u64)]) -> Result<(), StoreError>;
    /// Deletes at most `most` tokens that were revoked or had expired at `by`, and the revocations
    /// up to this number. Returns how many tokens were deleted.
    async fn delete_dead(&self, by: u64, most: u32, number: u64) -> Result<u64, StoreError>;
    /// Checks that the database responds.
    async fn ping(&self) -> Result<(), StoreError>;
}
