//! §5.7 and §5.8 answers, §12.2.

use super::tasks::Phase;
use super::{Check, Model, ensure};
use relay::{AnswerEnd, TaskId, TaskRefusal, TaskSender};
use wire::error::Code;

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay_machine) enum Progress {
    /// Its head has arrived.
    Begun,
    /// Its caller has the first byte.
    Delivered,
    /// It is over for its caller.
    Over,
}

impl Model {
    /// How far the answer of a running task is; `None` before its head.
    pub(in crate::relay_machine) fn progress(&self, task: TaskId) -> Option<Progress> {
        match self.run(task)?.phase {
            Phase::Answering { delivered: false } => Some(Progress::Begun),
            Phase::Answering { delivered: true } => Some(Progress::Delivered),
            Phase::Ended { .. } => Some(Progress::Over),
            Phase::Dispatched | Phase::Accepted => None,
        }
    }

    /// An answer begins: frame `head`, or the first result of protocol 1 (§12.2). The head of an
    /// answer that has begun is recognised (§5.8.3).
    pub(in crate::relay_machine) fn answer_begun(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        reply: Result<(), TaskRefusal>,
    ) -> Check {
        let expected = match self.find(from, task) {
            None => Err(TaskRefusal::Unknown),
            Some(Phase::Ended { .. }) => Err(TaskRefusal::Gone),
            Some(Phase::Answering { .. }) => Err(TaskRefusal::Answered),
            Some(Phase::Dispatched | Phase::Accepted) => {
                self.set_phase(task, Phase::Answering { delivered: false });
                Ok(())
            }
        };
        ensure(reply == expected, || format!("§12.2: head gets {reply:?}, not {expected:?}"))
    }

    /// The first byte has gone to the caller (§12.1).
    pub(in crate::relay_machine) fn delivered(&mut self, task: TaskId) {
        self.set_phase(task, Phase::Answering { delivered: true });
        self.mark_served(task);
    }

    /// Bytes of an answer have arrived (§5.7.3, §14.4): a sign of life that resets no absence count.
    pub(in crate::relay_machine) fn answer_continued(&mut self, task: TaskId) {
        let now = self.now;
        let Some(run) = self.run_mut(task) else { return };
        run.sign_of_life = now;
        if run.phase == (Phase::Answering { delivered: false }) {
            self.delivered(task);
        }
    }

    /// An answer has ended (§12.2): by frame `end` or the last result of protocol 1, by an invalid
    /// frame (§5.7.5), by the timer "silence" (§14.2), which the driver measures, or of protocol 1 by
    /// a request that breaks off.
    pub(in crate::relay_machine) fn answer_ended(&mut self, task: TaskId, end: AnswerEnd) {
        let Some(phase) = self.run(task).map(|run| run.phase) else { return };
        let over = matches!(phase, Phase::Ended { .. });
        match end {
            AnswerEnd::Complete if over => self.must_release(task),
            AnswerEnd::Complete => {
                self.expected.completions.insert(task);
                self.must_release(task);
            }
            AnswerEnd::Aborted => {
                let delivered = phase == Phase::Answering { delivered: true };
                let code = if delivered { Code::BackendAborted } else { Code::PublisherLost };
                self.must_fail(task, code);
                self.must_release(task);
            }
            // Afterwards the publisher may still work on the task.
            AnswerEnd::Invalid if !over => self.must_fail_and_end(task, Code::BackendAborted),
            AnswerEnd::Silent if !over => self.must_fail_and_end(task, Code::AnswerTimeout),
            AnswerEnd::Invalid | AnswerEnd::Silent => {}
        }
    }

    /// §20: a publisher of protocol 1 has ended an answer that is over for its caller.
    pub(in crate::relay_machine) fn work_ended(&mut self, from: &TaskSender, task: TaskId) {
        if let Some(Phase::Ended { .. }) = self.find(from, task) {
            self.must_release(task);
        }
    }
}
