//! §9 catalogue entries, §11 wakes.

use super::{Check, Model, ensure};
use relay::{
    LlmId, LlmView, Millis, OwnerId, SavedLlm, SessionId, TaskId, TaskRefusal, TaskSender,
};
use std::collections::BTreeMap;
use wire::catalogue::LlmStatus;
use wire::error::Code;
use wire::publisher::{FailureCode, ReportedStatus};

/// One model in the catalogue.
pub(super) struct Entry {
    pub(super) owner: OwnerId,
    pub(super) session: SessionId,
    /// Lower case.
    pub(super) name: String,
    pub(super) pool: Option<String>,
    pub(super) share_name: Vec<String>,
    pub(super) slots: usize,
    /// `wakeMaxWaitSeconds`.
    pub(super) wake_seconds: Option<u64>,
    pub(super) reported: Reported,
    /// §9.2.
    since: Millis,
    reason: Option<String>,
    pub(super) created: Millis,
    /// Learned duration of a wake, in milliseconds.
    pub(super) wake_ms: Option<u64>,
    pub(super) wake: Option<Wake>,
    /// §11.5: failures in a row, and the end of the cooldown.
    failures: u32,
    cooldown_until: Millis,
}

/// §9.2, the reported state of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    Active,
    Hibernating,
    Inactive,
}

impl From<ReportedStatus> for Reported {
    fn from(status: ReportedStatus) -> Self {
        match status {
            ReportedStatus::Active => Self::Active,
            ReportedStatus::Hibernating => Self::Hibernating,
            ReportedStatus::Inactive => Self::Inactive,
        }
    }
}

/// A wake under way.
pub(super) struct Wake {
    pub(super) task: TaskId,
    /// The session that it was sent to.
    pub(super) session: SessionId,
    pub(super) started: Millis,
    pub(super) max_wait_secs: u64,
}

impl Entry {
    pub(super) fn new(owner: OwnerId, session: SessionId, name: String, now: Millis) -> Self {
        Self {
            owner,
            session,
            name,
            pool: None,
            share_name: Vec::new(),
            slots: 1,
            wake_seconds: None,
            // §9.2: a new entry.
            reported: Reported::Inactive,
            since: now,
            reason: None,
            created: now,
            wake_ms: None,
            wake: None,
            failures: 0,
            cooldown_until: 0,
        }
    }

    /// §8.2: the names that it uses.
    pub(super) fn uses(&self, name: &str) -> bool {
        self.name == name || self.pool.as_deref() == Some(name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        std::iter::once(&self.name).chain(&self.pool).cloned().collect()
    }

    pub(super) fn wakeable(&self) -> bool {
        self.wake_seconds.is_some()
    }

    /// §9.2: its session is not live any more.
    pub(super) fn unreachable(&mut self, why: &str, now: Millis) {
        (self.since, self.reason) = (now, Some(why.to_owned()));
    }

    /// §9.2: its session is live again, or the reported state has changed.
    pub(super) fn set_since(&mut self, now: Millis) {
        let is_down = self.reported == Reported::Inactive;
        (self.since, self.reason) = (now, is_down.then(|| "its backend is down".to_owned()));
    }

    /// §16.3: what a server start leaves of it.
    pub(super) fn restart(&mut self, now: Millis) {
        self.reported = Reported::Inactive;
        self.unreachable("its publisher has not returned since the server's start", now);
        (self.wake, self.failures, self.cooldown_until) = (None, 0, 0);
    }
}

impl Model {
    pub(super) fn is_live(&self, entry: LlmId) -> bool {
        let session = self.entries.get(&entry).map(|entry| entry.session);
        session.and_then(|id| self.sessions.get(&id)).is_some_and(|session| session.live)
    }

    /// §9.1: the session is live and its channel is open.
    pub(super) fn is_connected(&self, entry: LlmId) -> bool {
        let session = self.entries.get(&entry).map(|entry| entry.session);
        let session = session.and_then(|id| self.sessions.get(&id));
        session.is_some_and(|session| session.live && session.channel.is_some())
    }

