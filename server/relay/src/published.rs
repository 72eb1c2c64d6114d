//! What a session publishes: the rows that its register names, whose a name is, and how a row's
//! backend is.

use crate::rows::Llm;
use crate::{Action, Actions, LlmId, Millis, Owner, Relay, SessionId, failures, names};
use std::collections::{BTreeSet, VecDeque};
use wire::publisher::{Provider, Rejected, RejectionCode, ReportedStatus};

/// Why one provider is not taken.
enum Refusal {
    /// The name or the pool is another user's, or served by another machine of this one.
    Taken {
        /// The name at fault.
        name: String,
        /// It is another user's: that user is asked.
        foreign: bool,
    },
    /// Any other: code and sentence.
    Other(RejectionCode, String),
}

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
        // First, so that their names and places are free for what comes.
        self.withdraw_unnamed(key, providers, now, out);
        let (mut rejected, mut kept, mut requests) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (provider, status) in providers.iter().zip(statuses) {
            match self.take_row(key, owner, provider, &kept, now, out) {
                Ok(id) => {
                    self.set_status(&id, *status, now, out);
                    out.push(Action::SaveLlm(id));
                    kept.insert(id);
                }
                Err(refusal) => {
                    if let Refusal::Taken { name, foreign: true } = &refusal {
                        requests.insert(name.clone());
                    }
                    rejected.push(self.rejected(provider, refusal, key, owner, now));
                }
            }
        }
        let before =
            self.sessions.get_mut(key).map(|s| std::mem::replace(&mut s.llms, kept.clone()));
        for gone in before.unwrap_or_default().difference(&kept) {
            self.withdraw(gone, now, out);
        }
        self.set_name_requests(key, requests);
        self.apply_shares(key, now, out);
        rejected
    }

    fn withdraw_unnamed(
        &mut self,
        key: &SessionId,
        providers: &[Provider],
        now: Millis,
        out: &mut Actions,
    ) {
        let named: BTreeSet<String> =
            providers.iter().map(|provider| provider.name.to_ascii_lowercase()).collect();
        let rows = self.sessions.get(key).map(|s| s.llms.clone()).unwrap_or_default();
        for id in rows {
            if self.llms.get(&id).is_some_and(|llm| !named.contains(&llm.name)) {
                self.withdraw(&id, now, out);
            }
        }
    }

    fn withdraw(&mut self, id: &LlmId, now: Millis, out: &mut Actions) {
        if let Some(llm) = self.llms.get(id) {
            out.push(Action::Withdrawn { name: llm.name.clone() });
        }
        self.delete_row(id, "it was withdrawn", now, out);
    }

    /// The refusal as the publisher sees it. It does not say whose a name is.
    fn rejected(
        &self,
        provider: &Provider,
        refusal: Refusal,
        key: &SessionId,
        owner: &Owner,
        now: Millis,
    ) -> Rejected {
        let (code, detail, suggestion) = match refusal {
            Refusal::Other(code, detail) => (code, detail, None),
            Refusal::Taken { name, foreign } => {
                let instance = self.sessions.get(key).and_then(|s| s.instance.as_ref());
                let machine = instance.map_or("", |i| i.name.as_str());
                // With a pool that is taken, the row's own name may be free: only the pool goes.
                let own = wire::names::normalise(&provider.name).is_ok_and(|own| own == name);
                let suggestion = own.then(|| self.suggest(&name, owner, machine, now)).flatten();
                let detail = match (foreign, &suggestion) {
                    (true, Some(free)) => format!(
                        "the name {name} belongs to another user, who was asked to share it; \
                         {free} is free"
                    ),
                    (true, None) => format!(
                        "the name {name} belongs to another user, who was asked to share it; \
                         choose another"
                    ),
                    (false, _) => {
                        format!("the name {name} is served by another machine or entry of yours")
                    }
                };
                (RejectionCode::NameTaken, detail, suggestion)
            }
        };
        Rejected { name: provider.name.clone(), code, detail, suggestion }
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
        out: &mut Actions,
    ) -> Result<LlmId, Refusal> {
        let (name, pool) = check_provider(provider)?;
        for wanted in std::iter::once(&name).chain(&pool) {
            if !self.may_serve(owner, wanted, now) {
                return Err(Refusal::Taken { name: wanted.clone(), foreign: true });
            }
        }
        let id = match self.row_of(owner, &name) {
            Some(id) => {
                self.adopt(&id, key, kept, &name)?;
                id
            }
            None => {
                let owned = self.llms.values().filter(|l| l.owner.id == owner.id).count();
                let most = self.limits.llms_per_owner;
                if owned >= most {
                    let detail = format!("one owner publishes at most {most} models");
                    return Err(Refusal::Other(RejectionCode::TooMany, detail));
                }
                self.new_row(key, owner, provider, name, now)
            }
        };
        self.move_names(&id, owner, provider, pool, now, out);
        Ok(id)
    }

    /// The row that a user has under a name.
    fn row_of(&self, owner: &Owner, name: &str) -> Option<LlmId> {
        let mut rows = self.names.get(name)?.rows.iter();
        rows.find(|id| self.llms.get(id).is_some_and(|l| l.name == name && l.owner.id == owner.id))
            .cloned()
    }

    /// Brings an own row under this session, unless another of the owner's machines is connected.
    fn adopt(
        &mut self,
        id: &LlmId,
        key: &SessionId,
        kept: &BTreeSet<LlmId>,
        name: &str,
    ) -> Result<(), Refusal> {
        let taken = || Refusal::Taken { name: name.to_owned(), foreign: false };
        let Some(llm) = self.llms.get_mut(id).filter(|_| !kept.contains(id)) else {
            return Err(taken());
        };
        if llm.session != *key {
            if let Some(other) = self.sessions.get_mut(&llm.session) {
                if other.channel.is_some() {
                    return Err(taken());
                }
                other.llms.remove(id);
            }
            llm.session = *key;
        }
        Ok(())
    }

    /// Writes what was declared into the row, and keeps the table of names in step with it.
    fn move_names(
        &mut self,
        id: &LlmId,
        owner: &Owner,
        provider: &Provider,
        pool: Option<String>,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(llm) = self.llms.get_mut(id) else { return };
        let before: BTreeSet<String> = llm.names().cloned().collect();
        llm.owner = owner.clone();
        llm.provider = provider.clone();
        llm.served &= llm.pool == pool;
        llm.pool = pool;
        let after: BTreeSet<String> = llm.names().cloned().collect();
        for name in &after {
            self.use_name(name, id, owner, out);
        }
        for name in before.difference(&after) {
            self.leave_name(name, id, now, out);
        }
    }

    fn new_row(
        &mut self,
        key: &SessionId,
        owner: &Owner,
        provider: &Provider,
        name: String,
        now: Millis,
    ) -> LlmId {
        let id = LlmId(self.ids.fresh());
        let llm = Llm {
            name,
            pool: None,
            served: false,
            session: *key,
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
        self.llms.insert(id, llm);
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
        if let Some(session) = self.sessions.get_mut(&llm.session) {
            session.llms.remove(id);
        }
        out.push(Action::SaveLlm(*id));
        for name in llm.names() {
            self.leave_name(name, id, now, out);
        }
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

/// Name and pool of a provider in the form in which they are compared.
fn check_provider(provider: &Provider) -> Result<(String, Option<String>), Refusal> {
    let invalid = |what: &str, why: String| {
        Refusal::Other(RejectionCode::NameInvalid, format!("{what} is not usable: {why}"))
    };
    let name = wire::names::normalise(&provider.name).map_err(|why| invalid("the name", why))?;
    let pool = provider.pool.as_deref().map(wire::names::normalise).transpose();
    let pool = pool.map_err(|why| invalid("`pool`", why))?;
    let texts = [
        ("`type`", Some(&provider.kind)),
        ("`model`", provider.model.as_ref()),
        ("`tier`", provider.tier.as_ref()),
        ("`description`", provider.description.as_ref()),
    ];
    let texts = texts.iter().filter_map(|(what, text)| Some((*what, (*text)?)));
    for (what, text) in texts {
        wire::names::check_text(what, text).map_err(text_invalid)?;
    }
    names::check_shares(&provider.share_name).map_err(text_invalid)?;
    Ok((name, pool))
}

fn text_invalid(why: String) -> Refusal {
    Refusal::Other(RejectionCode::TextInvalid, why)
}
