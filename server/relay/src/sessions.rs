//! The publisher's side of a session: register, control channel, heartbeat, revocation.

use crate::rows::Session;
use crate::task::Phase;
use crate::{
    Action, Actions, ChannelId, LastEvent, LlmId, Millis, Opened, Owner, OwnerId, RegisterRefusal,
    Relay, SessionId, SessionRefusal, TaskId, failures,
};
use std::collections::BTreeSet;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, ReportedStatus};

impl Relay {
    /// `POST _provider-register`: the session's whole set.
    ///
    /// # Errors
    /// [`RegisterRefusal`]; nothing has changed then.
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
        self.check_register(request).map_err(RegisterRefusal::Invalid)?;
        let statuses = request
            .providers
            .iter()
            .map(|p| ReportedStatus::parse_initial(p.initial_status.as_deref()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(RegisterRefusal::Invalid)?;
        let key = self.session_for(owner, request, now, out)?;
        self.supersede(&key, out);
        let protocol = request.protocol.clamp(wire::PROTOCOL_1, wire::PROTOCOL_2);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.epoch += 1;
            session.protocol = protocol;
            session.instance.clone_from(&request.instance);
            session.owner = owner.clone();
            session.register_again = false;
        }
        self.lives(&key, now);
        let rejected = self.take_set(&key, owner, &request.providers, &statuses, now, out);
        let cancel = self.reconcile(&key, &request.inflight, now, out);
        out.push(Action::SaveSession(key));
        let Some(session) = self.sessions.get(&key) else {
            return Err(RegisterRefusal::Invalid("the session vanished".into()));
        };
        let rows =
            session.llms.iter().filter_map(|id| Some(self.view(id, self.llms.get(id)?).info));
        Ok(Registered {
            protocol,
            provider_session_id: key.to_string(),
            epoch: session.epoch,
            heartbeat_seconds: self.limits.heartbeat.div_ceil(1000),
            llms: rows.collect(),
            rejected,
            cancel,
            name_requests: self.name_requests_for(&owner.id),
        })
    }

    /// Checks what would refuse the whole register: its size, and the texts about the machine.
    fn check_register(&self, request: &Register) -> Result<(), String> {
        let most = self.limits.providers_per_register;
        if request.providers.len() > most {
            return Err(format!("`providers` has at most {most} entries"));
        }
        let Some(instance) = &request.instance else {
            return Ok(());
        };
        let texts = [
            ("`instance.id`", &instance.id),
            ("`instance.name`", &instance.name),
            ("`instance.version`", &instance.version),
            ("`instance.os`", &instance.os),
        ];
        texts.into_iter().try_for_each(|(what, text)| wire::names::check_text(what, text))
    }

    /// The session the register speaks of, or a new one.
    fn session_for(
        &mut self,
        owner: &Owner,
        request: &Register,
        now: Millis,
        out: &mut Actions,
    ) -> Result<SessionId, RegisterRefusal> {
        let given: Option<SessionId> =
            request.provider_session_id.as_ref().and_then(|id| id.parse().ok());
        if let Some((key, session)) = given.and_then(|id| self.sessions.get_key_value(&id)) {
            let id = |instance: &Option<wire::publisher::Instance>| {
                instance.as_ref().map(|i| i.id.clone())
            };
            let elsewhere = session.channel.is_some()
                && id(&session.instance) != id(&request.instance)
                && !request.takeover;
            if session.owner.id != owner.id || elsewhere {
                return Err(RegisterRefusal::SessionConflict);
            }
            return Ok(*key);
        }
        self.make_room_for_session(&owner.id, now, out)?;
        let key = SessionId(self.ids.fresh());
        let session = Session {
            owner: owner.clone(),
            instance: None,
            epoch: 0,
            protocol: wire::PROTOCOL_1,
            channel: None,
            last_seen: now,
            live: true,
            llms: BTreeSet::new(),
            tasks: BTreeSet::new(),
            register_again: false,
        };
        self.sessions.insert(key, session);
        Ok(key)
    }

    /// Ends the owner's session that was heard of least recently and is not connected, when there are
    /// too many. One without rows goes first.
    fn make_room_for_session(
        &mut self,
        owner: &OwnerId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), RegisterRefusal> {
        let theirs = || self.sessions.iter().filter(|(_, s)| s.owner.id == *owner);
        if theirs().count() < self.limits.sessions_per_owner {
            return Ok(());
        }
        let idle = theirs().filter(|(_, s)| s.channel.is_none() && s.tasks.is_empty());
        let oldest = idle.min_by_key(|(_, s)| (!s.llms.is_empty(), s.last_seen));
        let Some(key) = oldest.map(|(key, _)| *key) else {
            return Err(RegisterRefusal::TooManySessions(self.limits.sessions_per_owner));
        };
        self.end_session(&key, "its machine was replaced by newer ones", now, out);
        Ok(())
    }

