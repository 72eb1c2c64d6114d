//! The stored state that a restart needs.

use crate::{LlmId, Millis, Owner, OwnerId, SessionId};
use wire::publisher::{Instance, Provider};

/// All that an earlier run stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Saved {
    /// Catalogue entries.
    pub llms: Vec<SavedLlm>,
    /// Sessions.
    pub sessions: Vec<SavedSession>,
    /// Names.
    pub names: Vec<SavedName>,
}

/// A catalogue entry.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedLlm {
    /// Its id, which never changes.
    pub id: LlmId,
    /// Its owner.
    pub owner: Owner,
    /// The session that published it.
    pub session: SessionId,
    /// The declaration in its last register.
    pub provider: Provider,
    /// When it was made.
    pub created: Millis,
    /// When its publisher was last seen.
    pub last_seen: Millis,
    /// Learned wake time, in milliseconds.
    pub wake_ms: Option<u64>,
}

/// A session.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedSession {
    /// The id that the publisher stores too.
    pub id: SessionId,
    /// Its owner.
    pub owner: Owner,
    /// The machine.
    pub instance: Option<Instance>,
    /// Its last epoch.
    pub epoch: u64,
    /// When its publisher was last seen.
    pub last_seen: Millis,
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedName {
    /// The normalised name.
    pub name: String,
    /// The user to whom it belongs.
    pub owner: OwnerId,
    /// With whom its owner shares it.
    pub shared_by_owner: Vec<String>,
    /// With whom an admin shares it.
    pub shared_by_admin: Vec<String>,
    /// A request was answered under it.
    pub served: bool,
    /// No entry uses it; it is its owner's until then.
    pub reserved_until: Option<Millis>,
}
