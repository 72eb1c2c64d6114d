//! Reads the state: the catalogue, counts, and what a restart needs.

use crate::state::{Entry, Phase, Session};
use crate::{
    Gauges, LlmId, LlmView, Millis, Relay, Saved, SavedLlm, SavedSession, SessionId, TaskId,
};
use wire::catalogue::{LlmInfo, LlmStatus};
use wire::publisher::ReportedStatus;

impl Relay {
    /// Every entry, by name and owner.
    #[must_use]
    pub fn catalogue(&self) -> Vec<LlmView> {
        let mut entries: Vec<(LlmId, &Entry)> = self.catalogue.iter().collect();
        entries.sort_unstable_by_key(|(_, entry)| (entry.name(), &entry.owner().id));
        entries.into_iter().map(|(id, entry)| self.view(id, entry)).collect()
    }

    /// Counts for metrics and tests; all zero but entries, names and sessions when nothing runs.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            llms: self.catalogue.len(),
            names: self.catalogue.name_count(),
            sessions: self.sessions.len(),
            channels: self.sessions.channel_count(),
            queued: self.tasks.waiting_count(),
            running: self.tasks.running_count(),
            waking: self.wakes.len(),
        }
    }

    /// True if the task is known and not yet over for its caller.
    #[must_use]
    pub fn is_open(&self, task: TaskId) -> bool {
        self.tasks.get(task).is_some_and(|task| task.phase() != Phase::Ended)
    }

    /// True if the task's entry is being woken.
    #[must_use]
    pub fn waits_for_wake(&self, task: TaskId) -> bool {
        self.tasks.get(task).is_some_and(|task| self.wakes.of(task.llm()).is_some())
    }

    /// The entry as it is stored; `None` if it was deleted.
    #[must_use]
    pub fn saved_llm(&self, id: LlmId) -> Option<SavedLlm> {
        let entry = self.catalogue.get(id)?;
        let session = self.sessions.get(entry.session());
        Some(SavedLlm {
            id,
            owner: entry.owner().clone(),
            session: entry.session(),
            provider: entry.provider().clone(),
            created: entry.created(),
            last_seen: session.map_or(entry.since(), |session| session.last_seen),
            wake_ms: entry.wake_ms(),
        })
    }

    /// The session as it is stored; `None` if it was deleted.
    #[must_use]
    pub fn saved_session(&self, id: SessionId) -> Option<SavedSession> {
        let session = self.sessions.get(id)?;
        Some(SavedSession {
            id,
            owner: session.owner.clone(),
            instance: session.instance.clone(),
            epoch: session.epoch,
            last_seen: session.last_seen,
        })
    }

    /// Takes over what an earlier run stored; every publisher has yet to return.
    pub(crate) fn restore(&mut self, saved: Saved) {
        self.catalogue.restore_names(saved.names);
        for session in saved.sessions {
            self.sessions.insert(session.id, Session::restored(session, self.started));
        }
        for llm in saved.llms {
            if self.sessions.get(llm.session).is_some() {
                self.catalogue.restore(llm.id, Entry::restored(llm, self.started));
            }
        }
    }

    /// The entry as callers and its owner see it.
    pub(crate) fn view(&self, id: LlmId, entry: &Entry) -> LlmView {
        let session = self.sessions.get(entry.session());
        let instance = session.and_then(|session| session.instance.as_ref());
        let provider = entry.provider();
        let queued = self.tasks.queue_len(id);
        let info = LlmInfo {
            id: id.to_string(),
            name: entry.name().to_owned(),
            kind: "virtual".into(),
            status: self.status(entry),
            connected: self.is_reachable(entry),
            waking: self.wakes.of(id).is_some(),
            backend: provider.kind.clone(),
            model: provider.model.clone(),
            tier: provider.tier.clone(),
            description: provider.description.clone(),
            pool: entry.pool().map(str::to_owned),
            owner: entry.owner().label.clone(),
            instance: instance.map(|i| i.name.clone()).filter(|name| !name.is_empty()),
            max_concurrency: entry.slots(),
            context_length: provider.context_length,
            reason: entry.reason().cloned(),
            since: entry.since(),
            created: entry.created(),
            wake_ms: entry.wake_ms(),
            in_flight: self.tasks.running(id),
            queued: u32::try_from(queued).unwrap_or(u32::MAX),
        };
        LlmView { owner: entry.owner().id.clone(), info }
    }

    /// True if requests can be sent to the entry's publisher.
    pub(crate) fn is_reachable(&self, entry: &Entry) -> bool {
        self.sessions.get(entry.session()).is_some_and(Session::is_reachable)
    }

    /// The status that the catalogue shows.
    pub(crate) fn status(&self, entry: &Entry) -> LlmStatus {
        if !self.sessions.get(entry.session()).is_some_and(|session| session.live) {
            return LlmStatus::Inactive;
        }
        match entry.reported() {
            ReportedStatus::Active => LlmStatus::Active,
            ReportedStatus::Hibernating => LlmStatus::Hibernating,
            ReportedStatus::Inactive => LlmStatus::Inactive,
        }
    }

    /// True if the server is so young that missing publishers may still return.
    pub(crate) fn in_grace(&self, now: Millis) -> bool {
        now < self.started + self.limits.grace
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &crate::Limits {
        &self.limits
    }
}
