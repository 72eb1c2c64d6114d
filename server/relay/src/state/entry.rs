//! One LLM of the catalogue.

use crate::{Limits, Millis, Owner, SavedLlm, SessionId};
use wire::publisher::{FailureCode, Provider, ReportedStatus};

/// The reason of an entry that is inactive after a start.
const NOT_RETURNED: &str = "its publisher has not returned since the server's start";

/// An LLM and its state. Name, pool, owner and session change through the catalogue only, which has
/// indexes of them.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) name: String,
    pub(super) pool: Option<String>,
    pub(super) owner: Owner,
    pub(super) session: SessionId,
    pub(super) provider: Provider,
    /// It has answered a request under its present names.
    pub(super) served: bool,
    reported: ReportedStatus,
    reason: Option<String>,
    since: Millis,
    created: Millis,
    /// Learned wake time, in milliseconds.
    wake_ms: Option<u64>,
    cooldown: Option<Cooldown>,
}

/// The pause after a failed wake. It stays when it is over, so that the next one is longer.
#[derive(Debug, Clone)]
pub(crate) struct Cooldown {
    until: Millis,
    pause: u64,
    /// The cause of the failed wake.
    pub(crate) cause: FailureCode,
}

impl Cooldown {
    /// Seconds until the next wake may start.
    pub(crate) fn left_secs(&self, now: Millis) -> u64 {
        self.until.saturating_sub(now).div_ceil(1000)
    }
}

impl Entry {
    /// A new entry, inactive until its status is set. `name` and `pool` are normalised.
    pub(crate) fn new(
        name: String,
        pool: Option<String>,
        owner: Owner,
        session: SessionId,
        provider: Provider,
        now: Millis,
    ) -> Self {
        Self {
            name,
            pool,
            owner,
            session,
            provider,
            served: false,
            reported: ReportedStatus::Inactive,
            reason: None,
            since: now,
            created: now,
            wake_ms: None,
            cooldown: None,
        }
    }

    /// An entry of an earlier run, inactive until its publisher returns.
    pub(crate) fn restored(saved: SavedLlm, started: Millis) -> Self {
        let name = saved.provider.name.to_ascii_lowercase();
        let pool = saved.provider.pool.as_ref().map(|pool| pool.to_ascii_lowercase());
        let entry = Self::new(name, pool, saved.owner, saved.session, saved.provider, started);
        Self {
            reason: Some(NOT_RETURNED.to_owned()),
            created: saved.created,
            wake_ms: saved.wake_ms,
            ..entry
        }
    }

    /// Its normalised name, unique among its owner's entries.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its normalised pool.
    pub(crate) fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The session that publishes it.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// The declaration in its publisher's register.
    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The names that select it: its own, and its pool's.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        let pool = self.pool.as_ref().filter(|pool| **pool != self.name);
        std::iter::once(&self.name).chain(pool)
    }

    /// Requests that its backend takes at once.
    pub(crate) fn slots(&self) -> u32 {
        self.provider.max_concurrency.unwrap_or(1).clamp(1, wire::limits::MAX_CONCURRENCY)
    }

    /// Time limit of its recipe, in seconds.
    pub(crate) fn max_wait_secs(&self) -> u64 {
        let declared = self.provider.wake_max_wait_seconds;
        declared
            .unwrap_or(wire::limits::WAKE_MAX_WAIT_SECS)
            .min(wire::limits::WAKE_MAX_WAIT_CAP_SECS)
    }

    /// True if its publisher declared a recipe.
    pub(crate) fn has_recipe(&self) -> bool {
        self.provider.wake_max_wait_seconds.is_some()
    }

    /// The backend's state as its publisher reported it last.
    pub(crate) fn reported(&self) -> ReportedStatus {
        self.reported
    }

    /// The reason of its status, in words.
    pub(crate) fn reason(&self) -> Option<&String> {
        self.reason.as_ref()
    }

    /// When its status last changed.
    pub(crate) fn since(&self) -> Millis {
        self.since
    }

    /// When it was made.
    pub(crate) fn created(&self) -> Millis {
        self.created
    }

    /// The learned wake time, in milliseconds.
    pub(crate) fn wake_ms(&self) -> Option<u64> {
        self.wake_ms
    }

    /// The pause after a failed wake, while it lasts.
    pub(crate) fn cooldown(&self, now: Millis) -> Option<&Cooldown> {
        self.cooldown.as_ref().filter(|pause| now < pause.until)
    }

    /// Its backend is down, with a recipe (hibernating) or without one (inactive).
    pub(crate) fn mark_down(&mut self, status: ReportedStatus, now: Millis) {
        if self.reported != status {
            self.reported = status;
            self.since = now;
            self.reason = reason_for(status);
        }
    }

    /// Its backend answers.
    pub(crate) fn mark_active(&mut self, now: Millis) {
        self.cooldown = None;
        self.reported = ReportedStatus::Active;
        self.reason = None;
        self.since = now;
    }

    /// Its publisher is gone.
    pub(crate) fn mark_unreachable(&mut self, why: &str, now: Millis) {
        self.since = now;
        self.reason = Some(why.to_owned());
    }

    /// Its publisher has returned: the status that it reported last holds again.
    pub(crate) fn mark_reachable(&mut self, now: Millis) {
        self.since = now;
        self.reason = reason_for(self.reported);
    }

    /// A wake took this long.
    pub(crate) fn learn_wake_time(&mut self, ms: u64) {
        self.wake_ms = Some(self.wake_ms.map_or(ms, |old| (old * 3 + ms) / 4));
    }

    /// A wake failed: the next one has to wait, for longer each time. Returns the pause in
    /// milliseconds.
    pub(crate) fn start_cooldown(
        &mut self,
        cause: FailureCode,
        limits: &Limits,
        now: Millis,
    ) -> u64 {
        let last =
            self.cooldown.as_ref().map(|last| (last.pause * 2).min(limits.wake_cooldown_max));
        let pause = last.unwrap_or(limits.wake_cooldown);
        self.reason = Some(format!("wake failed: {cause}"));
        self.cooldown = Some(Cooldown { until: now + pause, pause, cause });
        pause
    }
}

/// The reason that goes with a reported status.
fn reason_for(status: ReportedStatus) -> Option<String> {
    (status == ReportedStatus::Inactive).then(|| "its backend is down".into())
}