    /// Forgets a session, its rows, its channel and its requests for names.
    pub(crate) fn end_session(
        &mut self,
        key: &SessionId,
        why: &str,
        now: Millis,
        out: &mut Actions,
    ) {
        for id in self.sessions.get(key).map(|s| s.llms.clone()).unwrap_or_default() {
            self.delete_row(&id, why, now, out);
        }
        self.set_name_requests(key, BTreeSet::new());
        if let Some(channel) = self.sessions.remove(key).and_then(|s| s.channel) {
            self.channels.remove(&channel);
            out.push(Action::CloseChannel { channel, last: LastEvent::None });
        }
        out.push(Action::SaveSession(*key));
    }

    fn supersede(&mut self, key: &SessionId, out: &mut Actions) {
        if let Some(channel) = self.sessions.get_mut(key).and_then(|s| s.channel.take()) {
            self.channels.remove(&channel);
            out.push(Action::CloseChannel { channel, last: LastEvent::Superseded });
        }
    }

    /// Compares what runs here with what runs there after a register, and returns what the
    /// publisher should stop.
    fn reconcile(
        &mut self,
        key: &SessionId,
        inflight: &[String],
        now: Millis,
        out: &mut Actions,
    ) -> Vec<String> {
        let named: BTreeSet<TaskId> = inflight.iter().filter_map(|id| id.parse().ok()).collect();
        let ours = self.sessions.get(key).map(|s| s.tasks.clone()).unwrap_or_default();
        for task in ours.difference(&named).copied() {
            let Some((phase, modern)) = self.tasks.get(&task).map(|t| (t.phase, t.modern)) else {
                continue;
            };
            match phase {
                // It was lost with the old channel, or the channel with it: the same publisher does
                // not get it a second time.
                Phase::Dispatched if self.try_again(task, true, now, out) => {}
                Phase::Ended => self.release(task, now, out),
                Phase::Accepted | Phase::Dispatched if modern => {
                    let failure = failures::publisher_lost(&self.name_of(task));
                    out.push(Action::Fail { task, failure });
                    self.release(task, now, out);
                }
                // Its upload tells how it ends.
                Phase::Queued | Phase::Accepted | Phase::Dispatched | Phase::Answering => {}
            }
        }
        for task in ours.intersection(&named) {
            if let Some(entry) = self.tasks.get_mut(task) {
                entry.seen = now;
                entry.missed = 0;
            }
        }
        let unwanted = inflight.iter().filter(|id| {
            let task = id.parse::<TaskId>().ok().filter(|task| ours.contains(task));
            let phase = task.and_then(|task| self.tasks.get(&task)).map(|t| t.phase);
            phase.is_none_or(|p| p == Phase::Ended)
        });
        unwanted.cloned().collect()
    }

    /// A control channel is opened for a session. An older one of the session is superseded.
    ///
    /// # Errors
    /// [`SessionRefusal::Unknown`], for unknown and foreign sessions.
    pub fn open_channel(
        &mut self,
        owner: &OwnerId,
        session: SessionId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<Opened, SessionRefusal> {
        let key = self.own_session(owner, session)?;
        self.supersede(&key, out);
        self.next_channel += 1;
        let channel = ChannelId(self.next_channel);
        self.channels.insert(channel, key);
        self.lives(&key, now);
        let Some(entry) = self.sessions.get_mut(&key) else {
            return Err(SessionRefusal::Unknown);
        };
        entry.channel = Some(channel);
        let opened = Opened { channel, epoch: entry.epoch, protocol: entry.protocol };
        self.session_moved(&key);
        Ok(opened)
    }

    /// The open channel of an own session.
    ///
    /// # Errors
    /// [`SessionRefusal::Unknown`], for unknown and foreign sessions.
    pub fn channel_of(
        &self,
        owner: &OwnerId,
        session: SessionId,
    ) -> Result<Option<ChannelId>, SessionRefusal> {
        let key = self.own_session(owner, session)?;
        Ok(self.sessions.get(&key).and_then(|s| s.channel))
    }

    /// After the driver has sent `hello`: what waited for the channel may go.
    pub fn channel_ready(&mut self, channel: ChannelId, now: Millis, out: &mut Actions) {
        let Some(key) = self.channels.get(&channel).cloned() else {
            return;
        };
        for llm in self.sessions.get(&key).map(|s| s.llms.clone()).unwrap_or_default() {
            self.pump(&llm, now, out);
        }
    }

    /// The channel's response ended or its queue overflowed. Running tasks go on.
    pub fn channel_closed(&mut self, channel: ChannelId) {
        let Some(key) = self.channels.remove(&channel) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&key)
            && session.channel == Some(channel)
        {
            session.channel = None;
        }
        self.session_moved(&key);
    }

    /// Deadlines of a session's tasks depend on whether its channel is open.
    fn session_moved(&mut self, key: &SessionId) {
        let tasks = self.sessions.get(key).map(|s| s.tasks.clone()).unwrap_or_default();
        for task in tasks {
            self.reschedule(task);
        }
    }