    /// The entries of a session.
    pub(super) fn entries_of(&self, session: SessionId) -> Vec<LlmId> {
        let of = |(id, entry): (&LlmId, &Entry)| (entry.session == session).then_some(*id);
        self.entries.iter().filter_map(of).collect()
    }

    /// §11.5: what is left of the cooldown, in milliseconds.
    pub(super) fn cooldown_rest(&self, entry: LlmId) -> Option<Millis> {
        let until = self.entries[&entry].cooldown_until;
        (until > self.now).then(|| until - self.now)
    }

    /// §9.2: a state is reported.
    pub(super) fn report(&mut self, id: LlmId, reported: Reported) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = std::mem::replace(&mut entry.reported, reported);
        if before == reported && (reported != Reported::Active || entry.wake.is_none()) {
            return;
        }
        entry.set_since(now);
        if reported != Reported::Active {
            return;
        }
        if let Some(wake) = entry.wake.take() {
            let took = now - wake.started;
            entry.wake_ms = Some(entry.wake_ms.map_or(took, |old| (3 * old + took) / 4));
            self.expected.ended_wakes.insert(id, wake);
        }
        (entry.failures, entry.cooldown_until) = (0, 0);
        self.restart_waiting(id);
        self.advance(id);
    }

    /// §9.4: an entry leaves the catalogue.
    pub(super) fn withdraw(&mut self, id: LlmId) {
        self.fail_queue(id, Code::LlmInactive);
        if let Some(entry) = self.entries.remove(&id) {
            for name in entry.names() {
                self.leave_name(&name);
            }
        }
    }

    /// The wake that started first, and the session that it was sent to.
    pub(in crate::relay_machine) fn oldest_wake(&self) -> Option<(TaskId, SessionId)> {
        let wakes = self.entries.values().filter_map(|entry| entry.wake.as_ref());
        let oldest = wakes.min_by_key(|wake| (wake.started, wake.task))?;
        Some((oldest.task, oldest.session))
    }

    /// The relay starts a wake (§11.1 to §11.3).
    pub(super) fn wake_started(
        &mut self,
        channel: relay::ChannelId,
        task: TaskId,
        name: &str,
        max_wait_secs: u64,
    ) -> Check {
        let session = self.sessions.iter().find(|(_, session)| session.channel == Some(channel));
        let Some(session) = session.map(|(id, _)| *id) else {
            return Err(format!("§11: a wake is sent to closed channel {channel:?}"));
        };
        let of = |id: &LlmId| self.entries[id].name == name;
        let Some(id) = self.entries_of(session).into_iter().find(of) else {
            return Err(format!("§11: a wake is sent for unknown entry {name}"));
        };
        // §11.2.
        let due = self.entries[&id].reported == Reported::Hibernating
            && self.is_connected(id)
            && self.cooldown_rest(id).is_none()
            && !self.waiting(id).is_empty();
        ensure(due, || format!("§11.2: {name} must not be woken"))?;
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        ensure(entry.wake.is_none(), || format!("§11.1: two wakes of {name}"))?;
        let expected = entry.wake_seconds.unwrap_or(60).min(900);
        ensure(max_wait_secs == expected, || {
            format!("§11.3: maxWaitSeconds is {max_wait_secs}, not {expected}")
        })?;
        entry.wake = Some(Wake { task, session, started: now, max_wait_secs });
        Ok(())
    }

