//! What a session publishes: the rows that its register names, whose a name is, and how a row's
//! backend is.

use crate::rows::Llm;
use crate::{Action, Actions, LlmId, Millis, Owner, Relay, SessionId, Tombstone, failures};
use std::collections::{BTreeSet, VecDeque};
use wire::publisher::{Provider, Rejected, ReportedStatus};

impl Relay {
    /// Makes the session's rows what the register says, and returns what it could not take.
    pub(crate) fn take_set(
        &mut self,
        key: &SessionId,
        owner: &Owner,
        providers: &[Provider],
        statuses: &[ReportedStatus],
        now: Millis,
        out: &mut Actions,
    ) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        let mut kept = BTreeSet::new();
        for (provider, status) in providers.iter().zip(statuses) {
            match self.take_row(key, owner, provider, &kept, now) {
                Ok(id) => {
                    self.set_status(&id, *status, now, out);
                    out.push(Action::SaveLlm(id.clone()));
                    kept.insert(id);
                }
                Err((code, detail)) => rejected.push(Rejected {
                    name: provider.name.clone(),
                    code: code.into(),
                    detail,
                    suggestion: None,
                }),
            }
        }
        let before =
            self.sessions.get_mut(key).map(|s| std::mem::replace(&mut s.llms, kept.clone()));
        for gone in before.unwrap_or_default().difference(&kept) {
            self.delete_row(gone, "it was withdrawn", now, out);
        }
        rejected
    }

    /// The row for one provider: an own one, one that is taken over from an own session that is
    /// gone, or a new one.
    fn take_row(
        &mut self,
        key: &SessionId,
        owner: &Owner,
        provider: &Provider,
        kept: &BTreeSet<LlmId>,
        now: Millis,
    ) -> Result<LlmId, (&'static str, String)> {
        let name =
            wire::names::normalise(&provider.name).map_err(|why| ("llm_name_invalid", why))?;
        let taken = || ("llm_name_taken", format!("the name {name} is taken; choose another"));
        if let Some(id) = self.by_name.get(&name).cloned() {
            let Some(llm) = self.llms.get_mut(&id) else {
                return Err(taken());
            };
            if llm.owner.id != owner.id || kept.contains(&id) {
                return Err(taken());
            }
            if llm.session != *key {
                let other = self.sessions.get_mut(&llm.session);
                if let Some(other) = other {
                    if other.channel.is_some() {
                        return Err(taken());
                    }
                    other.llms.remove(&id);
                }
                llm.session = key.clone();
            }
            llm.owner = owner.clone();
            llm.provider = provider.clone();
            return Ok(id);
        }
        if self.tombstones.get(&name).is_some_and(|t| t.until > now && t.owner != owner.id) {
            return Err(taken());
        }
        let owned = self.llms.values().filter(|l| l.owner.id == owner.id).count();
        if owned >= self.limits.llms_per_owner {
            let most = self.limits.llms_per_owner;
            return Err(("llm_limit", format!("one owner publishes at most {most} models")));
        }
        Ok(self.new_row(key, owner, provider, name, now))
    }

    fn new_row(
        &mut self,
        key: &SessionId,
        owner: &Owner,
        provider: &Provider,
        name: String,
        now: Millis,
    ) -> LlmId {
        let id = LlmId(format!("{:032x}", self.ids.fresh()));
        let llm = Llm {
            name: name.clone(),
            session: key.clone(),
            owner: owner.clone(),
            provider: provider.clone(),
            reported: ReportedStatus::Inactive,
            reason: None,
            since: now,
            created: now,
            queue: VecDeque::new(),
            running: 0,
            waking: None,
            cooldown: None,
            wake_ms: None,
        };
        self.llms.insert(id.clone(), llm);
        self.tombstones.remove(&name);
        self.by_name.insert(name, id.clone());
        id
    }

    /// Takes a row out of the catalogue. Running tasks go on to their end.
    pub(crate) fn delete_row(&mut self, id: &LlmId, why: &str, now: Millis, out: &mut Actions) {
        let Some(name) = self.llms.get(id).map(|l| l.name.clone()) else {
            return;
        };
        self.fail_queue(id, &failures::inactive(&name, why), out);
        self.end_wake(id);
        let Some(llm) = self.llms.remove(id) else {
            return;
        };
        self.by_name.remove(&llm.name);
        if let Some(session) = self.sessions.get_mut(&llm.session) {
            session.llms.remove(id);
        }
        let until = now + self.limits.tombstone;
        let tombstone = Tombstone { name: llm.name.clone(), owner: llm.owner.id, until };
        self.tombstones.insert(llm.name, tombstone.clone());
        out.push(Action::SaveLlm(id.clone()));
        out.push(Action::SaveTombstone(tombstone));
    }

    /// What the publisher says of a backend.
    pub(crate) fn set_status(
        &mut self,
        id: &LlmId,
        status: ReportedStatus,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(llm) = self.llms.get_mut(id) else {
            return;
        };
        if status == ReportedStatus::Active {
            if llm.waking.is_some() || llm.reported != status {
                self.is_awake(id, now, out);
            }
            return;
        }
        if llm.reported != status {
            llm.reported = status;
            llm.since = now;
            llm.reason = why(status);
        }
    }
}

/// What the catalogue says beside a status.
pub(crate) fn why(status: ReportedStatus) -> Option<String> {
    (status == ReportedStatus::Inactive).then(|| "its backend is down".into())
}
