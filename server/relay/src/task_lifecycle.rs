//! A publisher's events of one task: it accepts it, answers, or fails it.

use crate::state::{Phase, Task};
use crate::{
    Action, Actions, AnswerEnd, Dispatch, Failure, Millis, Relay, TaskId, TaskRefusal, TaskSender,
    failures,
};
use wire::publisher::{FailureCode, TaskFailure};

impl Relay {
    /// The publisher has the task: it says so, or fetches the body. May be repeated.
    ///
    /// # Errors
    /// `Unknown` for a task that was not sent to this publisher, `Gone` for one that has ended.
    pub fn acknowledge(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
    ) -> Result<(), TaskRefusal> {
        match self.authorize_task(from, task, now)? {
            Phase::Ended => return Err(TaskRefusal::Gone),
            Phase::Dispatched => self.tasks.accept(task),
            Phase::Queued | Phase::Accepted | Phase::Answering => {}
        }
        self.reschedule(task);
        Ok(())
    }

    /// The publisher starts to answer: a head, or of protocol 1 the first `/result`. Once per task.
    ///
    /// # Errors
    /// `Unknown` for a task that was not sent to this publisher, `Answered` for a second answer,
    /// `Gone` for a task that has ended.
    pub fn answer_begins(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
    ) -> Result<(), TaskRefusal> {
        match self.authorize_task(from, task, now)? {
            Phase::Ended => return Err(TaskRefusal::Gone),
            Phase::Answering => return Err(TaskRefusal::Answered),
            Phase::Queued => return Err(TaskRefusal::Unknown),
            Phase::Dispatched | Phase::Accepted => self.tasks.begin_answer(task),
        }
        self.reschedule(task);
        Ok(())
    }

