//! Moves tasks: out of a queue to a publisher, back into a queue, and to their end.

use crate::state::{Conditions, Phase, Start, Task};
use crate::{
    Action, Actions, CancelReason, Dispatch, Failure, LlmId, Millis, Relay, TaskId, failures,
};
use wire::publisher::ReportedStatus;

impl Relay {
    /// Advances one LLM's queue: dispatches, starts a wake, or fails the waiting requests.
    pub(crate) fn advance_queue(&mut self, id: LlmId, now: Millis, out: &mut Actions) {
        if self.tasks.queue_len(id) == 0 {
            return;
        }
        let Some(entry) = self.catalogue.get(id) else { return };
        if !self.is_reachable(entry) {
            let live = self.sessions.get(entry.session()).is_some_and(|session| session.live);
            if !live && !self.in_grace(now) {
                let failure = failures::inactive(entry.name(), "its publisher is gone");
                self.fail_queue(id, &failure, out);
            }
            return;
        }
        match entry.reported() {
            ReportedStatus::Active => self.dispatch_waiting(id, now, out),
            ReportedStatus::Hibernating => self.start_wake(id, now, out),
            ReportedStatus::Inactive => {
                let failure = failures::inactive(entry.name(), "its backend is down");
                self.fail_queue(id, &failure, out);
            }
        }
    }

    /// Dispatches waiting tasks while a slot is free.
    fn dispatch_waiting(&mut self, id: LlmId, now: Millis, out: &mut Actions) {
        let Some(entry) = self.catalogue.get(id) else { return };
        let Some(session) = self.sessions.get(entry.session()) else { return };
        let Some(channel) = session.channel() else { return };
        let start = Start { session: entry.session(), speaks_v2: session.speaks_v2(), now };
        let epoch = session.epoch;
        while self.tasks.running(id) < entry.slots()
            && let Some(task) = self.tasks.start_first(id, start)
        {
            out.push(Action::Dispatch(Dispatch {
                channel,
                task,
                epoch,
                speaks_v2: start.speaks_v2,
                llm_name: entry.provider().name.clone(),
                model: entry.provider().model.clone(),
                attempt: self.tasks.get(task).map_or(0, Task::redispatched),
            }));
            let due = self.due_at(task);
            self.tasks.schedule(task, due);
        }
    }

    /// Fails every waiting task of an LLM.
    pub(crate) fn fail_queue(&mut self, id: LlmId, failure: &Failure, out: &mut Actions) {
        for task in self.tasks.waiting(id).collect::<Vec<_>>() {
            self.fail_queued(task, failure.clone(), out);
        }
    }

    /// Fails one waiting task.
    pub(crate) fn fail_queued(&mut self, task: TaskId, failure: Failure, out: &mut Actions) {
        out.push(Action::Fail { task, failure });
        self.forget(task, out);
    }

    /// Puts a task back to the front of its queue; with `elsewhere`, of another pool member's queue.
    /// False if that is no longer allowed or no member can take it.
    pub(crate) fn try_again(
        &mut self,
        task: TaskId,
        elsewhere: bool,
        now: Millis,
        out: &mut Actions,
    ) -> bool {
        let Some(entry) = self.tasks.get(task) else { return false };
        if entry.delivered || entry.redispatched() >= self.limits.redispatch {
            return false;
        }
        let before = entry.llm();
        let target = if elsewhere {
            let mut members = self.candidates(entry.wanted(), entry.allowed());
            members.retain(|id| *id != before);
            self.best_of(&members, entry.key(), now)
        } else {
            // Its entry may have been withdrawn in the meantime.
            self.catalogue.contains(before).then_some(before)
        };
        let Some(target) = target else { return false };
        self.tasks.requeue(task, target, now);
        self.reschedule(task);
        self.advance_queue(target, now, out);
        if target != before {
            self.advance_queue(before, now, out);
        }
        true
    }

    /// Ends a running task for its caller with a failure and stops the publisher's work. The slot
    /// stays taken until that has ended.
    pub(crate) fn fail_running(
        &mut self,
        task: TaskId,
        failure: Failure,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(phase) = self.tasks.get(task).map(Task::phase) else { return };
        if matches!(phase, Phase::Queued | Phase::Ended) {
            return;
        }
        let reason = CancelReason::Failed(failure.code);
        out.push(Action::Fail { task, failure });
        self.stop_work(task, reason, now, out);
    }

    /// Makes a running task terminal and cancels the publisher's work.
    pub(crate) fn stop_work(
        &mut self,
        task: TaskId,
        reason: CancelReason,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(entry) = self.tasks.get(task) else { return };
        let session = entry.session().and_then(|id| self.sessions.get(id));
        if let Some(channel) = session.and_then(|session| session.channel()) {
            out.push(Action::Cancel { channel, task, reason });
        }
        out.push(Action::StopAnswer { task });
        self.tasks.end(task, now);
        self.reschedule(task);
    }

    /// The publisher's work has ended: forgets the task, and gives its slot to the next one.
    pub(crate) fn release(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        let Some(llm) = self.tasks.get(task).map(Task::llm) else { return };
        self.forget(task, out);
        self.advance_queue(llm, now, out);
    }

    /// Forgets a task, wherever it waits or runs.
    pub(crate) fn forget(&mut self, task: TaskId, out: &mut Actions) {
        if self.tasks.remove(task) {
            out.push(Action::Forget { task });
        }
    }

    /// Updates the timer of a task.
    pub(crate) fn reschedule(&mut self, task: TaskId) {
        let due = self.due_at(task);
        self.tasks.schedule(task, due);
    }

    /// Updates the timers of an LLM's waiting tasks.
    pub(crate) fn reschedule_queue(&mut self, id: LlmId) {
        for task in self.tasks.waiting(id).collect::<Vec<_>>() {
            self.reschedule(task);
        }
    }

    fn due_at(&self, task: TaskId) -> Option<Millis> {
        let task = self.tasks.get(task)?;
        task.next_due(&self.limits, self.conditions(task)).map(|(when, _)| when)
    }

    /// The conditions on which a task's deadlines depend.
    pub(crate) fn conditions(&self, task: &Task) -> Conditions {
        let published_by = || self.catalogue.get(task.llm()).map(|entry| entry.session());
        let session = task.session().or_else(published_by).and_then(|id| self.sessions.get(id));
        let channel_open = session.is_some_and(|s| s.channel().is_some());
        Conditions {
            waking: self.wakes.of(task.llm()).is_some(),
            // Publishers leave when they are notified that the server ends: that is no loss.
            connected: self.draining || channel_open,
            channel_open,
            session_seen: session.map_or(0, |s| s.last_seen),
        }
    }
}
