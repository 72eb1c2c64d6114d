//! Events of one task: what its publisher reports, and how its upload goes.

use super::Harness;
use super::event::{Ending, Pick};
use super::model::Upload;
use super::publishers::OWNERS;
use relay::{AnswerEnd, SessionId, TaskSender};
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

    pub(super) fn begin_upload(
        &mut self,
        task: Pick,
        who: Option<usize>,
        delivers: bool,
    ) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.sender(who, self.model.sent_to(task));
        self.check(
            |relay, now, out| {
                let reply = relay.answer_begins(&from, task, now);
                if reply.is_ok() && delivers {
                    relay.first_byte(task, out);
                }
                reply
            },
            |model, reply| {
                model.upload_begun(&from, task, *reply)?;
                if reply.is_ok() && delivers {
                    model.delivered(task);
                }
                Ok(())
            },
        )
    }

    pub(super) fn bytes(&mut self, task: Pick) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let Some(Upload::Open { .. }) = self.model.upload(task) else { return Ok(()) };
        self.check(
            |relay, now, _| relay.answer_goes_on(task, now),
            |model, ()| {
                model.bytes_arrived(task);
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

    pub(super) fn end_upload(
        &mut self,
        task: Pick,
        end: Ending,
        crosses: bool,
    ) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let Some(upload) = self.model.upload(task) else { return Ok(()) };
        let end = match (upload, end) {
            // An upload that the server stops ends by that, unless it ended just before.
            (Upload::Stopped, _) if !crosses => AnswerEnd::Stopped,
            (_, Ending::Complete) => AnswerEnd::Complete,
            // Only a caller that has the first byte can wait for the next ones.
            (Upload::Open { delivered: true }, Ending::Silent) => AnswerEnd::Silent,
            (_, Ending::Silent | Ending::Aborted) => AnswerEnd::Aborted,
        };
        // The end of an empty response delivers it.
        let delivers =
            end == AnswerEnd::Complete && matches!(upload, Upload::Open { delivered: false });
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
                model.upload_ended(task, end);
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
