//! Events of one task: what its publisher reports, and how its answer goes.

use super::Harness;
use super::event::{Ending, Pick};
use super::model::Progress;
use super::publishers::OWNERS;
use relay::{AnswerEnd, SessionId, TaskId, TaskSender};
use wire::publisher::{FailureCode, TaskFailure};

impl Harness {
    /// The sender of a task request: this publisher, or the one of this session.
    fn sender(&self, who: Option<usize>, session: Option<SessionId>) -> TaskSender {
        let is_it = |at: &usize| self.publishers[*at].session == session;
        let who = who.or_else(|| (0..OWNERS.len()).find(is_it)).unwrap_or_default();
        self.publishers[who].sender(OWNERS[who])
    }

    pub(super) fn acknowledge(&mut self, task: Pick, who: Option<usize>) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.sender(who, self.model.sent_to(task));
        self.check(
            |relay, now, _| relay.acknowledge(&from, task, now),
            |model, reply| model.acknowledged(&from, task, *reply),
        )
    }

    pub(super) fn begin_answer(&mut self, task: Pick, who: Option<usize>) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.sender(who, self.model.sent_to(task));
        self.check(
            |relay, now, _| relay.answer_begins(&from, task, now),
            |model, reply| model.answer_begun(&from, task, *reply),
        )
    }

    /// Only bytes of an answer that has begun reach the relay.
    pub(super) fn continue_answer(&mut self, task: Pick) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let first = match self.model.progress(task) {
            None => return Ok(()),
            Some(progress) => progress == Progress::Begun,
        };
        self.check(
            |relay, now, out| {
                relay.answer_goes_on(task, now);
                if first {
                    relay.first_byte(task, out);
                }
            },
            |model, ()| {
                model.answer_continued(task);
                Ok(())
            },
        )
    }

    pub(super) fn end_answer(&mut self, task: Pick, end: Ending) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let Some(old) = self.model.is_protocol_1(task) else { return Ok(()) };
        match (self.model.progress(task), end) {
            // A frame may be invalid before an answer has begun.
            (_, Ending::Broken) if !old => self.answer_ends(task, AnswerEnd::Invalid, false),
            (None, _) => Ok(()),
            // It is the end of its work.
            (Some(Progress::Over), Ending::Complete) if old => Ok(()),
            // The end of an empty response delivers it.
            (Some(progress), Ending::Complete) => {
                self.answer_ends(task, AnswerEnd::Complete, progress == Progress::Begun)
            }
            (Some(Progress::Begun | Progress::Delivered), Ending::Broken) => {
                self.answer_ends(task, AnswerEnd::Aborted, false)
            }
            // Only a caller that has the first byte can wait for the next ones.
            (Some(Progress::Delivered), Ending::Silent) => {
                self.answer_ends(task, AnswerEnd::Silent, false)
            }
            (Some(Progress::Begun | Progress::Over), Ending::Silent | Ending::Broken) => Ok(()),
        }
    }

    fn answer_ends(&mut self, task: TaskId, end: AnswerEnd, delivers: bool) -> Result<(), String> {
        self.check(
            |relay, now, out| {
                if delivers {
                    relay.first_byte(task, out);
                }
                relay.answer_ended(task, end, now, out);
            },
            |model, ()| {
                if delivers {
                    model.delivered(task);
                }
                model.answer_ended(task, end);
                Ok(())
            },
        )
    }

    pub(super) fn end_work(&mut self, task: Pick, who: Option<usize>) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.sender(who, self.model.sent_to(task));
        self.check(
            |relay, now, out| relay.work_ended(&from, task, now, out),
            |model, ()| {
                model.work_ended(&from, task);
                Ok(())
            },
        )
    }

    pub(super) fn fail(
        &mut self,
        task: Pick,
        who: Option<usize>,
        code: &'static str,
    ) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.sender(who, self.model.sent_to(task));
        let failure = TaskFailure { message: String::new(), code: Some(code.into()) };
        self.check(
            |relay, now, out| relay.task_failed(&from, task, &failure, now, out),
            |model, reply| model.failed(&from, task, failure.code.as_ref(), *reply),
        )
    }

    pub(super) fn end_wake(&mut self, who: Option<usize>, succeeds: bool) -> Result<(), String> {
        let Some((task, session)) = self.model.oldest_wake() else { return Ok(()) };
        let from = self.sender(who, Some(session));
        let failure = TaskFailure { message: String::new(), code: Some(FailureCode::RecipeExit) };
        self.check(
            |relay, now, out| {
                if succeeds {
                    relay.wake_succeeded(&from, task, now, out)
                } else {
                    relay.task_failed(&from, task, &failure, now, out)
                }
            },
            |model, reply| {
                let failure = failure.code.as_ref().filter(|_| !succeeds);
                model.wake_reported(&from, task, failure, *reply)
            },
        )
    }
}
