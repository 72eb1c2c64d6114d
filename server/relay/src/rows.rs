//! The rows and sessions that the relay keeps, and the small questions about them.

use crate::{ChannelId, LlmId, Millis, Owner, Relay, SessionId, TaskId};
use std::collections::{BTreeSet, VecDeque};
use wire::catalogue::LlmStatus;
use wire::publisher::{FailureCode, Instance, Provider, ReportedStatus};

/// A publisher's session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) owner: Owner,
    pub(crate) instance: Option<Instance>,
    pub(crate) epoch: u64,
    pub(crate) protocol: u32,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) last_seen: Millis,
    /// Its lease is valid; false after a server start until it is heard of.
    pub(crate) live: bool,
    pub(crate) llms: BTreeSet<LlmId>,
    /// Its next heartbeat is answered with the wish to register again.
    pub(crate) register_again: bool,
    /// Tasks dispatched to it whose slot is not given back yet.
    pub(crate) tasks: BTreeSet<TaskId>,
}

/// A row of the catalogue.
#[derive(Debug)]
pub(crate) struct Llm {
    /// Normalised; with the owner, the row's key among people.
    pub(crate) name: String,
    /// Normalised.
    pub(crate) pool: Option<String>,
    /// It has answered a request under its present names.
    pub(crate) served: bool,
    pub(crate) session: SessionId,
    pub(crate) owner: Owner,
    pub(crate) provider: Provider,
    pub(crate) reported: ReportedStatus,
    pub(crate) reason: Option<String>,
    pub(crate) since: Millis,
    pub(crate) created: Millis,
    pub(crate) queue: VecDeque<TaskId>,
    /// Slots in use.
    pub(crate) running: u32,
    pub(crate) waking: Option<Waking>,
    /// No wake before then, after one failed: until, pause, cause.
    pub(crate) cooldown: Option<Cooldown>,
    pub(crate) wake_ms: Option<u64>,
}

/// A wake under way.
#[derive(Debug, Clone)]
pub(crate) struct Waking {
    pub(crate) task: TaskId,
    pub(crate) began: Millis,
    pub(crate) until: Millis,
}

/// The pause after a failed wake.
#[derive(Debug, Clone)]
pub(crate) struct Cooldown {
    pub(crate) until: Millis,
    pub(crate) pause: u64,
    pub(crate) cause: FailureCode,
}

impl Llm {
    pub(crate) fn slots(&self) -> u32 {
        self.provider.max_concurrency.unwrap_or(1).clamp(1, wire::limits::MAX_CONCURRENCY)
    }

    pub(crate) fn max_wait_secs(&self) -> u64 {
        let declared = self.provider.wake_max_wait_seconds;
        declared
            .unwrap_or(wire::limits::WAKE_MAX_WAIT_SECS)
            .min(wire::limits::WAKE_MAX_WAIT_CAP_SECS)
    }
}

impl Relay {
    /// Whether the LLM's publisher has an open channel.
    pub(crate) fn connected(&self, llm: &Llm) -> bool {
        self.sessions.get(&llm.session).is_some_and(|s| s.live && s.channel.is_some())
    }

    /// What the catalogue says.
    pub(crate) fn status(&self, llm: &Llm) -> LlmStatus {
        if !self.sessions.get(&llm.session).is_some_and(|s| s.live) {
            return LlmStatus::Inactive;
        }
        match llm.reported {
            ReportedStatus::Active => LlmStatus::Active,
            ReportedStatus::Hibernating => LlmStatus::Hibernating,
            ReportedStatus::Inactive => LlmStatus::Inactive,
        }
    }

    /// Whether the server is so young that missing publishers may still return.
    pub(crate) fn in_grace(&self, now: Millis) -> bool {
        now < self.started + self.limits.grace
    }
}