    /// A publisher reports the outcome of a wake (§11.4, §11.8).
    pub(in crate::relay_machine) fn wake_reported(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        failure: Option<&FailureCode>,
        reply: Result<(), TaskRefusal>,
    ) -> Check {
        let is_it = |entry: &Entry| entry.wake.as_ref().is_some_and(|wake| wake.task == task);
        let found = self.entries.iter().find(|(_, entry)| is_it(entry)).map(|(id, _)| *id);
        let found = found.filter(|id| {
            let Some(wake) = &self.entries[id].wake else { return false };
            let owner = self.sessions.get(&wake.session).map(|session| &session.owner);
            owner == Some(&from.owner) && from.session.is_none_or(|named| named == wake.session)
        });
        let expected = if found.is_some() { Ok(()) } else { Err(TaskRefusal::Unknown) };
        ensure(reply == expected, || {
            format!("§11.8: a wake's result gets {reply:?}, not {expected:?}")
        })?;
        let Some(id) = found else { return Ok(()) };
        // §7.5.1.
        let (session, now) = (self.entries[&id].wake.as_ref().map(|wake| wake.session), self.now);
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(&id)) {
            session.last_seen = now;
        }
        match failure {
            None => self.report(id, Reported::Active),
            Some(code) => self.wake_failed(id, code),
        }
        Ok(())
    }

    /// §11.5.
    pub(super) fn wake_failed(&mut self, id: LlmId, code: &FailureCode) {
        let (now, limits) = (self.now, self.limits.clone());
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.expected.ended_wakes.extend(entry.wake.take().map(|wake| (id, wake)));
        entry.reason = Some(format!("wake failed: {code}"));
        let doubled = limits.wake_cooldown.saturating_mul(1 << entry.failures.min(20));
        entry.failures += 1;
        entry.cooldown_until = now + doubled.min(limits.wake_cooldown_max);
        self.fail_queue(id, Code::LlmWakeFailed);
    }

    /// §9.1: compares the catalogue.
    pub(in crate::relay_machine) fn check_catalogue(&self, catalogue: &[LlmView]) -> Check {
        ensure(catalogue.len() == self.entries.len(), || {
            format!("§9: {} entries, not {}", catalogue.len(), self.entries.len())
        })?;
        for view in catalogue {
            let id: Option<LlmId> = view.info.id.parse().ok();
            let Some((id, entry)) = id.and_then(|id| Some((id, self.entries.get(&id)?))) else {
                return Err(format!("§9: entry {view:?} should not be there"));
            };
            let status = match entry.reported {
                _ if !self.is_live(id) => LlmStatus::Inactive,
                Reported::Active => LlmStatus::Active,
                Reported::Hibernating => LlmStatus::Hibernating,
                Reported::Inactive => LlmStatus::Inactive,
            };
            let info = &view.info;
            let found = (
                (&view.owner, &info.name, &info.pool, info.status, info.connected, info.waking),
                (info.max_concurrency as usize, info.in_flight as usize, info.queued as usize),
                (info.created, info.wake_ms, info.since, &info.reason),
            );
            let expected = (
                (
                    &entry.owner,
                    &entry.name,
                    &entry.pool,
                    status,
                    self.is_connected(id),
                    entry.wake.is_some(),
                ),
                (entry.slots, self.running(id), self.waiting(id).len()),
                (entry.created, entry.wake_ms, entry.since, &entry.reason),
            );
            ensure(found == expected, || format!("§9.1: entry {found:?}, not {expected:?}"))?;
        }
        Ok(())
    }
    /// Compares the stored entries (§16.3.1).
    pub(in crate::relay_machine) fn check_stored_llms(
        &self,
        stored: &BTreeMap<LlmId, SavedLlm>,
    ) -> Check {
        ensure(stored.keys().eq(self.entries.keys()), || {
            format!("§16.3: stored entries are {:?}", stored.keys())
        })?;
        for (id, entry) in &self.entries {
            let saved = &stored[id];
            let provider = &saved.provider;
            let found = (
                (&saved.owner.id, saved.session, saved.created, saved.wake_ms),
                (&provider.name, &provider.pool, &provider.share_name),
                (provider.max_concurrency.unwrap_or(1) as usize, provider.wake_max_wait_seconds),
            );
            let expected = (
                (&entry.owner, entry.session, entry.created, entry.wake_ms),
                (&entry.name, &entry.pool, &entry.share_name),
                (entry.slots, entry.wake_seconds),
            );
            ensure(found == expected, || {
                format!("§16.3: an entry is stored as {found:?}, not {expected:?}")
            })?;
        }
        Ok(())
    }
}
