//! The publisher's side of a task: it takes it, answers, fails, or is never heard of again.

use crate::task::{Phase, Task};
use crate::{
    Action, Actions, AnswerEnd, CancelReason, Dispatch, Failure, Millis, Relay, TaskId,
    TaskRefusal, TaskSender, failures,
};
use wire::publisher::{FailureCode, TaskFailure};

impl Relay {
    /// The publisher has the task: an ack, a body claim, a piece of its answer. Repeating it is fine.
    ///
    /// # Errors
    /// [`TaskRefusal`]; never `Answered`.
    pub fn acknowledge(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
    ) -> Result<(), TaskRefusal> {
        let entry = self.named(from, task, now)?;
        match entry.phase {
            Phase::Ended => return Err(TaskRefusal::Gone),
            Phase::Dispatched => entry.phase = Phase::Accepted,
            Phase::Queued | Phase::Accepted | Phase::Answering => {}
        }
        self.reschedule(task);
        Ok(())
    }

    /// The publisher starts to answer (`/response`, or the first `/result` chunk). Once per task.
    ///
    /// # Errors
    /// [`TaskRefusal`].
    pub fn answer_begins(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
    ) -> Result<(), TaskRefusal> {
        let entry = self.named(from, task, now)?;
        match entry.phase {
            Phase::Ended => return Err(TaskRefusal::Gone),
            Phase::Answering => return Err(TaskRefusal::Answered),
            Phase::Queued => return Err(TaskRefusal::Unknown),
            Phase::Dispatched | Phase::Accepted => entry.phase = Phase::Answering,
        }
        self.reschedule(task);
        Ok(())
    }

    /// Bytes of an answer keep coming: its publisher lives, whatever became of the channel.
    pub fn answer_goes_on(&mut self, task: TaskId, now: Millis) {
        if let Some(entry) = self.tasks.get_mut(&task) {
            entry.seen = now;
            self.reschedule(task);
        }
    }

    /// The upload of an answer has ended, whatever way. Makes the task terminal if it was not yet,
    /// and gives the slot back unless the upload was stopped by us: then the publisher says when
    /// its work has ended.
    pub fn answer_ended(&mut self, task: TaskId, end: AnswerEnd, now: Millis, out: &mut Actions) {
        let Some(entry) = self.tasks.get(&task) else {
            return;
        };
        if entry.phase == Phase::Queued {
            return;
        }
        let over = entry.phase == Phase::Ended;
        let delivered = entry.delivered;
        let name = self.name_of(task);
        match end {
            AnswerEnd::Complete => {
                if !over {
                    out.push(Action::Complete { task });
                }
                self.release(task, now, out);
            }
            AnswerEnd::Aborted => {
                if !over {
                    let failure = if delivered {
                        failures::backend_aborted(&name)
                    } else {
                        failures::publisher_lost(&name)
                    };
                    out.push(Action::Fail { task, failure });
                }
                self.release(task, now, out);
            }
            AnswerEnd::Silent => self.fail_running(task, failures::answer_timeout(&name), now, out),
            AnswerEnd::Stopped => {}
        }
    }

    /// `/result` with an error: the publisher could not run the task, or has stopped it after a
    /// cancel (then the slot is given back and the refusal is `Gone`). Also a failed wake.
    ///
    /// # Errors
    /// [`TaskRefusal`].
    pub fn task_failed(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        failure: &TaskFailure,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), TaskRefusal> {
        if let Some(llm) = self.wakes.get(&task).cloned() {
            self.owns_wake(from, &llm, now)?;
            self.wake_failed(
                &llm,
                failure.code.as_ref().unwrap_or(&FailureCode::NotReady),
                now,
                out,
            );
            return Ok(());
        }
        let phase = self.named(from, task, now)?.phase;
        let name = self.name_of(task);
        let stopped = failure.code == Some(FailureCode::StoppedByOwner);
        match phase {
            Phase::Ended => {
                self.release(task, now, out);
                return Err(TaskRefusal::Gone);
            }
            Phase::Queued => return Err(TaskRefusal::Unknown),
            // Not on another machine either: whoever publishes there is the same person.
            Phase::Answering | Phase::Dispatched | Phase::Accepted if stopped => {
                out.push(Action::Fail { task, failure: failures::stopped_by_owner(&name) });
            }
            Phase::Answering => {
                out.push(Action::Fail { task, failure: failures::backend_aborted(&name) });
            }
            Phase::Dispatched | Phase::Accepted => {
                let down = failure.code == Some(FailureCode::BackendUnreachable);
                if self.try_again(task, true, now, out)
                    || (down && self.wake_and_try_again(task, now, out))
                {
                    return Ok(());
                }
                let told = match failure.code {
                    Some(FailureCode::BackendAborted) => failures::backend_aborted(&name),
                    Some(FailureCode::Unpublished) => failures::inactive(&name, "it was withdrawn"),
                    _ => failures::backend_unreachable(&name),
                };
                out.push(Action::Fail { task, failure: told });
            }
        }
        self.release(task, now, out);
        Ok(())
    }

