//! The caller's side: a request comes in, waits, is dispatched, or its caller leaves.

use crate::rows::Llm;
use crate::task::{Phase, Surroundings, Task};
use crate::{
    Action, Actions, Allowed, CancelReason, Dispatch, Failure, GoneReason, Limits, LlmId, Millis,
    Relay, Submit, SubmitRefusal, TaskId, failures, names,
};
use std::collections::BTreeSet;
use wire::catalogue::LlmStatus;
use wire::publisher::ReportedStatus;

/// At most so many names in "no such model".
const USABLE_NAMES: usize = 50;

impl Relay {
    /// A caller's request. Refusals are decided here, before anything is queued; on success the
    /// driver must already hold the request under `task`.
    ///
    /// # Errors
    /// [`SubmitRefusal`], ready to be told to the caller.
    pub fn submit(
        &mut self,
        request: &Submit,
        task: TaskId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), SubmitRefusal> {
        let llm = self.choose(request, now)?;
        let wanted = request.name.to_ascii_lowercase();
        let returning = !self.llms.get(&llm).is_some_and(|l| self.connected(l));
        let entry = Task {
            llm,
            phase: Phase::Queued,
            streaming: request.streaming,
            wanted,
            allowed: request.allowed.clone(),
            key: request.key.clone(),
            queued_at: now,
            return_by: (returning && self.in_grace(now)).then(|| now + self.limits.grace_wait),
            dispatched_at: 0,
            ended_at: 0,
            session: None,
            modern: false,
            seen: now,
            missed: 0,
            delivered: false,
            redispatched: 0,
            notice_at: (request.streaming && request.notices).then(|| now + self.limits.notice),
            due: None,
        };
        self.tasks.insert(task, entry);
        if let Some(row) = self.llms.get_mut(&llm) {
            row.queue.push_back(task);
        }
        self.reschedule(task);
        self.pump(&llm, now, out);
        Ok(())
    }

