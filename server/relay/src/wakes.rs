//! Waking: one wake per LLM at a time, whoever waits for it, whoever leaves.

use crate::rows::{Cooldown, Waking};
use crate::{Action, Actions, LlmId, Millis, Relay, TaskId, TaskRefusal, TaskSender, failures};
use wire::publisher::{FailureCode, ReportedStatus};

impl Relay {
    /// `/result` of a wake that succeeded.
    ///
    /// # Errors
    /// [`TaskRefusal::Unknown`]; also for a wake that was given up before.
    pub fn wake_succeeded(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), TaskRefusal> {
        let Some(llm) = self.wakes.get(&task).cloned() else {
            return Err(TaskRefusal::Unknown);
        };
        self.owns_wake(from, &llm, now)?;
        self.is_awake(&llm, now, out);
        Ok(())
    }

    /// Starts a wake unless one is under way or the last one failed too recently.
    pub(crate) fn wake(&mut self, id: &LlmId, now: Millis, out: &mut Actions) {
        let Some(llm) = self.llms.get(id) else { return };
        if llm.waking.is_some() {
            return;
        }
        if let Some(pause) = &llm.cooldown
            && now < pause.until
        {
            let left = (pause.until - now).div_ceil(1000);
            self.fail_queue(id, &failures::wake_failed(&llm.name, &pause.cause, left), out);
            return;
        }
        let Some(channel) = self.sessions.get(&llm.session).and_then(|s| s.channel) else {
            return;
        };
        let max_wait_secs = llm.max_wait_secs();
        let (llm_name, task) = (llm.provider.name.clone(), TaskId(self.ids.fresh()));
        let until = now + max_wait_secs * self.limits.second + self.limits.wake_margin;
        if let Some(llm) = self.llms.get_mut(id) {
            llm.waking = Some(Waking { task, began: now, until });
        }
        self.wakes.insert(task, *id);
        self.timers.insert((until, task));
        out.push(Action::Wake { channel, task, llm_name, max_wait_secs });
        self.reschedule_queue(id);
    }

    /// A backend has gone down since it was last looked at, and its owner's recipe can bring it
    /// back: the request waits for that. False when it cannot.
    pub(crate) fn wake_and_try_again(
        &mut self,
        task: TaskId,
        now: Millis,
        out: &mut Actions,
    ) -> bool {
        let Some(id) = self.tasks.get(&task).map(|entry| entry.llm) else {
            return false;
        };
        let recipe = self.llms.get(&id).and_then(|llm| llm.provider.wake_max_wait_seconds);
        if recipe.is_none() {
            return false;
        }
        self.set_status(&id, ReportedStatus::Hibernating, now, out);
        self.try_again(task, false, now, out)
    }

    /// The backend answers, as a result or a heartbeat says, whichever comes first: the queue goes
    /// on in order of arrival. How long it took is measured here, by the clock that callers wait by.
    pub(crate) fn is_awake(&mut self, id: &LlmId, now: Millis, out: &mut Actions) {
        if let Some(llm) = self.llms.get_mut(id)
            && let Some(waking) = &llm.waking
        {
            let ms = now - waking.began;
            llm.wake_ms = Some(llm.wake_ms.map_or(ms, |old| (old * 3 + ms) / 4));
            out.push(Action::SaveLlm(*id));
        }
        self.end_wake(id);
        if let Some(llm) = self.llms.get_mut(id) {
            llm.cooldown = None;
            llm.reported = ReportedStatus::Active;
            llm.reason = None;
            llm.since = now;
            for task in &llm.queue {
                if let Some(entry) = self.tasks.get_mut(task) {
                    entry.queued_at = now;
                }
            }
        }
        self.reschedule_queue(id);
        self.pump(id, now, out);
    }

    /// Every waiting caller is told the cause's code; the next try has to wait.
    pub(crate) fn wake_failed(
        &mut self,
        id: &LlmId,
        cause: &FailureCode,
        now: Millis,
        out: &mut Actions,
    ) {
        self.end_wake(id);
        let Some(llm) = self.llms.get_mut(id) else {
            return;
        };
        let cause = known_cause(cause);
        let pause = llm.cooldown.as_ref().map_or(self.limits.wake_cooldown, |last| {
            (last.pause * 2).min(self.limits.wake_cooldown_max)
        });
        llm.cooldown = Some(Cooldown { until: now + pause, pause, cause: cause.clone() });
        llm.reason = Some(format!("wake failed: {cause}"));
        let failure = failures::wake_failed(&llm.name, &cause, pause.div_ceil(1000));
        self.fail_queue(id, &failure, out);
    }

    /// The wake's publisher is gone or the wake took too long.
    pub(crate) fn wake_due(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        if let Some(llm) = self.wakes.get(&task).cloned() {
            self.wake_failed(&llm, &FailureCode::NotReady, now, out);
        }
    }

    /// Forgets the wake without a verdict.
    pub(crate) fn end_wake(&mut self, id: &LlmId) {
        let Some(waking) = self.llms.get_mut(id).and_then(|l| l.waking.take()) else {
            return;
        };
        self.wakes.remove(&waking.task);
        self.timers.remove(&(waking.until, waking.task));
    }

    /// Checks that the wake was sent to whoever asks.
    pub(crate) fn owns_wake(
        &mut self,
        from: &TaskSender,
        llm: &LlmId,
        now: Millis,
    ) -> Result<(), TaskRefusal> {
        let key = self.llms.get(llm).map(|l| l.session).ok_or(TaskRefusal::Unknown)?;
        let session = self.sessions.get_mut(&key).ok_or(TaskRefusal::Unknown)?;
        if session.owner.id != from.owner || from.session.as_ref().is_some_and(|s| *s != key) {
            return Err(TaskRefusal::Unknown);
        }
        session.last_seen = now;
        Ok(())
    }

    pub(crate) fn reschedule_queue(&mut self, id: &LlmId) {
        let waiting: Vec<TaskId> =
            self.llms.get(id).map(|l| l.queue.iter().copied().collect()).unwrap_or_default();
        for task in waiting {
            self.reschedule(task);
        }
    }
}

/// Only these codes reach a caller: a publisher's own text is not passed on.
fn known_cause(cause: &FailureCode) -> FailureCode {
    use FailureCode::{NotReady, RecipeExit, RecipeHttpStatus, RecipeLimit, RecipeTimeout};
    let known = [RecipeExit, RecipeHttpStatus, RecipeTimeout, RecipeLimit];
    if known.contains(cause) { cause.clone() } else { NotReady }
}
