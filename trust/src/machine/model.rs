//! The reference model: what somebody who knows only the protocol, and sees only what goes in and
//! out, would expect of the relay. It says where an answer or an action is not what was promised.

use super::event::Pick;
use relay::{
    Action, AnswerEnd, ChannelId, From, Gauges, Limits, LlmView, Millis, Opened, OwnerId,
    RegisterRefusal, SessionRefusal, Submit, SubmitRefusal, TaskId, TaskRefusal, Tombstone,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::catalogue::LlmStatus;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, ReportedStatus};

type Verdict = Result<(), String>;

/// See the module's page.
pub(super) struct Model {
    limits: Limits,
    pub(super) draining: bool,
    sessions: BTreeMap<String, Session>,
    rows: BTreeMap<String, Row>,
    kept: BTreeMap<String, Tombstone>,
    channels: BTreeMap<ChannelId, String>,
    tasks: Vec<Task>,
    /// The latest request that was sent for the first time, by the name that it asked for.
    latest: BTreeMap<String, TaskId>,
    /// Wakes that were sent, the oldest first: for which row, and whose.
    wakes: VecDeque<(TaskId, String, OwnerId)>,
}

struct Session {
    owner: OwnerId,
    epoch: u64,
    instance: Option<String>,
    channel: Option<ChannelId>,
    /// When a request of its was last taken, in this run of the server and before a revocation.
    heard: Option<Millis>,
    last: Millis,
}

struct Row {
    id: Option<String>,
    owner: OwnerId,
    session: String,
    reported: ReportedStatus,
}

#[derive(Default)]
struct Task {
    wanted: String,
    notices: bool,
    /// Terminal for its caller.
    over: bool,
    forgotten: bool,
    /// A byte went to the caller.
    delivered: bool,
    dispatches: u32,
    sent_to: BTreeSet<String>,
    sent_last: Option<String>,
    /// An upload is open; whether it was told to stop.
    upload: Option<bool>,
    /// It ended cleanly.
    complete: bool,
}

fn check(right: bool, why: impl FnOnce() -> String) -> Verdict {
    if right { Ok(()) } else { Err(why()) }
}