    /// The first byte goes to the caller: from now on the task cannot be sent again.
    pub fn first_byte(&mut self, task: TaskId, out: &mut Actions) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        entry.delivered = true;
        let llm = entry.llm();
        let served = self.catalogue.mark_served(llm);
        out.extend(served.into_iter().map(Action::SaveName));
        self.reschedule(task);
    }

    /// Further bytes of an answer have arrived: its publisher is alive, even without a channel.
    pub fn answer_goes_on(&mut self, task: TaskId, now: Millis) {
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.mark_progress(now);
            self.reschedule(task);
        }
    }

    /// An answer has ended. Makes the task terminal if it was not yet, and gives the slot back if the
    /// publisher's work has ended with it.
    pub fn answer_ended(&mut self, task: TaskId, end: AnswerEnd, now: Millis, out: &mut Actions) {
        let Some(entry) = self.tasks.get(task).filter(|entry| entry.phase() != Phase::Queued)
        else {
            return;
        };
        let over = entry.phase() == Phase::Ended;
        let delivered = entry.delivered;
        match end {
            AnswerEnd::Complete => {
                if !over {
                    out.push(Action::Complete { task });
                }
                self.release(task, now, out);
            }
            AnswerEnd::Aborted => {
                if !over {
                    let name = self.name_of(task);
                    let failure = if delivered {
                        failures::backend_aborted(&name)
                    } else {
                        failures::publisher_lost(&name)
                    };
                    out.push(Action::Fail { task, failure });
                }
                self.release(task, now, out);
            }
            AnswerEnd::Invalid => {
                let failure = failures::invalid_answer(&self.name_of(task));
                self.fail_running(task, failure, now, out);
            }
            AnswerEnd::Silent => {
                let failure = failures::answer_timeout(&self.name_of(task));
                self.fail_running(task, failure, now, out);
            }
        }
    }

    /// The publisher could not run the task, or has stopped it after a cancel (then the slot is given
    /// back and the refusal is `Gone`). Also a failed wake.
    ///
    /// # Errors
    /// `Unknown` for a task that was not sent to this publisher, `Gone` for one that has ended.
    pub fn task_failed(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        failure: &TaskFailure,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), TaskRefusal> {
        if let Some(llm) = self.wakes.llm(task) {
            self.authorize_wake(from, llm, now)?;
            let cause = failure.code.as_ref().unwrap_or(&FailureCode::NotReady);
            self.wake_failed(llm, cause, now, out);
            return Ok(());
        }
        let phase = self.authorize_task(from, task, now)?;
        match phase {
            Phase::Queued => return Err(TaskRefusal::Unknown),
            Phase::Ended => {
                self.release(task, now, out);
                return Err(TaskRefusal::Gone);
            }
            Phase::Dispatched | Phase::Accepted | Phase::Answering => {}
        }
        if self.is_sent_again(task, phase, failure, now, out) {
            return Ok(());
        }
        let failure = reported_failure(&self.name_of(task), phase, failure.code.as_ref());
        out.push(Action::Fail { task, failure });
        self.release(task, now, out);
        Ok(())
    }

    /// The publisher's work on a task that has ended for its caller is over: the slot is free. A
    /// protocol-1 publisher cannot be stopped and sends its whole response to no caller.
    pub fn work_ended(&mut self, from: &TaskSender, task: TaskId, now: Millis, out: &mut Actions) {
        if self.authorize_task(from, task, now) == Ok(Phase::Ended) {
            self.release(task, now, out);
        }
    }

    /// Sends a failed task again where that can help: to another member of its pool, or here after a
    /// wake.
    fn is_sent_again(
        &mut self,
        task: TaskId,
        phase: Phase,
        failure: &TaskFailure,
        now: Millis,
        out: &mut Actions,
    ) -> bool {
        // Another machine of the pool may belong to the same person, who does not want it to run.
        let stopped = failure.code == Some(FailureCode::StoppedByOwner);
        if stopped || phase == Phase::Answering {
            return false;
        }
        let is_down = failure.code == Some(FailureCode::BackendUnreachable);
        self.try_again(task, true, now, out) || (is_down && self.wake_and_try_again(task, now, out))
    }

    /// The dispatched task could not be written down the channel: it fails, and its slot is free.
    /// Nothing happens if it has been sent again since.
    pub fn not_sent(
        &mut self,
        dispatch: &Dispatch,
        failure: Failure,
        now: Millis,
        out: &mut Actions,
    ) {
        let task = dispatch.task;
        let Some(entry) = self.tasks.get(task) else { return };
        if entry.redispatched() != dispatch.attempt {
            return;
        }
        match entry.phase() {
            Phase::Dispatched | Phase::Accepted => out.push(Action::Fail { task, failure }),
            Phase::Ended => {}
            Phase::Queued | Phase::Answering => return,
        }
        self.release(task, now, out);
    }

    /// Checks that this task or wake was sent to this publisher; true if a response to it is still
    /// wanted. Nothing changes: a large body need not be read for a foreign task.
    ///
    /// # Errors
    /// [`TaskRefusal::Unknown`], for unknown and foreign tasks.
    pub fn wants_answer(&self, from: &TaskSender, task: TaskId) -> Result<bool, TaskRefusal> {
        let wake = self.wakes.llm(task).and_then(|llm| self.catalogue.get(llm));
        let entry = self.tasks.get(task);
        let sent_to = match (wake, entry) {
            (Some(llm), _) => Some(llm.session()),
            (None, Some(entry)) => entry.session(),
            (None, None) => None,
        };
        let session = sent_to.ok_or(TaskRefusal::Unknown)?;
        if !self.sessions.is_owned(session, &from.owner) || !from.means(session) {
            return Err(TaskRefusal::Unknown);
        }
        Ok(entry.is_some_and(|entry| entry.phase() != Phase::Ended))
    }

    /// Checks that the task was sent to this publisher, renews its session's lease, and returns the
    /// task's phase. Unknown and foreign tasks get the same refusal.
    fn authorize_task(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
    ) -> Result<Phase, TaskRefusal> {
        let entry = self.tasks.get_mut(task).ok_or(TaskRefusal::Unknown)?;
        let id = entry.session().ok_or(TaskRefusal::Unknown)?;
        let session = self.sessions.get_mut(id).ok_or(TaskRefusal::Unknown)?;
        if session.owner.id != from.owner || !from.means(id) {
            return Err(TaskRefusal::Unknown);
        }
        session.last_seen = now;
        entry.mark_seen(now);
        Ok(entry.phase())
    }

    /// The name of the task's LLM.
    pub(crate) fn name_of(&self, task: TaskId) -> String {
        let llm = self.tasks.get(task).map(Task::llm);
        let entry = llm.and_then(|llm| self.catalogue.get(llm));
        entry.map_or_else(|| "the model".to_owned(), |entry| entry.name().to_owned())
    }
}

/// The failure that a caller gets for a publisher's report. The publisher's own text is not passed
/// on.
fn reported_failure(name: &str, phase: Phase, code: Option<&FailureCode>) -> Failure {
    match code {
        Some(FailureCode::StoppedByOwner) => failures::stopped_by_owner(name),
        Some(FailureCode::BackendAborted) => failures::backend_aborted(name),
        _ if phase == Phase::Answering => failures::backend_aborted(name),
        Some(FailureCode::Unpublished) => failures::inactive(name, "it was withdrawn"),
        _ => failures::backend_unreachable(name),
    }
}
