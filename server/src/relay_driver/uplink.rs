//! Frames of a publisher: what each does to its task.

use super::answer::Answer;
use super::flow::Violation;
use super::response_head::ResponseHead;
use super::{Inner, RelayDriver};
use crate::limits;
use bytes::Bytes;
use relay::{Actions, AnswerEnd, Millis, SessionId, TaskId, TaskRefusal, TaskSender};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::frames::{Frame, Kind};
use wire::publisher::TaskFailure;

/// One open uplink.
pub(crate) struct Uplink {
    from: TaskSender,
    session: SessionId,
    /// The answers that this uplink has brought something of and that are not over.
    answers: HashMap<TaskId, Arriving>,
    /// Cancelled when a newer uplink of the session has been opened.
    pub(crate) superseded: CancellationToken,
}

/// An answer that arrives.
struct Arriving {
    answer: Arc<Answer>,
    /// When the relay was last told that it still arrives.
    reported: Instant,
}

impl Arriving {
    fn of(answer: &Arc<Answer>) -> Self {
        Self { answer: Arc::clone(answer), reported: Instant::now() }
    }
}

impl Uplink {
    pub(super) fn new(from: TaskSender, session: SessionId, superseded: CancellationToken) -> Self {
        Self { from, session, answers: HashMap::new(), superseded }
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Forgets stopped answers whose publisher never confirms it, when there are more than can run.
    fn drop_stopped(&mut self) {
        if self.answers.len() >= limits::INFLIGHT {
            self.answers.retain(|_, arriving| !arriving.answer.is_stopped());
        }
    }

    /// Takes data of an answer whose head the caller has already, which is no event for the relay.
    /// False if the frame is anything else: nothing is taken.
    fn take_running(&self, frame: &Frame) -> bool {
        let arriving = self.answers.get(&TaskId(frame.task));
        frame.kind == Kind::Data
            && !frame.payload.is_empty()
            && arriving.is_some_and(|arriving| {
                arriving.answer.is_delivered()
                    && arriving.reported.elapsed() < limits::SIGN_OF_LIFE
                    && arriving.answer.receive(frame.offset, frame.payload.clone()).is_ok()
            })
    }
}

impl RelayDriver {
    /// Takes the frames of one read.
    pub(crate) fn take_frames(&self, uplink: &mut Uplink, frames: impl Iterator<Item = Frame>) {
        // Nothing overtakes a frame that is an event: the order within a task decides what is valid.
        let frames: Vec<Frame> = frames.skip_while(|frame| uplink.take_running(frame)).collect();
        if frames.is_empty() {
            return;
        }
        self.event(|inner, now, out| {
            for frame in frames {
                inner.take_frame(uplink, frame, now, out);
            }
        });
    }
}

impl Inner {
    fn take_frame(&mut self, uplink: &mut Uplink, frame: Frame, now: Millis, out: &mut Actions) {
        let Frame { kind, task, offset, payload } = frame;
        let task = TaskId(task);
        let taken = match kind {
            Kind::Accepted => self.take_accepted(uplink, task, &payload, now),
            Kind::Head => self.take_head(uplink, task, &payload, now),
            Kind::Data => self.take_data(uplink, task, (offset, payload), now, out),
            Kind::End => self.take_end(uplink, task, &payload, now, out),
            Kind::Failed => {
                self.take_failed(uplink, task, &payload, now, out);
                Err(Refused::Finished)
            }
            Kind::Unknown(_) => return,
        };
        match taken {
            Ok(()) | Err(Refused::Ignored) => {}
            Err(Refused::Finished) => self.finish(uplink, task),
            Err(Refused::Invalid(violation)) => {
                tracing::debug!(%task, %violation, "a publisher sent an invalid frame");
                uplink.answers.remove(&task);
                self.relay.answer_ended(task, AnswerEnd::Invalid, now, out);
            }
        }
    }

    fn take_accepted(
        &mut self,
        uplink: &Uplink,
        task: TaskId,
        payload: &[u8],
        now: Millis,
    ) -> Result<(), Refused> {
        self.relay.acknowledge(&uplink.from, task, now)?;
        payload.is_empty().then_some(()).ok_or(Refused::Invalid(Violation::Payload))
    }