    /// Whether [`Self::submit`] would take this request now. Nothing changes: the rest of a large
    /// body need not be read for a request that will be refused.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn check(&self, request: &Submit, now: Millis) -> Result<(), SubmitRefusal> {
        self.choose(request, now).map(drop)
    }

    /// The LLM that can take the request best.
    fn choose(&self, request: &Submit, now: Millis) -> Result<LlmId, SubmitRefusal> {
        if self.draining {
            return Err(SubmitRefusal::Failure(failures::shutdown()));
        }
        let wanted = request.name.to_ascii_lowercase();
        let candidates = self.candidates(&wanted, &request.allowed);
        if candidates.is_empty() {
            return Err(SubmitRefusal::NotFound { usable: self.usable(request) });
        }
        let best = candidates
            .iter()
            .filter(|id| self.refusal(id, &request.key, now).is_none())
            .min_by_key(|id| self.preference(id))
            .cloned();
        best.ok_or_else(|| {
            let why = candidates.iter().find_map(|id| self.refusal(id, &request.key, now));
            let failure =
                why.unwrap_or_else(|| failures::inactive(&wanted, "its publisher is gone"));
            SubmitRefusal::Failure(failure)
        })
    }

    /// The caller's connection is gone. A queued task is forgotten; a running one is stopped, and
    /// its slot stays taken until the publisher's work has ended.
    pub fn caller_gone(
        &mut self,
        task: TaskId,
        reason: GoneReason,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(entry) = self.tasks.get(&task) else {
            return;
        };
        match entry.phase {
            Phase::Queued => self.forget_queued(task, out),
            Phase::Ended => {}
            Phase::Dispatched | Phase::Accepted | Phase::Answering => {
                self.stop_work(task, CancelReason::Caller(reason), now, out);
            }
        }
    }

    /// The first byte goes to the caller: the point of no return.
    pub fn first_byte(&mut self, task: TaskId, out: &mut Actions) {
        if let Some(entry) = self.tasks.get_mut(&task) {
            entry.delivered = true;
            let id = entry.llm;
            if let Some(llm) = self.llms.get_mut(&id)
                && !std::mem::replace(&mut llm.served, true)
            {
                self.mark_served(&id, out);
            }
        }
        self.reschedule(task);
    }

    /// Sends what can be sent, wakes what must be woken, fails what cannot be helped.
    pub(crate) fn pump(&mut self, id: &LlmId, now: Millis, out: &mut Actions) {
        let Some(llm) = self.llms.get(id) else { return };
        if llm.queue.is_empty() {
            return;
        }
        if !self.connected(llm) {
            let live = self.sessions.get(&llm.session).is_some_and(|s| s.live);
            if !live && !self.in_grace(now) {
                self.fail_queue(id, &failures::inactive(&llm.name, "its publisher is gone"), out);
            }
            return;
        }
        match llm.reported {
            ReportedStatus::Active => self.dispatch_waiting(id, now, out),
            ReportedStatus::Hibernating => self.wake(id, now, out),
            ReportedStatus::Inactive => {
                let failure = failures::inactive(&llm.name, "its backend is down");
                self.fail_queue(id, &failure, out);
            }
        }
    }

    fn dispatch_waiting(&mut self, id: &LlmId, now: Millis, out: &mut Actions) {
        while let Some(llm) = self.llms.get_mut(id) {
            if llm.running >= llm.slots() {
                return;
            }
            let Some(task) = llm.queue.pop_front() else {
                return;
            };
            self.dispatch(id, task, now, out);
        }
    }

    fn dispatch(&mut self, id: &LlmId, task: TaskId, now: Millis, out: &mut Actions) {
        let (Some(llm), Some(entry)) = (self.llms.get_mut(id), self.tasks.get_mut(&task)) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&llm.session) else {
            return;
        };
        let Some(channel) = session.channel else {
            return;
        };
        let modern = session.protocol >= wire::PROTOCOL_2;
        llm.running += 1;
        session.tasks.insert(task);
        // A protocol-1 publisher never acknowledges: what was sent counts as taken.
        entry.phase = if modern { Phase::Dispatched } else { Phase::Accepted };
        entry.modern = modern;
        entry.return_by = None;
        entry.dispatched_at = now;
        entry.seen = now;
        entry.missed = 0;
        entry.session = Some(llm.session);
        out.push(Action::Dispatch(Dispatch {
            channel,
            task,
            epoch: session.epoch,
            protocol: session.protocol,
            llm_name: llm.provider.name.clone(),
            model: llm.provider.model.clone(),
            attempt: entry.redispatched,
        }));
        self.reschedule(task);
    }

    /// Fails every waiting task of the row.
    pub(crate) fn fail_queue(&mut self, id: &LlmId, failure: &Failure, out: &mut Actions) {
        let Some(llm) = self.llms.get_mut(id) else {
            return;
        };
        for task in std::mem::take(&mut llm.queue) {
            out.push(Action::Fail { task, failure: failure.clone() });
            self.remove(task, out);
        }
    }

    /// Fails one waiting task.
    pub(crate) fn fail_queued(&mut self, task: TaskId, failure: Failure, out: &mut Actions) {
        out.push(Action::Fail { task, failure });
        self.forget_queued(task, out);
    }

    fn forget_queued(&mut self, task: TaskId, out: &mut Actions) {
        let llm = self.tasks.get(&task).and_then(|t| self.llms.get_mut(&t.llm));
        if let Some(llm) = llm {
            llm.queue.retain(|waiting| *waiting != task);
        }
        self.remove(task, out);
    }

    /// Puts a task back to the front of a queue, its own or another pool member's. False when that
    /// is no longer allowed or no member can take it.
    pub(crate) fn try_again(
        &mut self,
        task: TaskId,
        elsewhere: bool,
        now: Millis,
        out: &mut Actions,
    ) -> bool {
        let Some(entry) = self.tasks.get(&task) else {
            return false;
        };
        if entry.delivered || entry.redispatched >= self.limits.redispatch {
            return false;
        }
        let old = entry.llm;
        let target = if elsewhere {
            let members = self.candidates(&entry.wanted, &entry.allowed);
            let usable = members
                .into_iter()
                .filter(|id| *id != old && self.refusal(id, &entry.key, now).is_none());
            usable.min_by_key(|id| self.preference(id))
        } else {
            // Its row may have been withdrawn in the meantime.
            self.llms.contains_key(&old).then_some(old)
        };
        let Some(target) = target else { return false };
        self.give_slot_back(task);
        if let Some(entry) = self.tasks.get_mut(&task) {
            entry.phase = Phase::Queued;
            entry.llm = target;
            entry.queued_at = now;
            entry.redispatched += 1;
            entry.session = None;
        }
        if let Some(llm) = self.llms.get_mut(&target) {
            llm.queue.push_front(task);
        }
        self.reschedule(task);
        self.pump(&target, now, out);
        if target != old {
            self.pump(&old, now, out);
        }
        true
    }

    /// Members of that name, or with `NAME@user` that user's, that `allowed` covers.
    fn candidates(&self, wanted: &str, allowed: &Allowed) -> Vec<LlmId> {
        let (name, user) = names::parse_wanted(wanted);
        let members = self.names.get(name).into_iter().flat_map(|entry| &entry.rows);
        let usable = members.filter(|id| {
            self.llms.get(id).is_some_and(|llm| {
                let owner = &llm.owner.id.0;
                user.is_none_or(|user| user.eq_ignore_ascii_case(owner))
                    && allowed.covers(&llm.name, llm.pool.as_deref(), owner)
            })
        });
        usable.cloned().collect()
    }

    fn usable(&self, request: &Submit) -> Vec<String> {
        let rows = self
            .llms
            .values()
            .filter(|llm| request.allowed.covers(&llm.name, llm.pool.as_deref(), &llm.owner.id.0));
        let names: BTreeSet<&String> = rows.map(|llm| &llm.name).collect();
        names.into_iter().take(USABLE_NAMES).cloned().collect()
    }

    /// Why this row cannot take a request now, if it cannot.
    fn refusal(&self, id: &LlmId, key: &str, now: Millis) -> Option<Failure> {
        let llm = self.llms.get(id)?;
        let session = self.sessions.get(&llm.session);
        if !session.is_some_and(|s| s.live) && !self.in_grace(now) {
            return Some(failures::inactive(&llm.name, "its publisher is gone"));
        }
        if self.status(llm) == LlmStatus::Inactive && session.is_some_and(|s| s.live) {
            return Some(failures::inactive(&llm.name, "its backend is down"));
        }
        if let (ReportedStatus::Hibernating, Some(pause)) = (llm.reported, &llm.cooldown)
            && now < pause.until
        {
            let left = (pause.until - now).div_ceil(1000);
            return Some(failures::wake_failed(&llm.name, &pause.cause, left));
        }
        self.queue_refusal(llm, key)
    }

    /// Why the queue takes no further request of this key: a key that waits alone may fill it, and a
    /// quarter of it while other keys wait. For them there is a quarter more.
    fn queue_refusal(&self, llm: &Llm, key: &str) -> Option<Failure> {
        let (waiting, quarter) = (llm.queue.len(), self.limits.queue.div_ceil(4));
        if waiting < quarter {
            return None;
        }
        let tasks = llm.queue.iter().filter_map(|task| self.tasks.get(task));
        let own = tasks.filter(|task| task.key == key).count();
        let alone = own == waiting;
        if !alone && own >= quarter {
            return Some(failures::queue_share(&llm.name, own));
        }
        let most = if alone && own > 0 { self.limits.queue } else { self.limits.queue + quarter };
        (waiting >= most).then(|| failures::queue_full(&llm.name, waiting))
    }

    /// Smaller is better: awake before asleep before away, then the least load per slot.
    fn preference(&self, id: &LlmId) -> (u8, u64) {
        let Some(llm) = self.llms.get(id) else {
            return (u8::MAX, 0);
        };
        let rank = match (self.connected(llm), self.status(llm)) {
            (true, LlmStatus::Active) => 0,
            (true, LlmStatus::Hibernating) => 1,
            (true, LlmStatus::Inactive) | (false, _) => 2,
        };
        let load = u64::from(llm.running) + llm.queue.len() as u64;
        (rank, load * 1000 / u64::from(llm.slots()))
    }

    /// What a task's deadlines depend on.
    pub(crate) fn surroundings(&self, task: &Task) -> Surroundings {
        let llm = self.llms.get(&task.llm);
        let key = task.session.as_ref().or_else(|| llm.map(|l| &l.session));
        let session = key.and_then(|key| self.sessions.get(key));
        Surroundings {
            waking: llm.is_some_and(|l| l.waking.is_some()),
            // Publishers leave when they are told that the server ends: that is no loss.
            connected: self.draining || session.is_some_and(|s| s.channel.is_some()),
            session_seen: session.map_or(0, |s| s.last_seen),
        }
    }

    /// Puts the task's next deadline into the timers.
    pub(crate) fn reschedule(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.get(&task) else {
            return;
        };
        let due = entry.next_due(&self.limits, self.surroundings(entry)).map(|(when, _)| when);
        let Some(entry) = self.tasks.get_mut(&task) else {
            return;
        };
        if entry.due == due {
            return;
        }
        if let Some(old) = entry.due {
            self.timers.remove(&(old, task));
        }
        if let Some(when) = due {
            self.timers.insert((when, task));
        }
        entry.due = due;
    }

    /// Forgets a task that holds no slot.
    pub(crate) fn remove(&mut self, task: TaskId, out: &mut Actions) {
        if let Some(entry) = self.tasks.remove(&task) {
            if let Some(due) = entry.due {
                self.timers.remove(&(due, task));
            }
            out.push(Action::Forget { task });
        }
    }

    /// The numbers in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
