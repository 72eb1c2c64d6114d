//! The publisher's side of a session: register, control channel, heartbeat, revocation.

use crate::rows::{Llm, Session};
use crate::task::Phase;
use crate::{
    Action, Actions, ChannelId, LastEvent, LlmId, Millis, Opened, Owner, OwnerId, RegisterRefusal,
    Relay, SessionId, SessionRefusal, TaskId, Tombstone, failures,
};
use std::collections::BTreeSet;
use wire::publisher::{
    Heartbeat, HeartbeatReply, Provider, Register, Registered, Rejected, ReportedStatus,
};

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
        let statuses = request
            .providers
            .iter()
            .map(|p| ReportedStatus::parse_initial(p.initial_status.as_deref()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(RegisterRefusal::Invalid)?;
        let key = self.session_for(owner, request, now)?;
        self.supersede(&key, out);
        let protocol = request.protocol.clamp(wire::PROTOCOL_1, wire::PROTOCOL_2);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.epoch += 1;
            session.protocol = protocol;
            session.instance.clone_from(&request.instance);
            session.owner = owner.clone();
            session.last_seen = now;
            session.live = true;
        }
        let rejected = self.take_set(&key, owner, &request.providers, &statuses, now, out);
        let cancel = self.reconcile(&key, &request.inflight, now, out);
        out.push(Action::SaveSession(key.clone()));
        let Some(session) = self.sessions.get(&key) else {
            return Err(RegisterRefusal::Invalid("the session vanished".into()));
        };
        let rows =
            session.llms.iter().filter_map(|id| Some(self.view(id, self.llms.get(id)?).info));
        Ok(Registered {
            protocol,
            provider_session_id: key.0.clone(),
            epoch: session.epoch,
            heartbeat_seconds: self.limits.heartbeat.div_ceil(1000),
            llms: rows.collect(),
            rejected,
            cancel,
        })
    }

    /// The session the register speaks of, or a new one.
    fn session_for(
        &mut self,
        owner: &Owner,
        request: &Register,
        now: Millis,
    ) -> Result<SessionId, RegisterRefusal> {
        let given = request.provider_session_id.clone().map(SessionId);
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
            return Ok(key.clone());
        }
        let key = SessionId(format!("{:032x}", self.ids.fresh()));
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
        };
        self.sessions.insert(key.clone(), session);
        Ok(key)
    }

    fn supersede(&mut self, key: &SessionId, out: &mut Actions) {
        if let Some(channel) = self.sessions.get_mut(key).and_then(|s| s.channel.take()) {
            self.channels.remove(&channel);
            out.push(Action::CloseChannel { channel, last: LastEvent::Superseded });
        }
    }

    /// Makes the session's rows what the register says, and returns what it could not take.
    fn take_set(
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
            queue: std::collections::VecDeque::new(),
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
                // It never arrived: the old channel lost it.
                Phase::Dispatched if self.try_again(task, false, now, out) => {}
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
        session: &str,
        now: Millis,
        out: &mut Actions,
    ) -> Result<Opened, SessionRefusal> {
        let key = self.own_session(owner, session)?;
        self.supersede(&key, out);
        self.next_channel += 1;
        let channel = ChannelId(self.next_channel);
        self.channels.insert(channel, key.clone());
        let Some(entry) = self.sessions.get_mut(&key) else {
            return Err(SessionRefusal::Unknown);
        };
        entry.channel = Some(channel);
        entry.last_seen = now;
        entry.live = true;
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
        session: &str,
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
    pub fn channel_closed(&mut self, channel: ChannelId, _now: Millis, _out: &mut Actions) {
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
        let key = self.own_session(owner, &beat.provider_session_id)?;
        let Some(session) = self.sessions.get_mut(&key) else {
            return Err(SessionRefusal::Unknown);
        };
        if beat.epoch.is_some_and(|epoch| epoch != session.epoch) {
            return Err(SessionRefusal::StaleEpoch);
        }
        session.last_seen = now;
        session.live = true;
        let llms: Vec<LlmId> = session.llms.iter().cloned().collect();
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
        let mut reply = HeartbeatReply::default();
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
            entry.missed += 1;
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

    /// What the publisher says of a backend.
    fn set_status(&mut self, id: &LlmId, status: ReportedStatus, now: Millis, out: &mut Actions) {
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
            llm.reason = (status == ReportedStatus::Inactive).then(|| "its backend is down".into());
        }
    }

    /// The owner lost the right to publish: its channels close, its rows go inactive.
    pub fn revoke_owner(&mut self, owner: &OwnerId, reason: &str, now: Millis, out: &mut Actions) {
        let theirs: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.owner.id == *owner)
            .map(|(key, _)| key.clone())
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
        out.push(Action::SaveSession(key.clone()));
    }

    fn own_session(&self, owner: &OwnerId, session: &str) -> Result<SessionId, SessionRefusal> {
        let key = SessionId(session.to_owned());
        match self.sessions.get(&key) {
            Some(found) if found.owner.id == *owner => Ok(key),
            Some(_) | None => Err(SessionRefusal::Unknown),
        }
    }
}