impl Model {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            draining: false,
            sessions: BTreeMap::new(),
            rows: BTreeMap::new(),
            kept: BTreeMap::new(),
            channels: BTreeMap::new(),
            tasks: Vec::new(),
            latest: BTreeMap::new(),
            wakes: VecDeque::new(),
        }
    }

    // What events choose among.

    /// One of the requests.
    pub(super) fn pick(&self, pick: Pick) -> Option<TaskId> {
        match pick {
            Pick::Any(back) => {
                let number = self.tasks.len().checked_sub(back + 1)?;
                Some(TaskId(number as u128))
            }
            Pick::Open(at) => {
                let open = self.tasks.iter().enumerate().filter(|(_, task)| !task.forgotten);
                let open: Vec<usize> = open.map(|(number, _)| number).collect();
                (!open.is_empty()).then(|| TaskId(open[at % open.len()] as u128))
            }
        }
    }

    /// The session that it was sent to last.
    pub(super) fn sent_to(&self, task: TaskId) -> Option<&str> {
        self.task(task)?.sent_last.as_deref()
    }

    /// The session whose publisher wakes.
    pub(super) fn wakes_at(&self, task: TaskId) -> Option<&str> {
        let (_, name, _) = self.wakes.iter().find(|(wake, ..)| *wake == task)?;
        self.rows.get(name).map(|row| row.session.as_str())
    }

    pub(super) fn next_task(&self) -> TaskId {
        TaskId(self.tasks.len() as u128)
    }

    /// What a publisher with this session would say that it runs.
    pub(super) fn tasks_of(&self, session: &str) -> Vec<TaskId> {
        let tasks = self.tasks.iter().enumerate();
        let sent = tasks.filter(|(_, task)| !task.forgotten && task.sent_to.contains(session));
        sent.map(|(number, _)| TaskId(number as u128)).collect()
    }

    /// Whether the task's upload was told to stop, if one is open.
    pub(super) fn upload(&self, task: TaskId) -> Option<bool> {
        self.task(task)?.upload
    }

    pub(super) fn oldest_wake(&self) -> Option<TaskId> {
        self.wakes.front().map(|(task, ..)| *task)
    }

    fn task(&self, task: TaskId) -> Option<&Task> {
        self.tasks.get(usize::try_from(task.0).ok()?)
    }

    fn task_mut(&mut self, task: TaskId) -> Result<&mut Task, String> {
        let number = usize::try_from(task.0).ok();
        number.and_then(|at| self.tasks.get_mut(at)).ok_or(format!("{task} was never submitted"))
    }

    // Replies.

    pub(super) fn registered(
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
        let old = given.is_some_and(|s| now > s.last + self.limits.delete_after);
        let registered = match reply {
            Err(RegisterRefusal::Draining) => return check(self.draining, || "no drain".into()),
            Err(RegisterRefusal::SessionConflict) => {
                return check(conflict, || "a conflict, with whom?".into());
            }
            Err(RegisterRefusal::Invalid(why)) => return Err(format!("refused: {why}")),
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
        let (taken, refused) = self.expected(owner, &id, request, now);
        let named: BTreeSet<String> = registered.llms.iter().map(|l| l.name.clone()).collect();
        check(named == taken, || format!("took {named:?}, not {taken:?}"))?;
        let rejected: Vec<_> = registered.rejected.iter().map(|r| r.name.clone()).collect();
        check(rejected == refused, || format!("rejected {rejected:?}, not {refused:?}"))?;
        self.all_over_are_told(
            request.inflight.iter(),
            &registered.cancel.iter().collect::<Vec<_>>(),
        )?;
        for llm in &registered.llms {
            let known = self.rows.get(&llm.name).and_then(|row| row.id.clone());
            check(known.is_none_or(|known| known == llm.id), || format!("{} moved", llm.name))?;
        }
        self.declare(owner, registered, request, instance, now);
        Ok(())
    }

    /// The names that must be taken, and those that must be rejected, in their order.
    fn expected(
        &self,
        owner: &OwnerId,
        session: &str,
        request: &Register,
        now: Millis,
    ) -> (BTreeSet<String>, Vec<String>) {
        let (mut taken, mut refused) = (BTreeSet::new(), Vec::new());
        let mut owned = self.rows.values().filter(|row| row.owner == *owner).count();
        for provider in &request.providers {
            let name = &provider.name;
            let connected =
                |id: &str| self.sessions.get(id).is_some_and(|other| other.channel.is_some());
            let free = match self.rows.get(name) {
                Some(row) => {
                    row.owner == *owner && (row.session == session || !connected(&row.session))
                }
                None => {
                    let stone = self.kept.get(name);
                    let kept = stone.is_some_and(|s| s.until > now && s.owner != *owner);
                    let room = owned < self.limits.llms_per_owner;
                    owned += usize::from(!kept && room);
                    !kept && room
                }
            };
            if free {
                taken.insert(name.clone());
            } else {
                refused.push(name.clone());
            }
        }
        (taken, refused)
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
        let named: BTreeSet<&str> = registered.llms.iter().map(|l| l.name.as_str()).collect();
        let gone = self
            .rows
            .iter()
            .filter(|(name, row)| row.session == id && !named.contains(name.as_str()));
        for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.withdraw(&name, now);
        }
        let asleep =
            request.providers.iter().any(|p| p.initial_status.as_deref() == Some("hibernating"));
        let reported = if asleep { ReportedStatus::Hibernating } else { ReportedStatus::Active };
        for llm in &registered.llms {
            let (owner, session) = (owner.clone(), id.clone());
            let row = Row { id: Some(llm.id.clone()), owner, session, reported };
            self.kept.remove(&llm.name);
            self.rows.insert(llm.name.clone(), row);
        }
        let (owner, epoch) = (owner.clone(), registered.epoch);
        // Its channel is superseded, which an action says.
        let channel = self.sessions.get(&id).and_then(|s| s.channel);
        let heard = Some(now);
        self.sessions.insert(id, Session { owner, epoch, instance, channel, heard, last: now });
    }

    fn withdraw(&mut self, name: &str, now: Millis) {
        if let Some(row) = self.rows.remove(name) {
            let until = now + self.limits.tombstone;
            let stone = Tombstone { name: name.to_owned(), owner: row.owner, until };
            self.kept.insert(name.to_owned(), stone);
        }
    }

    pub(super) fn opened(
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
        let old =
            self.sessions.get(session).is_some_and(|s| now > s.last + self.limits.delete_after);
        check(!own || old, || "an own session is not known".into())?;
        if own {
            self.sessions.remove(session);
        }
        Ok(())
    }

    pub(super) fn closed(&mut self, channel: ChannelId) {
        if let Some(session) = self.channels.remove(&channel)
            && let Some(session) = self.sessions.get_mut(&session)
        {
            session.channel.take_if(|open| *open == channel);
        }
    }

    pub(super) fn beaten(
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

    pub(super) fn submitted(
        &mut self,
        submit: &Submit,
        task: TaskId,
        reply: Result<&(), &SubmitRefusal>,
    ) -> Verdict {
        let pool = |name: &str| (name != "a").then_some("pool");
        let asked = |name: &str| name == submit.name || pool(name) == Some(submit.name.as_str());
        let may = |name: &&String| asked(name) && submit.allowed.covers(name, pool(name));
        let known = self.rows.keys().any(|name| may(&name));
        let accepted = reply.is_ok();
        match reply {
            Ok(()) => check(known && !self.draining, || "it should be refused".into())?,
            Err(SubmitRefusal::NotFound { usable }) => {
                check(!known, || "it is there".into())?;
                let all = usable.iter().all(|name| submit.allowed.covers(name, pool(name)));
                check(all, || format!("{usable:?} are not for this caller"))?;
            }
            Err(SubmitRefusal::Failure(failure)) => {
                check(failure.status >= 429, || format!("an odd refusal: {failure:?}"))?;
            }
        }
        self.tasks.push(Task {
            wanted: submit.name.clone(),
            notices: submit.notices,
            over: !accepted,
            forgotten: !accepted,
            ..Task::default()
        });
        check(task.0 + 1 == self.tasks.len() as u128, || "tasks are counted wrongly".into())
    }

    pub(super) fn left(&mut self, task: TaskId) {
        if let Ok(task) = self.task_mut(task) {
            task.over = true;
        }
    }

    /// A publisher named a task: only one that it was sent to may.
    pub(super) fn named(
        &mut self,
        from: &From,
        task: TaskId,
        refusal: Option<&TaskRefusal>,
        now: Millis,
    ) -> Verdict {
        let sent_to = self.task_mut(task)?.sent_to.clone();
        // Protocol 1 may leave its session out: then any of the owner's will do.
        let meant = |id: &&String| from.session.as_ref().is_none_or(|given| given.0 == **id);
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

    pub(super) fn begun(&mut self, task: TaskId) -> Verdict {
        let entry = self.task_mut(task)?;
        check(!entry.over, || format!("{task} is answered after its end"))?;
        check(!entry.delivered, || format!("{task} is answered twice"))?;
        check(entry.upload.is_none(), || format!("{task} has two uploads"))?;
        entry.upload = Some(false);
        entry.delivered = true;
        Ok(())
    }

    pub(super) fn upload_ends(&mut self, task: TaskId, end: AnswerEnd) {
        if let Ok(task) = self.task_mut(task) {
            // A silent backend is stopped; its upload ends when it was told.
            if end != AnswerEnd::Silent {
                task.upload = None;
            }
            task.complete = end == AnswerEnd::Complete;
        }
    }

    pub(super) fn woken(&mut self, from: &From, task: TaskId, taken: bool, well: bool) -> Verdict {
        let at = self.wakes.iter().position(|(wake, ..)| *wake == task);
        let Some((_, name, owner)) = at.and_then(|at| self.wakes.remove(at)) else { return Ok(()) };
        check(!taken || owner == from.owner, || "somebody ended another's wake".into())?;
        if taken
            && well
            && let Some(row) = self.rows.get_mut(&name)
        {
            row.reported = ReportedStatus::Active;
        }
        Ok(())
    }

    pub(super) fn revoked(&mut self, owner: &OwnerId) {
        for session in self.sessions.values_mut().filter(|s| s.owner == *owner) {
            session.heard = None;
        }
    }

    /// The server stood still: that is nobody's fault.
    pub(super) fn stood_still(&mut self, ms: Millis) {
        if ms > 2 * self.limits.sweep {
            for heard in self.sessions.values_mut().filter_map(|session| session.heard.as_mut()) {
                *heard += ms;
            }
        }
    }

    pub(super) fn restarted(&mut self) {
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

    // Actions.

    pub(super) fn action(&mut self, action: &Action) -> Verdict {
        match action {
            Action::Dispatch(sent) => {
                let owner = self.open_row(sent.channel, &sent.llm_name)?;
                let epoch = self.sessions.get(&owner.1).map(|session| session.epoch);
                check(epoch == Some(sent.epoch), || "sent with another epoch".into())?;
                let most = 1 + self.limits.redispatch;
                let task = self.task_mut(sent.task)?;
                task.dispatches += 1;
                check(!task.over, || format!("{} is sent after its end", sent.task))?;
                check(!task.delivered, || format!("{} is sent after its first byte", sent.task))?;
                check(task.dispatches <= most, || format!("{} is sent too often", sent.task))?;
                let pooled = task.wanted == "pool" && sent.llm_name != "a";
                let asked = task.wanted == sent.llm_name || pooled;
                check(asked, || format!("{} goes to {}", sent.task, sent.llm_name))?;
                task.sent_to.insert(owner.1.clone());
                task.sent_last = Some(owner.1);
                if task.dispatches == 1 && asked && !pooled {
                    let before = self.latest.insert(sent.llm_name.clone(), sent.task);
                    check(before < Some(sent.task), || format!("{} was overtaken", sent.task))?;
                }
                Ok(())
            }
            Action::Wake { channel, task, llm_name, .. } => {
                let (owner, _) = self.open_row(*channel, llm_name)?;
                check(llm_name != "a", || "a has no recipe".into())
                    .or_else(|_| self.was_declared_asleep(llm_name))?;
                self.wakes.push_back((*task, llm_name.clone(), owner));
                Ok(())
            }
            Action::Cancel { channel, task, .. } => {
                check(self.channels.contains_key(channel), || "a cancel into a dead end".into())?;
                check(self.task(*task).is_some_and(|t| !t.sent_to.is_empty()), || {
                    format!("{task} is cancelled where it never was")
                })
            }
            Action::Fail { task, .. } => self.ends(*task, false),
            Action::Complete { task } => self.ends(*task, true),
            Action::Notice { task, .. } => {
                let entry = self.task_mut(*task)?;
                check(entry.notices && !entry.over && !entry.delivered, || {
                    format!("{task} is told how things stand for no reason")
                })
            }
            Action::StopUpload { task } => {
                if let Some(told) = &mut self.task_mut(*task)?.upload {
                    *told = true;
                }
                Ok(())
            }
            Action::Forget { task } => {
                let entry = self.task_mut(*task)?;
                check(entry.over && !entry.forgotten, || format!("{task} is forgotten too early"))?;
                entry.forgotten = true;
                Ok(())
            }
            Action::CloseChannel { channel, .. } => {
                self.closed(*channel);
                Ok(())
            }
            Action::Drain { channel, .. } => {
                let open = self.channels.contains_key(channel);
                check(open && self.draining, || "a drain for nobody".into())
            }
            Action::SaveTombstone(stone) => {
                self.kept.insert(stone.name.clone(), stone.clone());
                Ok(())
            }
            Action::SaveLlm(_) | Action::SaveSession(_) => Ok(()),
        }
    }

    /// Owner and session of the row that a frame down this channel is for.
    fn open_row(&self, channel: ChannelId, name: &str) -> Result<(OwnerId, String), String> {
        let session = self.channels.get(&channel).ok_or("a frame into a dead end")?;
        let row = self.rows.get(name).filter(|row| row.session == *session);
        let row = row.ok_or(format!("{name} is not published there any more"))?;
        Ok((row.owner.clone(), session.clone()))
    }

    fn was_declared_asleep(&self, name: &str) -> Verdict {
        let asleep = self.rows.get(name).map(|row| row.reported);
        check(asleep == Some(ReportedStatus::Hibernating), || format!("{name} is not asleep"))
    }

    fn ends(&mut self, task: TaskId, complete: bool) -> Verdict {
        let entry = self.task_mut(task)?;
        check(!entry.over, || format!("{task} ends twice"))?;
        check(!complete || entry.complete, || format!("{task} is said to be complete"))?;
        entry.over = true;
        Ok(())
    }

    // What everybody sees.

    pub(super) fn catalogue(&mut self, rows: &[LlmView], now: Millis) -> Verdict {
        let seen: BTreeSet<&str> = rows.iter().map(|row| row.info.name.as_str()).collect();
        for view in rows {
            let name = &view.info.name;
            let row = self.rows.get(name).ok_or(format!("{name} is published by nobody"))?;
            check(row.owner == view.owner, || format!("{name} changed hands"))?;
            check(view.info.in_flight <= view.info.max_concurrency, || {
                format!("{} run at {name}", view.info.in_flight)
            })?;
            let session = self.sessions.get(&row.session);
            let heard = session.and_then(|session| session.heard);
            let fresh = heard.is_some_and(|heard| now <= heard + self.limits.lease);
            let well = row.reported == ReportedStatus::Active;
            check(!(fresh && well) || view.info.status != LlmStatus::Inactive, || {
                format!("{name} is taken for dead though its publisher was just heard")
            })?;
        }
        let gone: Vec<_> =
            self.rows.keys().filter(|name| !seen.contains(name.as_str())).cloned().collect();
        for name in gone {
            let last = self.rows.get(&name).and_then(|row| self.sessions.get(&row.session));
            let old = last.is_some_and(|s| now > s.last + self.limits.delete_after);
            check(old, || format!("{name} left the catalogue by itself"))?;
            self.rows.remove(&name);
        }
        Ok(())
    }

    pub(super) fn gauges(&self, gauges: &Gauges) -> Verdict {
        check(gauges.channels == self.channels.len(), || {
            format!("{} channels, {} were opened", gauges.channels, self.channels.len())
        })?;
        let open = self.tasks.iter().filter(|task| !task.forgotten).count();
        check(gauges.queued + gauges.running == open, || {
            format!("{gauges:?}, but {open} requests are not forgotten")
        })
    }

    pub(super) fn all_have_ended(&self) -> Verdict {
        let left = self.tasks.iter().position(|task| !task.over);
        check(left.is_none(), || format!("{left:?} never ended"))
    }
}
