//! Arguments and replies of events.

use crate::{ChannelId, OwnerId, SessionId};
use wire::catalogue::LlmInfo;

/// The user for whom a publisher registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Decides about ownership.
    pub id: OwnerId,
    /// Shown in the catalogue.
    pub label: String,
    /// Groups of the user, for names that are shared with `group:<group>`.
    pub groups: Vec<String>,
}

/// The publisher that sends a request about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSender {
    /// The token's user.
    pub owner: OwnerId,
    /// The session header; a protocol-1 publisher may leave it out, which means any session of its
    /// user.
    pub session: Option<SessionId>,
}

impl TaskSender {
    pub(crate) fn means(&self, session: SessionId) -> bool {
        self.session.is_none_or(|named| named == session)
    }
}

/// An opened control channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub channel: ChannelId,
    /// The session's epoch, for `hello`.
    pub epoch: u64,
    /// The protocol in force, for `hello`.
    pub protocol: u32,
}

/// A caller's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// LLM or pool, as the caller wrote it; `NAME@user` selects the one that this user serves.
    pub name: String,
    /// The caller's key, which may fill a share of a queue.
    pub key: String,
    /// The LLMs that the key may use.
    pub allowed: Allowed,
    /// The caller asked for a stream.
    pub streaming: bool,
    /// The caller takes notices while it waits.
    pub notices: bool,
}

/// The LLMs that a caller's token may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Scope `infer`.
    All,
    /// Not all.
    Some {
        /// Scopes `infer:<name>`, normalised names of LLMs or pools.
        names: Vec<String>,
        /// Scope `publish`: the LLMs of this user.
        own: Option<OwnerId>,
    },
}

impl Allowed {
    /// LLMs and pools of these names.
    #[must_use]
    pub fn names(names: Vec<String>) -> Self {
        Self::Some { names, own: None }
    }

    /// True if it covers this LLM, by its name, its pool's or its owner.
    #[must_use]
    pub fn covers(&self, name: &str, pool: Option<&str>, owner: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some { names, own } => {
                own.as_ref().is_some_and(|own| *own.0 == *owner)
                    || names.iter().any(|n| n == name || pool == Some(n))
            }
        }
    }
}

/// How a publisher's answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// All of it has arrived.
    Complete,
    /// The request of a protocol-1 publisher broke off in the middle of it.
    Aborted,
    /// The publisher broke the rules of the protocol.
    Invalid,
    /// The backend fell silent for too long.
    Silent,
}

/// The reason for which a caller is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneReason {
    /// Its connection closed.
    Disconnected,
    /// It did not read for too long.
    SlowConsumer,
    /// Its token was revoked.
    Revoked,
}

/// A catalogue entry for callers and owners.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmView {
    /// The user who publishes it.
    pub owner: OwnerId,
    /// The entry as it goes on the wire.
    pub info: LlmInfo,
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Entries in the catalogue.
    pub llms: usize,
    /// Names that belong to a user.
    pub names: usize,
    /// Known sessions.
    pub sessions: usize,
    /// Open channels.
    pub channels: usize,
    /// Waiting tasks.
    pub queued: usize,
    /// Tasks that hold a slot.
    pub running: usize,
    /// Wakes under way.
    pub waking: usize,
}
