//! §5.1 register, §7.2 to §7.4, §12.4.

use super::entries::{Entry, Reported};
use super::sessions::Session;
use super::tasks::Phase;
use super::{Check, LastEventKind, Model, ensure};
use relay::{LlmId, Owner, OwnerId, RegisterRefusal, SessionId, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use wire::error::Code;
use wire::publisher::{Provider, Register, Registered, RejectionCode};

impl Model {
    /// A register and its response.
    pub(in crate::relay_machine) fn registered(
        &mut self,
        owner: &Owner,
        request: &Register,
        reply: Result<&Registered, &RegisterRefusal>,
    ) -> Check {
        let session = match self.session_of(&owner.id, request) {
            Ok(session) => session,
            Err(refusal) => {
                return ensure(reply == Err(&refusal), || {
                    format!("§7.2: register gets {reply:?}, not {refusal:?}")
                });
            }
        };
        let reply = reply.map_err(|refusal| format!("§7.2: register gets {refusal:?}"))?;
        let id: SessionId = reply
            .provider_session_id
            .parse()
            .map_err(|_| "§5.1: the session id has another form".to_owned())?;
        match session {
            Some(session) => ensure(id == session, || format!("§7.2: another session {id}"))?,
            None => {
                ensure(!self.sessions.contains_key(&id), || "§7.2: an old session".into())?;
                self.make_room(&owner.id);
            }
        }
        self.apply_register(owner, request, id, reply)
    }

    /// §7.2: the session of a register; `None` for a new one.
    fn session_of(
        &self,
        owner: &OwnerId,
        request: &Register,
    ) -> Result<Option<SessionId>, RegisterRefusal> {
        if self.draining {
            return Err(RegisterRefusal::Draining);
        }
        let named = request.provider_session_id.as_ref().and_then(|id| id.parse().ok());
        let Some((id, session)) = named.and_then(|id| Some((id, self.sessions.get(&id)?))) else {
            let full = self.is_full(owner) && self.displaced(owner).is_none();
            let refusal = RegisterRefusal::TooManySessions(self.limits.sessions_per_owner);
            return if full { Err(refusal) } else { Ok(None) };
        };
        let instance = request.instance.as_ref().map(|instance| &instance.id);
        let other = session.channel.is_some() && session.instance.as_ref() != instance;
        if session.owner != *owner || (other && !request.takeover) {
            return Err(RegisterRefusal::SessionConflict);
        }
        Ok(Some(id))
    }

    fn is_full(&self, owner: &OwnerId) -> bool {
        let own = self.sessions.values().filter(|session| session.owner == *owner);
        own.count() >= self.limits.sessions_per_owner
    }

    /// §7.2: the session that ends for a new one.
    fn displaced(&self, owner: &OwnerId) -> Option<SessionId> {
        let idle = self.sessions.iter().filter(|(id, session)| {
            session.owner == *owner && session.channel.is_none() && self.tasks_of(**id).is_empty()
        });
        let ids =
            idle.map(|(id, session)| (!self.entries_of(*id).is_empty(), session.last_seen, *id));
        ids.min().map(|(.., id)| id)
    }

    fn make_room(&mut self, owner: &OwnerId) {
        if self.is_full(owner)
            && let Some(id) = self.displaced(owner)
        {
            self.end_session(id);
        }
    }

    /// §7.3, in its order.
    fn apply_register(
        &mut self,
        Owner { id: owner, groups, .. }: &Owner,
        request: &Register,
        id: SessionId,
        reply: &Registered,
    ) -> Check {
        self.must_close(id, LastEventKind::Superseded);
        let now = self.now;
        let session = self.sessions.entry(id).or_insert_with(|| Session::new(owner.clone(), now));
        session.epoch += 1;
        session.groups.clone_from(groups);
        session.protocol = request.protocol.clamp(wire::PROTOCOL_1, wire::PROTOCOL_2);
        session.instance = request.instance.as_ref().map(|instance| instance.id.clone());
        session.register_again = false;
        session.requests.clear();
        ensure((reply.epoch, reply.protocol) == (session.epoch, session.protocol), || {
            format!("§7.3: epoch {} and protocol {}", reply.epoch, reply.protocol)
        })?;
        self.renew_lease(id);
        let declared: BTreeSet<String> =
            request.providers.iter().map(|provider| provider.name.to_ascii_lowercase()).collect();
        for entry in self.entries_of(id) {
            let name = self.entries[&entry].name.clone();
            if !declared.contains(&name) {
                self.expected.withdrawn.insert(name);
                self.withdraw(entry);
            }
        }
        let taken = self.take_providers(owner, request, id, reply)?;
        for entry in self.entries_of(id) {
            if !taken.contains(&entry) {
                self.expected.withdrawn.insert(self.entries[&entry].name.clone());
                self.withdraw(entry);
            }
        }
        self.apply_shares();
        let found: BTreeSet<LlmId> =
            reply.llms.iter().filter_map(|info| info.id.parse().ok()).collect();
        let expected: BTreeSet<LlmId> = self.entries_of(id).into_iter().collect();
        ensure(found == expected, || format!("§5.1: llms is {found:?}, not {expected:?}"))?;
        self.check_name_requests(owner, &reply.name_requests)?;
        self.check_named(id, &request.inflight, reply)?;
        self.compare_tasks(id, &request.inflight);
        Ok(())
    }

    /// §12.4: `cancel` and `resume`. How much of an answer has arrived (§5.1) is not the relay's.
    fn check_named(&self, id: SessionId, inflight: &[String], reply: &Registered) -> Check {
        let goes_on = |task: &&String| {
            let task = task.parse::<TaskId>().ok().and_then(|task| self.tasks.get(&task));
            task.is_some_and(|task| {
                task.is_open() && task.run().is_some_and(|run| run.session == id)
            })
        };
        let (resume, cancel): (BTreeSet<&String>, _) = inflight.iter().partition(goes_on);
        let found: BTreeSet<&String> = reply.cancel.iter().collect();
        ensure(found == cancel, || format!("§12.4: cancel is {found:?}, not {cancel:?}"))?;
        let found: BTreeSet<&String> = reply.resume.iter().map(|resumed| &resumed.id).collect();
        ensure(found == resume, || format!("§12.4: resume is {found:?}, not {resume:?}"))
    }

    /// §7.3.4, §7.4; returns the entries that were taken.
    fn take_providers(
        &mut self,
        owner: &OwnerId,
        request: &Register,
        id: SessionId,
        reply: &Registered,
    ) -> Result<BTreeSet<LlmId>, String> {
        let new_ids: BTreeMap<&str, LlmId> = reply
            .llms
            .iter()
            .filter_map(|info| Some((&*info.name, info.id.parse().ok()?)))
            .collect();
        let (mut taken, mut rejected) = (BTreeSet::new(), Vec::new());
        for provider in &request.providers {
            match self.rejection(owner, id, &taken, provider) {
                Some(code) => rejected.push((provider.name.clone(), code)),
                None => {
                    let new_id = new_ids.get(&*provider.name.to_ascii_lowercase()).copied();
                    taken.insert(self.take(owner, id, provider, new_id)?);
                }
            }
        }
        let found: Vec<_> =
            reply.rejected.iter().map(|one| (one.name.clone(), one.code.clone())).collect();
        ensure(found == rejected, || format!("§7.4: rejected is {found:?}, not {rejected:?}"))?;
        Ok(taken)
    }

    /// The user's entry of this name.
    fn entry_named(&self, owner: &OwnerId, name: &str) -> Option<LlmId> {
        let is_it = |entry: &Entry| entry.owner == *owner && entry.name == name;
        self.entries.iter().find(|(_, entry)| is_it(entry)).map(|(id, _)| *id)
    }

    /// §7.4: why a provider is rejected. Notes the request of another user's name (§8.7).
    fn rejection(
        &mut self,
        owner: &OwnerId,
        id: SessionId,
        taken: &BTreeSet<LlmId>,
        provider: &Provider,
    ) -> Option<RejectionCode> {
        let groups = self.sessions[&id].groups.clone();
        let names = std::iter::once(&provider.name).chain(&provider.pool);
        for name in names.map(|name| name.to_ascii_lowercase()) {
            if !self.may_serve(owner, &groups, &name) {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.requests.insert(name);
                }
                return Some(RejectionCode::NameTaken);
            }
        }
        match self.entry_named(owner, &provider.name.to_ascii_lowercase()) {
            Some(entry) => {
                let other = self.entries[&entry].session != id;
                let session = self.sessions.get(&self.entries[&entry].session);
                let open = session.is_some_and(|session| session.channel.is_some());
                let blocked = other && open || taken.contains(&entry);
                blocked.then_some(RejectionCode::NameTaken)
            }
            None => {
                let count = self.entries.values().filter(|entry| entry.owner == *owner).count();
                (count >= self.limits.llms_per_owner).then_some(RejectionCode::TooMany)
            }
        }
    }

    fn take(
        &mut self,
        owner: &OwnerId,
        session: SessionId,
        provider: &Provider,
        new_id: Option<LlmId>,
    ) -> Result<LlmId, String> {
        let name = provider.name.to_ascii_lowercase();
        let id = self.entry_named(owner, &name).or(new_id);
        let id = id.ok_or_else(|| format!("§7.4: {name} should be taken"))?;
        let now = self.now;
        let is_live = |id: &SessionId| self.sessions.get(id).is_some_and(|session| session.live);
        let live: BTreeSet<SessionId> = self.sessions.keys().copied().filter(is_live).collect();
        let new = || Entry::new(owner.clone(), session, name.clone(), now);
        let entry = self.entries.entry(id).or_insert_with(new);
        let before = entry.pool.clone();
        // §11.4: a wake ends without a verdict when another session takes the entry over.
        let from = std::mem::replace(&mut entry.session, session);
        let moved = from != session;
        // §9.2.
        if !live.contains(&from) {
            entry.set_since(now);
        }
        let ended = entry.wake.take_if(|_| moved);
        entry.pool = provider.pool.as_ref().map(|pool| pool.to_ascii_lowercase());
        entry.share_name.clone_from(&provider.share_name);
        // §5.1: counts as 1 to 256.
        entry.slots = provider.max_concurrency.unwrap_or(1).clamp(1, 256) as usize;
        entry.wake_seconds = provider.wake_max_wait_seconds;
        let names = entry.names();
        if let Some(wake) = ended {
            self.expected.ended_wakes.insert(id, wake);
            self.restart_waiting(id);
        }
        if let Some(name) = before.filter(|pool| !names.contains(pool)) {
            self.leave_name(&name);
        }
        for name in names {
            self.use_name(&name, owner);
        }
        let asleep = provider.initial_status.as_deref() == Some("hibernating");
        self.report(id, if asleep { Reported::Hibernating } else { Reported::Active });
        Ok(id)
    }

    /// §12.4.
    fn compare_tasks(&mut self, id: SessionId, inflight: &[String]) {
        let named: BTreeSet<TaskId> =
            inflight.iter().filter_map(|task| task.parse().ok()).collect();
        let own = self.tasks_of(id);
        let now = self.now;
        for task in own {
            let Some(run) = self.run_mut(task) else { continue };
            // A publisher of protocol 1 names no tasks: those that it has go on (§20).
            let (phase, old) = (run.phase, run.protocol == wire::PROTOCOL_1);
            if named.contains(&task) {
                run.named(now);
                continue;
            }
            match phase {
                Phase::Ended { .. } => self.must_release(task),
                Phase::Dispatched | Phase::Accepted | Phase::Answering { .. } if old => {}
                Phase::Dispatched if self.sent_once_more(task) => {}
                Phase::Dispatched | Phase::Accepted | Phase::Answering { .. } => {
                    self.must_fail(task, Code::PublisherLost);
                    self.must_release(task);
                }
            }
        }
    }
}
