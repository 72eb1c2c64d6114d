//! `POST _provider-register`: a session declares all LLMs that it publishes.

mod entries;

use crate::state::{Phase, Session};
use crate::{
    Action, Actions, LlmId, Millis, Owner, OwnerId, RegisterRefusal, Relay, SessionId, TaskId,
    failures,
};
use std::collections::BTreeSet;
use wire::publisher::{Register, Registered, ReportedStatus, Resume};

impl Relay {
    /// Takes a register: makes the session's entries what it declares.
    ///
    /// # Errors
    /// [`RegisterRefusal`]: the server drains, the register is malformed, another machine holds the
    /// session, or the user has too many sessions. Nothing has changed then.
    pub fn register(
        &mut self,
        owner: &Owner,
        request: &Register,
        now: Millis,
        out: &mut Actions,
    ) -> Result<Registered, RegisterRefusal> {
        if self.draining {
            return Err(RegisterRefusal::Draining);
        }
        let statuses = self.check_register(request).map_err(RegisterRefusal::Invalid)?;
        let id = self.session_for(owner, request, now, out)?;
        self.supersede(id, out);
        let protocol = request.protocol.clamp(wire::PROTOCOL_1, wire::PROTOCOL_2);
        let mut epoch = 0;
        if let Some(session) = self.sessions.get_mut(id) {
            session.epoch += 1;
            session.protocol = protocol;
            session.instance.clone_from(&request.instance);
            session.owner = owner.clone();
            session.register_again = false;
            epoch = session.epoch;
        }
        self.mark_alive(id, now);
        let rejected = self.apply_registration(id, owner, &request.providers, &statuses, now, out);
        self.reconcile_tasks(id, &request.inflight, now, out);
        let (cancel, resume) = self.sort_named_tasks(id, &request.inflight);
        out.push(Action::SaveSession(id));
        let entries = self.catalogue.of_session(id);
        let info = |id: &LlmId| Some(self.view(*id, self.catalogue.get(*id)?).info);
        Ok(Registered {
            protocol,
            provider_session_id: id.to_string(),
            epoch,
            heartbeat_seconds: self.limits.heartbeat.div_ceil(1000),
            llms: entries.iter().filter_map(info).collect(),
            rejected,
            cancel,
            resume,
            name_requests: self.name_requests_for(&owner.id),
        })
    }

    /// Checks what would refuse the whole register, and returns the status of each provider.
    fn check_register(&self, request: &Register) -> Result<Vec<ReportedStatus>, String> {
        let most = self.limits.providers_per_register;
        if request.providers.len() > most {
            return Err(format!("`providers` has at most {most} entries"));
        }
        if let Some(instance) = &request.instance {
            let texts = [
                ("`instance.id`", &instance.id),
                ("`instance.name`", &instance.name),
                ("`instance.version`", &instance.version),
                ("`instance.os`", &instance.os),
            ];
            texts.into_iter().try_for_each(|(what, text)| wire::names::check_text(what, text))?;
        }
        let statuses = request.providers.iter().map(|provider| provider.initial_status.as_deref());
        statuses.map(ReportedStatus::parse_initial).collect()
    }

    /// The session that the register names, or a new one.
    fn session_for(
        &mut self,
        owner: &Owner,
        request: &Register,
        now: Millis,
        out: &mut Actions,
    ) -> Result<SessionId, RegisterRefusal> {
        // A text that is no id is the id of no session.
        let named = request.provider_session_id.as_ref().and_then(|id| id.parse().ok());
        if let Some((id, session)) = named.and_then(|id| Some((id, self.sessions.get(id)?))) {
            let machine = |instance: &Option<wire::publisher::Instance>| {
                instance.as_ref().map(|instance| instance.id.clone())
            };
            let is_held = session.channel().is_some()
                && machine(&session.instance) != machine(&request.instance)
                && !request.takeover;
            if session.owner.id != owner.id || is_held {
                return Err(RegisterRefusal::SessionConflict);
            }
            return Ok(id);
        }
        self.make_room_for_session(&owner.id, now, out)?;
        let id = SessionId(self.ids.fresh());
        self.sessions.insert(id, Session::new(owner.clone(), now));
        Ok(id)
    }

    /// If the user has too many sessions, ends the one without a channel that was seen least
    /// recently. One without entries goes first.
    fn make_room_for_session(
        &mut self,
        owner: &OwnerId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), RegisterRefusal> {
        if self.sessions.of_owner(owner).count() < self.limits.sessions_per_owner {
            return Ok(());
        }
        let idle = self
            .sessions
            .of_owner(owner)
            .filter(|(id, session)| session.channel().is_none() && !self.tasks.is_busy(*id));
        let oldest = idle.min_by_key(|(id, session)| {
            (!self.catalogue.publishes_nothing(*id), session.last_seen)
        });
        let Some((id, _)) = oldest else {
            return Err(RegisterRefusal::TooManySessions(self.limits.sessions_per_owner));
        };
        self.end_session(id, "its machine was replaced by newer ones", now, out);
        Ok(())
    }

    /// Compares the tasks that the session was sent with those that its publisher names in a
    /// register: those that it does not name are lost.
    fn reconcile_tasks(
        &mut self,
        session: SessionId,
        inflight: &[String],
        now: Millis,
        out: &mut Actions,
    ) {
        let named: BTreeSet<TaskId> = inflight.iter().filter_map(|id| id.parse().ok()).collect();
        let sent = self.tasks.of_session(session);
        for task in sent.difference(&named).copied() {
            let Some((phase, speaks_v2)) = self.tasks.get(task).map(|t| (t.phase(), t.speaks_v2()))
            else {
                continue;
            };
            match phase {
                // It was lost with the old channel, or ended that channel.
                Phase::Dispatched if self.send_lost_again(task, now, out) => {}
                Phase::Ended => self.release(task, now, out),
                Phase::Dispatched | Phase::Accepted | Phase::Answering if speaks_v2 => {
                    let failure = failures::publisher_lost(&self.name_of(task));
                    out.push(Action::Fail { task, failure });
                    self.release(task, now, out);
                }
                // A protocol-1 publisher names no tasks.
                Phase::Queued | Phase::Dispatched | Phase::Accepted | Phase::Answering => {}
            }
        }
        for task in sent.intersection(&named) {
            self.take_named(*task, now);
        }
    }

    /// Sends a task whose frame was lost to another member of its pool, or once more to the same
    /// publisher: a frame that ends channels cannot do so again and again.
    fn send_lost_again(&mut self, task: TaskId, now: Millis, out: &mut Actions) -> bool {
        let is_first = self.tasks.get(task).is_some_and(|task| task.redispatched() == 0);
        self.try_again(task, true, now, out) || (is_first && self.try_again(task, false, now, out))
    }

    /// Of the tasks that a register names, those to stop and those that go on. How far the answers
    /// of these have arrived is known to the driver.
    fn sort_named_tasks(
        &self,
        session: SessionId,
        inflight: &[String],
    ) -> (Vec<String>, Vec<Resume>) {
        let (mut cancel, mut resume) = (Vec::new(), Vec::new());
        for id in inflight {
            let task = id.parse().ok().and_then(|task| self.tasks.get(task));
            let task = task.filter(|task| task.session() == Some(session));
            if task.is_some_and(|task| task.phase() != Phase::Ended) {
                resume.push(Resume { id: id.clone(), offset: 0 });
            } else {
                cancel.push(id.clone());
            }
        }
        (cancel, resume)
    }
}