    fn take_head(
        &mut self,
        uplink: &mut Uplink,
        task: TaskId,
        payload: &[u8],
        now: Millis,
    ) -> Result<(), Refused> {
        let head = ResponseHead::parse(payload);
        let begun = self.relay.answer_begins(&uplink.from, task, now);
        let call = self.calls.get(&task).ok_or(Refused::Finished)?;
        match begun {
            Ok(()) => call.answer.begin(head.ok_or(Refused::Invalid(Violation::Payload))?),
            // The publisher sends it again after a lost uplink.
            Err(TaskRefusal::Answered) if call.answer.has_begun() => {}
            Err(refusal) => return Err(refusal.into()),
        }
        uplink.drop_stopped();
        match uplink.answers.insert(task, Arriving::of(&call.answer)) {
            None => Ok(()),
            Some(_) => Err(Refused::Invalid(Violation::Order)),
        }
    }

    fn take_data(
        &mut self,
        uplink: &mut Uplink,
        task: TaskId,
        (offset, bytes): (u64, Bytes),
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), Refused> {
        let arriving = self.arriving(uplink, task)?;
        if bytes.is_empty() {
            return Err(Refused::Invalid(Violation::Payload));
        }
        arriving.reported = Instant::now();
        let answer = Arc::clone(&arriving.answer);
        self.relay.answer_goes_on(task, now);
        if answer.receive(offset, bytes)? {
            self.deliver(task, &answer, out);
        }
        Ok(())
    }

    fn take_end(
        &mut self,
        uplink: &mut Uplink,
        task: TaskId,
        payload: &[u8],
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), Refused> {
        if self.relay.wants_answer(&uplink.from, task) == Ok(false) {
            self.relay.work_ended(&uplink.from, task, now, out);
            return Err(Refused::Finished);
        }
        let answer = Arc::clone(&self.arriving(uplink, task)?.answer);
        if !payload.is_empty() {
            return Err(Refused::Invalid(Violation::Payload));
        }
        answer.check_end()?;
        self.deliver(task, &answer, out);
        self.relay.answer_ended(task, AnswerEnd::Complete, now, out);
        Err(Refused::Finished)
    }

    fn take_failed(
        &mut self,
        uplink: &Uplink,
        task: TaskId,
        payload: &[u8],
        now: Millis,
        out: &mut Actions,
    ) {
        // The task has failed, whatever the payload says.
        let failure = serde_json::from_slice::<TaskFailure>(payload).unwrap_or_default();
        let _over_before = self.relay.task_failed(&uplink.from, task, &failure, now, out);
    }

    /// Hands the head of an answer to its caller with the first byte: from here on the request cannot
    /// be sent to another publisher, and its body is dropped.
    pub(super) fn deliver(&mut self, task: TaskId, answer: &Answer, out: &mut Actions) {
        if answer.is_delivered() || answer.is_stopped() {
            return;
        }
        self.relay.first_byte(task, out);
        if let Some(call) = self.calls.get_mut(&task) {
            call.request = None;
        }
        answer.deliver();
    }

    /// The answer that a frame goes on with: its head has come in this uplink, or in an earlier one.
    fn arriving<'u>(
        &self,
        uplink: &'u mut Uplink,
        task: TaskId,
    ) -> Result<&'u mut Arriving, Refused> {
        let call = self.calls.get(&task).ok_or(Refused::Finished)?;
        match uplink.answers.entry(task) {
            Entry::Occupied(arriving) => Ok(arriving.into_mut()),
            Entry::Vacant(vacant) => {
                if !self.relay.wants_answer(&uplink.from, task)? {
                    return Err(Refused::Ignored);
                }
                if !call.answer.has_begun() {
                    return Err(Refused::Invalid(Violation::Order));
                }
                Ok(vacant.insert(Arriving::of(&call.answer)))
            }
        }
    }

    /// The publisher may forget the task.
    fn finish(&self, uplink: &mut Uplink, task: TaskId) {
        uplink.answers.remove(&task);
        let channel = self.relay.channel_of(&uplink.from.owner, uplink.session).ok().flatten();
        if let Some(channel) = channel.and_then(|channel| self.channels.get(&channel)) {
            channel.news.finished(task);
        }
    }
}

/// Why a frame does not simply count.
enum Refused {
    /// The task is over, and its cancellation is under way.
    Ignored,
    /// The publisher may forget the task.
    Finished,
    /// It breaks the rules: its task fails.
    Invalid(Violation),
}

impl From<TaskRefusal> for Refused {
    fn from(refusal: TaskRefusal) -> Self {
        match refusal {
            TaskRefusal::Unknown => Self::Finished,
            TaskRefusal::Gone => Self::Ignored,
            TaskRefusal::Answered => Self::Invalid(Violation::Order),
        }
    }
}

impl From<Violation> for Refused {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation)
    }
}