    /// `POST _provider-heartbeat`.
    ///
    /// # Errors
    /// [`SessionRefusal`].
    pub fn heartbeat(
        &mut self,
        owner: &OwnerId,
        beat: &Heartbeat,
        now: Millis,
        out: &mut Actions,
    ) -> Result<HeartbeatReply, SessionRefusal> {
        let key = {
            let given = beat.provider_session_id.parse();
            self.own_session(owner, given.map_err(|_| SessionRefusal::Unknown)?)?
        };
        let Some(session) = self.sessions.get(&key) else {
            return Err(SessionRefusal::Unknown);
        };
        if beat.epoch.is_some_and(|epoch| epoch != session.epoch) {
            return Err(SessionRefusal::StaleEpoch);
        }
        let llms: Vec<LlmId> = session.llms.iter().cloned().collect();
        self.lives(&key, now);
        for report in &beat.llms {
            let name = report.name.to_ascii_lowercase();
            let row = llms.iter().find(|id| self.llms.get(id).is_some_and(|l| l.name == name));
            if let Some(id) = row {
                self.set_status(id, report.status, now, out);
            }
        }
        for id in &llms {
            self.pump(id, now, out);
        }
        let mut reply = HeartbeatReply {
            name_requests: self.name_requests_for(owner),
            register_again: self.sessions.get(&key).is_some_and(|s| s.register_again),
            ..HeartbeatReply::default()
        };
        if let Some(inflight) = &beat.inflight {
            reply.cancel = self.count_absent(&key, inflight, now, out, &mut reply.unknown);
        }
        Ok(reply)
    }

    /// Tasks that two heartbeats in a row did not name are lost. Returns what to cancel; adds what
    /// is not known.
    fn count_absent(
        &mut self,
        key: &SessionId,
        inflight: &[String],
        now: Millis,
        out: &mut Actions,
        unknown: &mut Vec<String>,
    ) -> Vec<String> {
        let named: BTreeSet<TaskId> = inflight.iter().filter_map(|id| id.parse().ok()).collect();
        let ours = self.sessions.get(key).map(|s| s.tasks.clone()).unwrap_or_default();
        for task in ours.difference(&named).copied() {
            let Some(entry) = self.tasks.get_mut(&task) else {
                continue;
            };
            entry.missed = entry.missed.saturating_add(1);
            let gone = entry.missed >= 2 && entry.modern;
            match entry.phase {
                Phase::Ended if gone => self.release(task, now, out),
                Phase::Accepted | Phase::Answering if gone => {
                    let failure = failures::publisher_lost(&self.name_of(task));
                    self.fail_running(task, failure, now, out);
                }
                Phase::Queued
                | Phase::Dispatched
                | Phase::Accepted
                | Phase::Answering
                | Phase::Ended => {}
            }
        }
        let mut cancel = Vec::new();
        for id in inflight {
            let task = id.parse::<TaskId>().ok().filter(|task| ours.contains(task));
            match task.and_then(|task| self.tasks.get_mut(&task)) {
                None if task.is_none_or(|t| !self.wakes.contains_key(&t)) => {
                    unknown.push(id.clone());
                }
                None => {}
                Some(entry) => {
                    entry.seen = now;
                    entry.missed = 0;
                    if entry.phase == Phase::Ended {
                        cancel.push(id.clone());
                    }
                }
            }
        }
        cancel
    }

    /// The owner lost the right to publish: its channels close, its rows go inactive.
    pub fn revoke_owner(&mut self, owner: &OwnerId, reason: &str, now: Millis, out: &mut Actions) {
        let theirs: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.owner.id == *owner)
            .map(|(key, _)| *key)
            .collect();
        for key in theirs {
            if let Some(channel) = self.sessions.get_mut(&key).and_then(|s| s.channel.take()) {
                self.channels.remove(&channel);
                let last = LastEvent::Revoked(reason.to_owned());
                out.push(Action::CloseChannel { channel, last });
            }
            self.expire(&key, "its publisher's token was revoked", now, out);
        }
    }

    /// A sign of life. Rows whose publisher was taken for gone are what it says of them again.
    fn lives(&mut self, key: &SessionId, now: Millis) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.last_seen = now;
        if std::mem::replace(&mut session.live, true) {
            return;
        }
        for id in &session.llms {
            if let Some(llm) = self.llms.get_mut(id)
                && llm.reason.take().is_some()
            {
                llm.since = now;
                llm.reason = crate::published::why(llm.reported);
            }
        }
    }

    /// The session's lease is over: its rows are inactive and what waits for them fails.
    pub(crate) fn expire(&mut self, key: &SessionId, why: &str, now: Millis, out: &mut Actions) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.live = false;
        for id in session.llms.clone() {
            self.end_wake(&id);
            let Some(llm) = self.llms.get_mut(&id) else {
                continue;
            };
            llm.since = now;
            llm.reason = Some(why.to_owned());
            let failure = failures::inactive(&llm.name, why);
            self.fail_queue(&id, &failure, out);
            out.push(Action::SaveLlm(id));
        }
        out.push(Action::SaveSession(*key));
    }

    fn own_session(&self, owner: &OwnerId, key: SessionId) -> Result<SessionId, SessionRefusal> {
        match self.sessions.get(&key) {
            Some(found) if found.owner.id == *owner => Ok(key),
            Some(_) | None => Err(SessionRefusal::Unknown),
        }
    }
}
