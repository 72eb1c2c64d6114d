//! The catalogue entries that a register makes, takes over or withdraws.

use crate::state::Entry;
use crate::{Action, Actions, LlmId, Millis, Owner, Relay, SessionId, failures, names};
use std::collections::BTreeSet;
use wire::publisher::{Provider, Rejected, RejectionCode, ReportedStatus};

/// The reason for which one provider is not registered.
enum Rejection {
    /// The name or the pool is another user's, or served by another machine of this one.
    Taken {
        /// The name at fault.
        name: String,
        /// It is another user's, who gets a name request.
        foreign: bool,
    },
    /// Any other reason: code and sentence.
    Other(RejectionCode, String),
}

impl Relay {
    /// Makes the session's entries what the register declares, and returns what it rejects.
    pub(super) fn apply_registration(
        &mut self,
        session: SessionId,
        owner: &Owner,
        providers: &[Provider],
        statuses: &[ReportedStatus],
        now: Millis,
        out: &mut Actions,
    ) -> Vec<Rejected> {
        // First, so that their names and places are free for what comes.
        self.withdraw_unnamed(session, providers, now, out);
        let (mut rejected, mut kept, mut refused) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (provider, status) in providers.iter().zip(statuses) {
            match self.upsert_entry(session, owner, provider, &kept, now, out) {
                Ok(id) => {
                    self.set_status(id, *status, now, out);
                    out.push(Action::SaveLlm(id));
                    kept.insert(id);
                }
                Err(rejection) => {
                    if let Rejection::Taken { name, foreign: true } = &rejection {
                        refused.insert(name.clone());
                    }
                    rejected.push(self.rejected(provider, rejection, session, owner, now));
                }
            }
        }
        for id in self.catalogue.of_session(session).difference(&kept) {
            self.withdraw(*id, now, out);
        }
        self.sessions.set_refused_names(session, refused);
        self.settle_shares(now, out);
        rejected
    }

    fn withdraw_unnamed(
        &mut self,
        session: SessionId,
        providers: &[Provider],
        now: Millis,
        out: &mut Actions,
    ) {
        let named: BTreeSet<String> =
            providers.iter().map(|provider| provider.name.to_ascii_lowercase()).collect();
        for id in self.catalogue.of_session(session) {
            if self.catalogue.get(id).is_some_and(|entry| !named.contains(entry.name())) {
                self.withdraw(id, now, out);
            }
        }
    }

    fn withdraw(&mut self, id: LlmId, now: Millis, out: &mut Actions) {
        if let Some(entry) = self.catalogue.get(id) {
            out.push(Action::Withdrawn { name: entry.name().to_owned() });
        }
        self.delete_entry(id, "it was withdrawn", now, out);
    }

