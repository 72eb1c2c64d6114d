//! What the relay answers, and what the model learns from it.

use super::{Model, Row, RowKey, Session, Task, Verdict, check};
use crate::relay_machine::publishers::pool_of;
use relay::{
    Allowed, AnswerEnd, ChannelId, Millis, Opened, OwnerId, RegisterRefusal, SessionRefusal,
    Submit, SubmitRefusal, TaskId, TaskRefusal, TaskSender,
};
use std::collections::BTreeSet;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, ReportedStatus};

impl Model {
    pub(in crate::relay_machine) fn registered(
        &mut self,
        owner: &OwnerId,
        request: &Register,
        reply: Result<&Registered, &RegisterRefusal>,
        now: Millis,
    ) -> Verdict {
        let given = request.provider_session_id.as_ref().and_then(|id| self.sessions.get(id));
        let instance = request.instance.as_ref().map(|i| i.id.clone());
        let conflict = given.is_some_and(|session| {
            let elsewhere = session.channel.is_some() && session.instance != instance;
            session.owner != *owner || elsewhere && !request.takeover
        });
        // It may have been deleted meanwhile; then it is a new one.
        let given_id = request.provider_session_id.as_deref().unwrap_or_default();
        let old = given.is_some_and(|s| self.may_be_gone(given_id, s, now));
        let registered = match reply {
            Err(RegisterRefusal::Draining) => return check(self.draining, || "no drain".into()),
            Err(RegisterRefusal::SessionConflict) => {
                return check(conflict, || "a conflict, with whom?".into());
            }
            Err(refused @ (RegisterRefusal::Invalid(_) | RegisterRefusal::TooManySessions(_))) => {
                return Err(format!("refused: {refused}"));
            }
            Ok(registered) => registered,
        };
        check(!self.draining && (!conflict || old), || "it should be refused".into())?;
        let id = registered.provider_session_id.clone();
        let before = self.sessions.get(&id);
        check(before.is_none_or(|s| s.owner == *owner), || "another owner's session".into())?;
        let epoch = before.map_or(0, |session| session.epoch);
        check(registered.epoch == epoch + 1, || format!("epoch {epoch} grew oddly"))?;
        if given.is_some() && !old {
            check(request.provider_session_id.as_ref() == Some(&id), || "a new session".into())?;
        }
        let expected = self.play_register(owner, &id, request, now);
        let (taken, refused) = (expected.taken, expected.refused);
        let named: BTreeSet<String> = registered.llms.iter().map(|l| l.name.clone()).collect();
        check(named == taken, || format!("took {named:?}, not {taken:?}"))?;
        let rejected: Vec<_> = registered.rejected.iter().map(|r| r.name.clone()).collect();
        check(rejected == refused, || format!("rejected {rejected:?}, not {refused:?}"))?;
        self.all_over_are_told(
            request.inflight.iter(),
            &registered.cancel.iter().collect::<Vec<_>>(),
        )?;
        for llm in &registered.llms {
            let known = self.rows.get(&(llm.name.clone(), owner.clone())).map(|row| &row.id);
            check(known.is_none_or(|known| *known == llm.id), || format!("{} moved", llm.name))?;
        }
        self.declare(owner, registered, request, instance, now);
        Ok(())
    }

