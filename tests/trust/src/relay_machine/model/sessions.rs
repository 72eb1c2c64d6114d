//! §5.2 control channel, §5.4 heartbeat, §7 sessions, §16 revocation, drain and restart.

use super::tasks::{Phase, Task};
use super::{Check, Expected, LastEventKind, Model, ensure};
use crate::relay_machine::CROWD;
use relay::{ChannelId, Millis, Opened, OwnerId, SavedSession, SessionId, SessionRefusal, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use wire::error::Code;
use wire::publisher::{Heartbeat, HeartbeatReply, NameRequest};

/// §7.1.
pub(super) struct Session {
    pub(super) owner: OwnerId,
    pub(super) groups: Vec<String>,
    pub(super) instance: Option<String>,
    pub(super) epoch: u64,
    pub(super) protocol: u32,
    pub(super) channel: Option<ChannelId>,
    pub(super) last_seen: Millis,
    pub(super) live: bool,
    pub(super) register_again: bool,
    /// §8.7: names that were refused at the latest register.
    pub(super) requests: BTreeSet<String>,
}

impl Session {
    pub(super) fn new(owner: OwnerId, now: Millis) -> Self {
        Self {
            owner,
            groups: Vec::new(),
            instance: None,
            epoch: 0,
            protocol: wire::PROTOCOL_1,
            channel: None,
            last_seen: now,
            live: false,
            register_again: false,
            requests: BTreeSet::new(),
        }
    }
}

impl Model {
    /// The session of this id, if it belongs to this user; all others count as unknown (§5).
    fn own(&self, owner: &OwnerId, id: Option<SessionId>) -> Option<SessionId> {
        id.filter(|id| self.sessions.get(id).is_some_and(|session| session.owner == *owner))
    }

    /// §7.5.1.
    pub(super) fn renew_lease(&mut self, id: SessionId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.last_seen = now;
        if std::mem::replace(&mut session.live, true) {
            return;
        }
        for entry in self.entries.values_mut().filter(|entry| entry.session == id) {
            entry.set_since(now);
        }
    }

    /// A control channel is opened (§5.2, §6.3).
    pub(in crate::relay_machine) fn opened(
        &mut self,
        owner: &OwnerId,
        id: Option<SessionId>,
        reply: Result<&Opened, &SessionRefusal>,
    ) -> Check {
        let Some(id) = self.own(owner, id) else {
            return ensure(reply == Err(&SessionRefusal::Unknown), || {
                format!("§5.2: the stream of an unknown session gets {reply:?}")
            });
        };
        let opened = reply.map_err(|refusal| format!("§5.2: the stream gets {refusal:?}"))?;
        self.must_close(id, LastEventKind::Superseded);
        self.renew_lease(id);
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        ensure((opened.epoch, opened.protocol) == (session.epoch, session.protocol), || {
            format!("§6: hello has {opened:?}, not epoch {}", session.epoch)
        })?;
        session.channel = Some(opened.channel);
        for entry in self.entries_of(id) {
            // §14.1: the publisher has returned.
            for task in self.waiting(entry) {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.awaits_return = false;
                }
            }
            self.advance(entry);
        }
        Ok(())
    }

    /// A control channel breaks.
    pub(in crate::relay_machine) fn channel_closed(&mut self, channel: ChannelId) {
        for session in self.sessions.values_mut() {
            session.channel.take_if(|open| *open == channel);
        }
    }

    /// The session's channel, if it has one, must be closed.
    pub(super) fn must_close(&mut self, id: SessionId, last: LastEventKind) {
        let session = self.sessions.get_mut(&id);
        if let Some(channel) = session.and_then(|session| session.channel.take()) {
            self.expected.closed.insert(channel, last);
        }
    }

    /// A heartbeat (§5.4).
    pub(in crate::relay_machine) fn heartbeat(
        &mut self,
        owner: &OwnerId,
        request: &Heartbeat,
        reply: Result<&HeartbeatReply, &SessionRefusal>,
    ) -> Check {
        let id = self.own(owner, request.provider_session_id.parse().ok());
        let epoch = id.map(|id| self.sessions[&id].epoch);
        let refusal = match epoch {
            None => Some(SessionRefusal::Unknown),
            Some(epoch) if request.epoch.is_some_and(|named| named != epoch) => {
                Some(SessionRefusal::StaleEpoch)
            }
            Some(_) => None,
        };
        let (Some(id), None) = (id, refusal) else {
            return ensure(reply.err() == refusal.as_ref(), || {
                format!("§5.4: the heartbeat gets {reply:?}, not {refusal:?}")
            });
        };
        let reply = reply.map_err(|refusal| format!("§5.4: the heartbeat gets {refusal:?}"))?;
        // In the order of §5.4.
        self.renew_lease(id);
        for report in &request.llms {
            let named = |entry: &_| self.entries[entry].name == report.name.to_ascii_lowercase();
            if let Some(entry) = self.entries_of(id).into_iter().find(named) {
                self.report(entry, report.status.into());
            }
        }
        for entry in self.entries_of(id) {
            self.advance(entry);
        }
        let named: BTreeSet<TaskId> =
            request.inflight.iter().flatten().filter_map(|task| task.parse().ok()).collect();
        self.check_heartbeat_reply(id, &named, reply)?;
        if request.inflight.is_some() {
            self.expected.counting = Some(id);
            self.count_absence(id, &named);
        }
        Ok(())
    }

    fn check_heartbeat_reply(
        &self,
        id: SessionId,
        named: &BTreeSet<TaskId>,
        reply: &HeartbeatReply,
    ) -> Check {
        let own = self.tasks_of(id);
        let wakes = self.entries.values().filter_map(|entry| entry.wake.as_ref());
        let wakes: BTreeSet<TaskId> =
            wakes.filter(|wake| wake.session == id).map(|wake| wake.task).collect();
        let unknown = named.iter().filter(|task| !own.contains(task) && !wakes.contains(task));
        let ended = named.iter().filter(|task| own.contains(task) && !self.tasks[task].is_open());
        let (unknown, ended) = (texts(unknown), texts(ended));
        let found: BTreeSet<String> = reply.cancel.iter().cloned().collect();
        ensure(found == ended, || format!("§13.2: cancel is {found:?}, not {ended:?}"))?;
        let found: BTreeSet<String> = reply.unknown.iter().cloned().collect();
        ensure(found == unknown, || format!("§5.4: unknown is {found:?}, not {unknown:?}"))?;
        let session = &self.sessions[&id];
        ensure(reply.register_again == session.register_again, || {
            format!("§8.5: registerAgain is {}", reply.register_again)
        })?;
        self.check_name_requests(&session.owner, &reply.name_requests)
    }

    /// §8.7.
    pub(super) fn check_name_requests(&self, owner: &OwnerId, found: &[NameRequest]) -> Check {
        let expected = self.name_requests_for(owner);
        let found: Vec<_> = found.iter().map(|one| (one.name.clone(), one.user.clone())).collect();
        ensure(found == expected, || format!("§8.7: nameRequests is {found:?}, not {expected:?}"))
    }

    /// §14.4.2.
    fn count_absence(&mut self, id: SessionId, named: &BTreeSet<TaskId>) {
        let now = self.now;
        for task in self.tasks_of(id) {
            let Some(run) = self.run_mut(task) else { continue };
            if named.contains(&task) {
                run.named(now);
                continue;
            }
            // §20: absence does not count.
            if run.protocol == wire::PROTOCOL_1 {
                continue;
            }
            run.absent += 1;
            if run.absent < 2 {
                continue;
            }
            match run.phase {
                Phase::Accepted | Phase::Answering { .. } => {
                    self.must_fail_and_end(task, Code::PublisherLost);
                }
                Phase::Ended { .. } => self.must_release(task),
                Phase::Dispatched => {}
            }
        }
    }

    /// A sweep (§7.5, §7.6).
    pub(in crate::relay_machine) fn swept(&mut self) {
        let now = self.now;
        let since = now - std::mem::replace(&mut self.last_sweep, now);
        // §7.5.4.
        if since > 2 * self.limits.sweep {
            for session in self.sessions.values_mut().filter(|session| session.live) {
                session.last_seen = now.min(session.last_seen + since);
            }
        }
        let live = self.sessions.iter().filter(|(_, session)| session.live);
        let (mut count, mut expired) = (0, Vec::new());
        for (id, session) in live {
            count += 1;
            if now > session.last_seen + self.limits.lease {
                expired.push(*id);
            }
        }
        // §7.5.5.
        if count >= CROWD && expired.len() * 100 >= count * 55 {
            self.frozen_until = now + self.limits.freeze;
        }
        for id in expired {
            self.expire(id, "its publisher is gone");
        }
        // §9.3: after the grace, requests for entries that are not live do not wait.
        let entries: Vec<_> = self.entries.keys().copied().collect();
        for entry in entries {
            if !self.is_live(entry) && !self.in_grace() {
                self.fail_queue(entry, Code::LlmInactive);
            }
        }
        // §7.5.5, §16.3.4.
        if now >= self.started + self.limits.grace_delete && now >= self.frozen_until {
            self.end_sessions();
            self.free_expired_reservations();
        }
    }

    /// §7.5.2.
    fn expire(&mut self, id: SessionId, why: &str) {
        let now = self.now;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.live = false;
        }
        for entry in self.entries_of(id) {
            if let Some(entry) = self.entries.get_mut(&entry) {
                entry.wake = None;
                entry.unreachable(why, now);
            }
            self.fail_queue(entry, Code::LlmInactive);
        }
    }

    /// §7.6.
    fn end_sessions(&mut self) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let session = &self.sessions[&id];
            let bare = self.entries_of(id).is_empty() && session.channel.is_none();
            let limit = if bare { self.limits.empty_session } else { self.limits.delete_after };
            let old = self.now > session.last_seen + limit;
            if old && !session.live && self.tasks_of(id).is_empty() {
                self.end_session(id);
                self.apply_shares();
                self.note_shares();
            }
        }
    }

    pub(super) fn end_session(&mut self, id: SessionId) {
        self.must_close(id, LastEventKind::None);
        self.sessions.remove(&id);
        for entry in self.entries_of(id) {
            self.withdraw(entry);
        }
    }

    /// The last key with scope `publish` of a user dies (§16.1).
    pub(in crate::relay_machine) fn revoked(&mut self, owner: &OwnerId) {
        let of = |(id, session): (&SessionId, &Session)| (session.owner == *owner).then_some(*id);
        let ids: Vec<SessionId> = self.sessions.iter().filter_map(of).collect();
        for id in ids {
            self.must_close(id, LastEventKind::Revoked);
            self.expire(id, "its publisher's token was revoked");
        }
    }

    /// The server begins to drain (§16.2).
    pub(in crate::relay_machine) fn drained(&mut self) {
        self.draining = true;
        self.expected.drained =
            self.sessions.values().filter_map(|session| session.channel).collect();
        let queued = |(id, task): (&TaskId, &Task)| task.run().is_none().then_some(*id);
        let queued: Vec<TaskId> = self.tasks.iter().filter_map(queued).collect();
        for task in queued {
            self.must_fail(task, Code::ServerShutdown);
            self.expected.forgotten.insert(task);
        }
    }

    /// The server is killed and starts again (§16.3).
    pub(in crate::relay_machine) fn restarted(&mut self, now: Millis) {
        self.now = now;
        (self.started, self.last_sweep) = (now, now);
        (self.draining, self.frozen_until, self.stalled) = (false, 0, false);
        self.tasks.clear();
        self.expected = Expected::default();
        for session in self.sessions.values_mut() {
            let old = std::mem::replace(session, Session::new(session.owner.clone(), now));
            (session.epoch, session.instance) = (old.epoch, old.instance);
            session.groups = old.groups;
        }
        self.entries.values_mut().for_each(|entry| entry.restart(now));
    }

    /// Compares the stored sessions (§16.3.1).
    pub(in crate::relay_machine) fn check_stored_sessions(
        &self,
        stored: &BTreeMap<SessionId, SavedSession>,
    ) -> Check {
        ensure(stored.keys().eq(self.sessions.keys()), || {
            format!("§16.3: stored sessions are {:?}", stored.keys())
        })?;
        for (id, session) in &self.sessions {
            let saved = &stored[id];
            let instance = saved.instance.as_ref().map(|instance| &instance.id);
            let found = (&saved.owner.id, &saved.owner.groups, saved.epoch, instance);
            let expected =
                (&session.owner, &session.groups, session.epoch, session.instance.as_ref());
            ensure(found == expected, || {
                format!("§16.3: a session is stored as {found:?}, not {expected:?}")
            })?;
        }
        Ok(())
    }
}

pub(super) fn texts<'a>(tasks: impl Iterator<Item = &'a TaskId>) -> BTreeSet<String> {
    tasks.map(ToString::to_string).collect()
}