    /// Writes a rejection for the publisher. It does not tell whose a name is.
    fn rejected(
        &self,
        provider: &Provider,
        rejection: Rejection,
        session: SessionId,
        owner: &Owner,
        now: Millis,
    ) -> Rejected {
        let (code, detail, suggestion) = match rejection {
            Rejection::Other(code, detail) => (code, detail, None),
            Rejection::Taken { name, foreign } => {
                let session = self.sessions.get(session);
                let instance = session.and_then(|session| session.instance.as_ref());
                let machine = instance.map_or("", |instance| instance.name.as_str());
                // With a pool that is taken, the entry's own name may be free: only the pool goes.
                let own = wire::names::normalise(&provider.name).is_ok_and(|own| own == name);
                let suggestion =
                    own.then(|| self.suggest_name(&name, owner, machine, now)).flatten();
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

    /// Updates the user's entry of this name, taking it over from a session that has no channel, or
    /// adds a new one.
    fn upsert_entry(
        &mut self,
        session: SessionId,
        owner: &Owner,
        provider: &Provider,
        kept: &BTreeSet<LlmId>,
        now: Millis,
        out: &mut Actions,
    ) -> Result<LlmId, Rejection> {
        let (name, pool) = check_provider(provider)?;
        for wanted in std::iter::once(&name).chain(&pool) {
            if !self.catalogue.may_serve(owner, wanted, now) {
                return Err(Rejection::Taken { name: wanted.clone(), foreign: true });
            }
        }
        if let Some(id) = self.catalogue.of_owner(&owner.id, &name) {
            if kept.contains(&id) || !self.may_take_over(id, session) {
                return Err(Rejection::Taken { name, foreign: false });
            }
            self.take_over(id, session, now);
            let changed = self.catalogue.update(id, owner, provider, pool, now);
            out.extend(changed.into_iter().map(Action::SaveName));
            return Ok(id);
        }
        let owned = self.catalogue.iter().filter(|(_, entry)| entry.owner().id == owner.id);
        let most = self.limits.llms_per_owner;
        if owned.count() >= most {
            let detail = format!("one owner publishes at most {most} models");
            return Err(Rejection::Other(RejectionCode::TooMany, detail));
        }
        let id = LlmId(self.ids.fresh());
        let entry = Entry::new(name, pool, owner.clone(), session, provider.clone(), now);
        let changed = self.catalogue.insert(id, entry, now);
        out.extend(changed.into_iter().map(Action::SaveName));
        Ok(id)
    }

    /// Gives an entry to another session of its user, which is live. A wake under way was sent to the
    /// other machine, and says nothing about the backend of this one.
    fn take_over(&mut self, id: LlmId, session: SessionId, now: Millis) {
        let before = self.catalogue.get(id).map(|entry| entry.session());
        let Some(before) = before.filter(|before| *before != session) else { return };
        let was_live = self.sessions.get(before).is_some_and(|session| session.live);
        self.catalogue.move_to(id, session);
        if let Some(entry) = self.catalogue.get_mut(id).filter(|_| !was_live) {
            entry.mark_reachable(now);
        }
        if self.wakes.of(id).is_some() {
            self.wakes.end(id);
            self.tasks.restart_wait(id, now);
            self.reschedule_queue(id);
        }
    }

    /// True if the session may publish an entry of its user: its own, or one of a session that has
    /// no channel.
    fn may_take_over(&self, id: LlmId, session: SessionId) -> bool {
        let publisher = self.catalogue.get(id).map(|entry| entry.session());
        publisher == Some(session)
            || publisher
                .and_then(|publisher| self.sessions.get(publisher))
                .is_none_or(|publisher| publisher.channel().is_none())
    }

    /// Deletes an entry: its waiting requests fail, running ones go on to their end.
    pub(crate) fn delete_entry(&mut self, id: LlmId, why: &str, now: Millis, out: &mut Actions) {
        let Some(entry) = self.catalogue.get(id) else { return };
        let failure = failures::inactive(entry.name(), why);
        self.fail_queue(id, &failure, out);
        self.wakes.end(id);
        let changed = self.catalogue.remove(id, now);
        out.push(Action::SaveLlm(id));
        out.extend(changed.into_iter().map(Action::SaveName));
    }

    /// Sets the backend's state as its publisher reports it.
    pub(crate) fn set_status(
        &mut self,
        id: LlmId,
        status: ReportedStatus,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(entry) = self.catalogue.get_mut(id) else { return };
        if status != ReportedStatus::Active {
            entry.mark_down(status, now);
        } else if entry.reported() != status || self.wakes.of(id).is_some() {
            self.backend_is_active(id, now, out);
        }
    }
}

/// Checks a provider, and returns its name and pool in the form in which they are compared.
fn check_provider(provider: &Provider) -> Result<(String, Option<String>), Rejection> {
    let invalid = |what: &str, why: String| {
        Rejection::Other(RejectionCode::NameInvalid, format!("{what} is not usable: {why}"))
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
    for (what, text) in texts {
        let checked = text.map(|text| wire::names::check_text(what, text)).transpose();
        checked.map_err(text_invalid)?;
    }
    names::check_shares(&provider.share_name).map_err(text_invalid)?;
    Ok((name, pool))
}

fn text_invalid(why: String) -> Rejection {
    Rejection::Other(RejectionCode::TextInvalid, why)
}
