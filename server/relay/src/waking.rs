//! Wakes of sleeping backends: at most one per LLM at a time, for all callers that wait for it.

use crate::state::Wake;
use crate::{Action, Actions, LlmId, Millis, Relay, TaskId, TaskRefusal, TaskSender, failures};
use wire::publisher::{FailureCode, ReportedStatus};

impl Relay {
    /// `/result` of a wake that succeeded.
    ///
    /// # Errors
    /// [`TaskRefusal::Unknown`], for foreign wakes and for one that is over.
    pub fn wake_succeeded(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), TaskRefusal> {
        let llm = self.wakes.llm(task).ok_or(TaskRefusal::Unknown)?;
        self.authorize_wake(from, llm, now)?;
        self.backend_is_active(llm, now, out);
        Ok(())
    }

    /// Starts a wake unless one is under way. If the last one failed too recently, the waiting
    /// requests fail.
    pub(crate) fn start_wake(&mut self, id: LlmId, now: Millis, out: &mut Actions) {
        if self.wakes.of(id).is_some() {
            return;
        }
        let Some(entry) = self.catalogue.get(id) else { return };
        if let Some(pause) = entry.cooldown(now) {
            let left = pause.left_secs(now);
            let failure = failures::wake_failed(entry.name(), &pause.cause, left);
            self.fail_queue(id, &failure, out);
            return;
        }
        let session = self.sessions.get(entry.session());
        let Some(channel) = session.and_then(|session| session.channel()) else { return };
        let max_wait_secs = entry.max_wait_secs();
        let (llm_name, task) = (entry.provider().name.clone(), TaskId(self.ids.fresh()));
        let until = now + max_wait_secs * self.limits.second + self.limits.wake_margin;
        self.wakes.start(id, Wake { task, began: now, until });
        out.push(Action::Wake { channel, task, llm_name, max_wait_secs });
        self.reschedule_queue(id);
    }

    /// A backend went down after its last report: if it has a recipe, the request waits for a wake.
    /// False if it has none, or the request was sent too often.
    pub(crate) fn wake_and_try_again(
        &mut self,
        task: TaskId,
        now: Millis,
        out: &mut Actions,
    ) -> bool {
        let Some(id) = self.tasks.get(task).map(|task| task.llm()) else { return false };
        let Some(entry) = self.catalogue.get_mut(id).filter(|entry| entry.has_recipe()) else {
            return false;
        };
        entry.mark_down(ReportedStatus::Hibernating, now);
        self.try_again(task, false, now, out)
    }

    /// The backend answers, as a result or a heartbeat reports, whichever comes first: the queue
    /// goes on in order of arrival. The wake's duration is measured here, by the clock that callers
    /// wait by.
    pub(crate) fn backend_is_active(&mut self, id: LlmId, now: Millis, out: &mut Actions) {
        if let Some(entry) = self.catalogue.get_mut(id) {
            if let Some(wake) = self.wakes.of(id) {
                entry.learn_wake_time(now - wake.began);
                out.push(Action::SaveLlm(id));
            }
            entry.mark_active(now);
        }
        self.wakes.end(id);
        self.tasks.restart_wait(id, now);
        self.reschedule_queue(id);
        self.advance_queue(id, now, out);
    }

    /// Fails every waiting request with the cause, and delays the next wake.
    pub(crate) fn wake_failed(
        &mut self,
        id: LlmId,
        cause: &FailureCode,
        now: Millis,
        out: &mut Actions,
    ) {
        self.wakes.end(id);
        let Some(entry) = self.catalogue.get_mut(id) else { return };
        let cause = known_cause(cause);
        let pause = entry.start_cooldown(cause.clone(), &self.limits, now);
        let failure = failures::wake_failed(entry.name(), &cause, pause.div_ceil(1000));
        self.fail_queue(id, &failure, out);
    }

    /// The publisher did not report the wake's end in time.
    pub(crate) fn wake_due(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        if let Some(llm) = self.wakes.llm(task) {
            self.wake_failed(llm, &FailureCode::NotReady, now, out);
        }
    }

    /// Checks that the wake was sent to this publisher, and renews its session's lease.
    pub(crate) fn authorize_wake(
        &mut self,
        from: &TaskSender,
        llm: LlmId,
        now: Millis,
    ) -> Result<(), TaskRefusal> {
        let id = self.catalogue.get(llm).map(|entry| entry.session());
        let id = id.filter(|id| from.means(*id)).ok_or(TaskRefusal::Unknown)?;
        let session = self.sessions.get_mut(id).filter(|session| session.owner.id == from.owner);
        session.ok_or(TaskRefusal::Unknown)?.last_seen = now;
        Ok(())
    }
}

/// Only these codes reach a caller: a publisher's own text is not passed on.
fn known_cause(cause: &FailureCode) -> FailureCode {
    use FailureCode::{NotReady, RecipeExit, RecipeHttpStatus, RecipeLimit, RecipeTimeout};
    let known = [RecipeExit, RecipeHttpStatus, RecipeTimeout, RecipeLimit];
    if known.contains(cause) { cause.clone() } else { NotReady }
}