    /// The dispatched task could not be written down the channel: it fails, and its slot is free.
    /// Nothing happens when it has been sent again since.
    pub fn not_sent(
        &mut self,
        dispatch: &Dispatch,
        failure: Failure,
        now: Millis,
        out: &mut Actions,
    ) {
        let task = dispatch.task;
        let Some(entry) = self.tasks.get(&task) else {
            return;
        };
        let is_this = entry.redispatched == dispatch.attempt;
        let runs = is_this && matches!(entry.phase, Phase::Dispatched | Phase::Accepted);
        if runs {
            out.push(Action::Fail { task, failure });
        }
        if runs || (is_this && entry.phase == Phase::Ended) {
            self.release(task, now, out);
        }
    }

    /// Whether this task or wake was sent to this publisher; true when an answer to it is still
    /// wanted. Nothing changes: a large body need not be read for a task of somebody else's.
    ///
    /// # Errors
    /// [`TaskRefusal::Unknown`], for unknown and foreign tasks.
    pub fn wants_answer(&self, from: &TaskSender, task: TaskId) -> Result<bool, TaskRefusal> {
        let wake = self.wakes.get(&task).and_then(|llm| self.llms.get(llm));
        let entry = self.tasks.get(&task);
        let sent_to = match (wake, entry) {
            (Some(llm), _) => Some(&llm.session),
            (None, Some(entry)) => entry.session.as_ref(),
            (None, None) => None,
        };
        let key = sent_to.ok_or(TaskRefusal::Unknown)?;
        let owner = self.sessions.get(key).map(|session| &session.owner.id);
        if owner != Some(&from.owner) || from.session.as_ref().is_some_and(|given| given != key) {
            return Err(TaskRefusal::Unknown);
        }
        Ok(entry.is_some_and(|entry| entry.phase != Phase::Ended))
    }

    /// Ends a running task for the caller with a failure and stops the publisher's work. The slot
    /// stays taken until that has ended.
    pub(crate) fn fail_running(
        &mut self,
        task: TaskId,
        failure: Failure,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(entry) = self.tasks.get(&task) else {
            return;
        };
        if matches!(entry.phase, Phase::Queued | Phase::Ended) {
            return;
        }
        let why = CancelReason::Failed(failure.code);
        out.push(Action::Fail { task, failure });
        self.stop_work(task, why, now, out);
    }

    /// Makes the task terminal and tells the publisher to stop.
    pub(crate) fn stop_work(
        &mut self,
        task: TaskId,
        reason: CancelReason,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(entry) = self.tasks.get_mut(&task) else {
            return;
        };
        entry.phase = Phase::Ended;
        entry.ended_at = now;
        let session = entry.session.as_ref().and_then(|key| self.sessions.get(key));
        if let Some(channel) = session.and_then(|s| s.channel) {
            out.push(Action::Cancel { channel, task, reason });
        }
        out.push(Action::StopUpload { task });
        self.reschedule(task);
    }

    /// The publisher's work has ended: the slot is free, the task forgotten, the next one goes.
    pub(crate) fn release(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        let Some(llm) = self.tasks.get(&task).map(|t| t.llm) else {
            return;
        };
        self.give_slot_back(task);
        self.remove(task, out);
        self.pump(&llm, now, out);
    }

    /// Takes the task off its session and its row's count.
    pub(crate) fn give_slot_back(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.get(&task) else {
            return;
        };
        if !entry.phase.holds_slot() {
            return;
        }
        if let Some(session) = entry.session.as_ref().and_then(|key| self.sessions.get_mut(key)) {
            session.tasks.remove(&task);
        }
        if let Some(llm) = self.llms.get_mut(&entry.llm) {
            llm.running = llm.running.saturating_sub(1);
        }
    }

    /// Checks that the task was sent to whoever asks, and notes the sign of life. Unknown and
    /// foreign tasks get the same answer.
    fn named(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
    ) -> Result<&mut Task, TaskRefusal> {
        let Some(entry) = self.tasks.get_mut(&task) else {
            return Err(TaskRefusal::Unknown);
        };
        let Some(key) = entry.session.as_ref() else {
            return Err(TaskRefusal::Unknown);
        };
        let Some(session) = self.sessions.get_mut(key) else {
            return Err(TaskRefusal::Unknown);
        };
        let same_session = from.session.as_ref().is_none_or(|given| given == key);
        if session.owner.id != from.owner || !same_session {
            return Err(TaskRefusal::Unknown);
        }
        session.last_seen = now;
        entry.seen = now;
        entry.missed = 0;
        Ok(entry)
    }

    /// What the caller calls the task's LLM.
    pub(crate) fn name_of(&self, task: TaskId) -> String {
        let llm = self.tasks.get(&task).and_then(|t| self.llms.get(&t.llm));
        llm.map_or_else(|| "the model".to_owned(), |l| l.name.clone())
    }
}
