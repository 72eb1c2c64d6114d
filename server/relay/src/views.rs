//! What others may see of the relay: the catalogue, the gauges, and what a restart must know.

use crate::rows::Llm;
use crate::{
    Gauges, LlmId, LlmView, Relay, Saved, SavedLlm, SavedSession, SessionId, TaskId, rows,
};
use std::collections::{BTreeSet, VecDeque};
use wire::catalogue::LlmInfo;
use wire::publisher::ReportedStatus;

impl Relay {
    /// Every row, by name and owner.
    #[must_use]
    pub fn catalogue(&self) -> Vec<LlmView> {
        let mut rows: Vec<(&LlmId, &Llm)> = self.llms.iter().collect();
        rows.sort_unstable_by_key(|(_, llm)| (&llm.name, &llm.owner.id));
        rows.into_iter().map(|(id, llm)| self.view(id, llm)).collect()
    }

    /// Numbers for metrics and tests; all zero but rows and sessions when nothing runs.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let queued = self.llms.values().map(|l| l.queue.len()).sum::<usize>();
        Gauges {
            llms: self.llms.len(),
            names: self.names.len(),
            sessions: self.sessions.len(),
            channels: self.channels.len(),
            queued,
            running: self.tasks.len() - queued,
            waking: self.wakes.len(),
        }
    }

    /// Whether the task is known and not yet over for its caller.
    #[must_use]
    pub fn is_open(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|t| t.phase != crate::task::Phase::Ended)
    }

    /// The row as it is stored. `None`: it was deleted.
    #[must_use]
    pub fn saved_llm(&self, id: LlmId) -> Option<SavedLlm> {
        let llm = self.llms.get(&id)?;
        Some(SavedLlm {
            id,
            owner: llm.owner.clone(),
            session: llm.session,
            provider: llm.provider.clone(),
            created: llm.created,
            last_seen: self.sessions.get(&llm.session).map_or(llm.since, |s| s.last_seen),
            wake_ms: llm.wake_ms,
        })
    }

    /// The session as it is stored. `None`: it was deleted.
    #[must_use]
    pub fn saved_session(&self, id: SessionId) -> Option<SavedSession> {
        let session = self.sessions.get(&id)?;
        Some(SavedSession {
            id,
            owner: session.owner.clone(),
            instance: session.instance.clone(),
            epoch: session.epoch,
            last_seen: session.last_seen,
        })
    }

    /// Takes over what an earlier run left; every session has yet to return.
    pub(crate) fn restore(&mut self, saved: Saved) {
        self.restore_names(saved.names);
        for old in saved.sessions {
            let session = rows::Session {
                owner: old.owner,
                instance: old.instance,
                epoch: old.epoch,
                protocol: wire::PROTOCOL_1,
                channel: None,
                // What is stored is old: heartbeats are not written down. Its time to return counts
                // from now.
                last_seen: self.started,
                live: false,
                llms: BTreeSet::new(),
                tasks: BTreeSet::new(),
                register_again: false,
            };
            self.sessions.insert(old.id, session);
        }
        for old in saved.llms {
            let Some(session) = self.sessions.get_mut(&old.session) else {
                continue;
            };
            session.llms.insert(old.id);
            let name = old.provider.name.to_ascii_lowercase();
            let pool = old.provider.pool.as_ref().map(|pool| pool.to_ascii_lowercase());
            let llm = Llm {
                name,
                pool,
                served: false,
                session: old.session,
                owner: old.owner,
                provider: old.provider,
                reported: ReportedStatus::Inactive,
                reason: Some("its publisher has not returned since the server's start".into()),
                since: self.started,
                created: old.created,
                queue: VecDeque::new(),
                running: 0,
                waking: None,
                cooldown: None,
                wake_ms: old.wake_ms,
            };
            self.restore_row_names(&old.id, &llm);
            self.llms.insert(old.id, llm);
        }
    }

    pub(crate) fn view(&self, id: &LlmId, llm: &Llm) -> LlmView {
        let instance = self.sessions.get(&llm.session).and_then(|s| s.instance.as_ref());
        let provider = &llm.provider;
        let info = LlmInfo {
            id: id.to_string(),
            name: llm.name.clone(),
            kind: "virtual".into(),
            status: self.status(llm),
            connected: self.connected(llm),
            waking: llm.waking.is_some(),
            backend: provider.kind.clone(),
            model: provider.model.clone(),
            tier: provider.tier.clone(),
            description: provider.description.clone(),
            pool: llm.pool.clone(),
            owner: llm.owner.label.clone(),
            instance: instance.map(|i| i.name.clone()).filter(|name| !name.is_empty()),
            max_concurrency: llm.slots(),
            context_length: provider.context_length,
            reason: llm.reason.clone(),
            since: llm.since,
            created: llm.created,
            wake_ms: llm.wake_ms,
            in_flight: llm.running,
            queued: u32::try_from(llm.queue.len()).unwrap_or(u32::MAX),
        };
        LlmView { owner: llm.owner.id.clone(), info }
    }
}