    /// A publisher that names a request which is over must be told to stop.
    fn all_over_are_told<'a>(
        &self,
        named: impl Iterator<Item = &'a String>,
        told: &[&String],
    ) -> Verdict {
        for id in named {
            let task = id.parse().ok().and_then(|task| self.task(task));
            let over = task.is_none_or(|task| task.over);
            check(!over || told.contains(&id), || format!("{id} is over and goes on"))?;
        }
        Ok(())
    }

    fn declare(
        &mut self,
        owner: &OwnerId,
        registered: &Registered,
        request: &Register,
        instance: Option<String>,
        now: Millis,
    ) {
        let id = registered.provider_session_id.clone();
        let asleep =
            request.providers.iter().any(|p| p.initial_status.as_deref() == Some("hibernating"));
        let reported = if asleep { ReportedStatus::Hibernating } else { ReportedStatus::Active };
        for llm in &registered.llms {
            let shares = request.providers.iter().find(|provider| provider.name == llm.name);
            let shares = shares.map(|provider| provider.share_name.clone()).unwrap_or_default();
            let row = Row { id: llm.id.clone(), session: id.clone(), shares, reported };
            self.rows.insert((llm.name.clone(), owner.clone()), row);
        }
        self.apply_shares(owner, &id, now);
        let (owner, epoch) = (owner.clone(), registered.epoch);
        // Its channel is superseded, which an action says.
        let channel = self.sessions.get(&id).and_then(|s| s.channel);
        let heard = Some(now);
        self.sessions.insert(id, Session { owner, epoch, instance, channel, heard, last: now });
    }

    pub(in crate::relay_machine) fn opened(
        &mut self,
        owner: &OwnerId,
        session: &str,
        reply: Result<&Opened, &SessionRefusal>,
        now: Millis,
    ) -> Verdict {
        let own = self.sessions.get(session).is_some_and(|s| s.owner == *owner);
        let Ok(opened) = reply else {
            return self.refused_session(session, own, now);
        };
        check(own, || "somebody opened another's channel".into())?;
        let Some(entry) = self.sessions.get_mut(session) else {
            return Err("an unknown session has a channel".into());
        };
        check(entry.epoch == opened.epoch, || "hello has another epoch".into())?;
        entry.heard = Some(now);
        entry.last = now;
        let before = entry.channel.replace(opened.channel);
        self.channels.insert(opened.channel, session.to_owned());
        // The one before is superseded, which an action says; it must not be used any more.
        if let Some(before) = before {
            self.channels.remove(&before);
        }
        Ok(())
    }

    fn refused_session(&mut self, session: &str, own: bool, now: Millis) -> Verdict {
        let old = self.sessions.get(session).is_some_and(|s| self.may_be_gone(session, s, now));
        check(!own || old, || "an own session is not known".into())?;
        if own {
            self.sessions.remove(session);
        }
        Ok(())
    }

    pub(in crate::relay_machine) fn closed(&mut self, channel: ChannelId) {
        if let Some(session) = self.channels.remove(&channel)
            && let Some(session) = self.sessions.get_mut(&session)
        {
            session.channel.take_if(|open| *open == channel);
        }
    }

    pub(in crate::relay_machine) fn beaten(
        &mut self,
        owner: &OwnerId,
        beat: &Heartbeat,
        reply: Result<&HeartbeatReply, &SessionRefusal>,
        now: Millis,
    ) -> Verdict {
        let id = &beat.provider_session_id;
        let own = self.sessions.get(id).filter(|session| session.owner == *owner);
        let stale = own.is_some_and(|session| beat.epoch != Some(session.epoch));
        match reply {
            Err(SessionRefusal::Unknown) => self.refused_session(id, own.is_some(), now),
            Err(SessionRefusal::StaleEpoch) => check(stale, || "its epoch is the last".into()),
            Ok(reply) => {
                check(own.is_some() && !stale, || "a heartbeat that is not its own".into())?;
                let told: Vec<&String> = reply.cancel.iter().chain(&reply.unknown).collect();
                self.all_over_are_told(beat.inflight.iter().flatten(), &told)?;
                if let Some(session) = self.sessions.get_mut(id) {
                    session.heard = Some(now);
                    session.last = now;
                }
                for row in self.rows.values_mut().filter(|row| row.session == *id) {
                    row.reported = beat.llms.first().map_or(row.reported, |llm| llm.status);
                }
                Ok(())
            }
        }
    }

    pub(in crate::relay_machine) fn submitted(
        &mut self,
        submit: &Submit,
        task: TaskId,
        reply: Result<&(), &SubmitRefusal>,
    ) -> Verdict {
        let known = self.rows.keys().any(|row| is_for(&submit.name, &submit.allowed, row));
        let accepted = reply.is_ok();
        match reply {
            Ok(()) => check(known && !self.draining, || "it should be refused".into())?,
            Err(SubmitRefusal::NotFound { usable }) => {
                check(!known, || "it is there".into())?;
                let covers = |name: &str| {
                    let rows = self.rows.keys().filter(|row| row.0 == name);
                    rows.into_iter().any(|row| covers(&submit.allowed, row))
                };
                check(usable.iter().all(|name| covers(name)), || {
                    format!("{usable:?} are not for this caller")
                })?;
            }
            Err(SubmitRefusal::Failure(failure)) => {
                check(failure.status >= 429, || format!("an odd refusal: {failure:?}"))?;
            }
        }
        self.tasks.push(Task {
            wanted: submit.name.clone(),
            allowed: Some(submit.allowed.clone()),
            notices: submit.notices,
            over: !accepted,
            forgotten: !accepted,
            ..Task::default()
        });
        check(task.0 + 1 == self.tasks.len() as u128, || "tasks are counted wrongly".into())
    }

    pub(in crate::relay_machine) fn left(&mut self, task: TaskId) {
        if let Ok(task) = self.task_mut(task) {
            task.over = true;
        }
    }

    /// A publisher named a task: only one that it was sent to may.
    pub(in crate::relay_machine) fn named(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        refusal: Option<&TaskRefusal>,
        now: Millis,
    ) -> Verdict {
        let sent_to = self.task_mut(task)?.sent_to.clone();
        // Protocol 1 may leave its session out: then any of the owner's will do.
        let meant = |id: &&String| from.session.is_none_or(|given| id.parse() == Ok(given));
        let own = |id: &&String| self.sessions.get(*id).is_some_and(|s| s.owner == from.owner);
        let its: Vec<&String> = sent_to.iter().filter(meant).filter(own).collect();
        if refusal != Some(&TaskRefusal::Unknown) {
            check(!its.is_empty(), || format!("{task} was not sent to who names it: {refusal:?}"))?;
            for id in its {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.last = now;
                }
            }
        }
        Ok(())
    }

    pub(in crate::relay_machine) fn begun(&mut self, task: TaskId) -> Verdict {
        if let Some(row) = self.task(task).and_then(|task| task.row.clone()) {
            self.row_served(&row);
        }
        let entry = self.task_mut(task)?;
        check(!entry.over, || format!("{task} is answered after its end"))?;
        check(!entry.delivered, || format!("{task} is answered twice"))?;
        check(entry.upload.is_none(), || format!("{task} has two uploads"))?;
        entry.upload = Some(false);
        entry.delivered = true;
        Ok(())
    }

    pub(in crate::relay_machine) fn upload_ends(&mut self, task: TaskId, end: AnswerEnd) {
        if let Ok(task) = self.task_mut(task) {
            // A silent backend is stopped; its upload ends when it was told.
            if end != AnswerEnd::Silent {
                task.upload = None;
            }
            // The driver ends the caller's response; no failure may follow.
            task.over |= end == AnswerEnd::Complete;
        }
    }

    pub(in crate::relay_machine) fn woken(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        taken: bool,
        well: bool,
    ) -> Verdict {
        let at = self.wakes.iter().position(|(wake, _)| *wake == task);
        let Some((_, row)) = at.and_then(|at| self.wakes.remove(at)) else { return Ok(()) };
        check(!taken || row.1 == from.owner, || "somebody ended another's wake".into())?;
        if taken
            && well
            && let Some(row) = self.rows.get_mut(&row)
        {
            row.reported = ReportedStatus::Active;
        }
        Ok(())
    }

    pub(in crate::relay_machine) fn revoked(&mut self, owner: &OwnerId) {
        for session in self.sessions.values_mut().filter(|s| s.owner == *owner) {
            session.heard = None;
        }
    }

    /// The server stood still: that is nobody's fault.
    pub(in crate::relay_machine) fn stood_still(&mut self, ms: Millis) {
        if ms > 2 * self.limits.sweep {
            for heard in self.sessions.values_mut().filter_map(|session| session.heard.as_mut()) {
                *heard += ms;
            }
        }
    }

    pub(in crate::relay_machine) fn restarted(&mut self) {
        self.draining = false;
        self.channels.clear();
        self.wakes.clear();
        for session in self.sessions.values_mut() {
            session.channel = None;
            session.heard = None;
        }
        // How a backend is, only its publisher can say.
        self.rows.values_mut().for_each(|row| row.reported = ReportedStatus::Inactive);
        for task in &mut self.tasks {
            task.over = true;
            task.forgotten = true;
            task.upload = None;
        }
    }
}

/// True if the key covers the row.
pub(super) fn covers(allowed: &Allowed, (name, owner): &RowKey) -> bool {
    allowed.covers(name, pool_of(name), &owner.0)
}

/// True if a request for this name and of this key may go to the row.
pub(super) fn is_for(wanted: &str, allowed: &Allowed, row: &RowKey) -> bool {
    let (name, user) = wanted.split_once('@').map_or((wanted, None), |(n, u)| (n, Some(u)));
    let named = row.0 == name || pool_of(&row.0) == Some(name);
    named && user.is_none_or(|user| *row.1.0 == *user) && covers(allowed, row)
}
