//! The simulated server's side of answers: takes the frames of uplinks as mcpd does, with the real
//! decoder and mcpd's real flow control.

use super::Simulation;
use super::callers::{Answer, Progress};
use super::messages::{Down, Frame, Step, Up, UplinkEnd};
use super::publisher::owner_id;
use crate::history::Fact;
use bytes::Bytes;
use mcpd::fuzzing::{Taken, Violation};
use relay::{Actions, AnswerEnd, ChannelId, SessionId, TaskId, TaskRefusal, TaskSender};
use std::collections::BTreeSet;
use wire::frames::{self, Decoder, Kind};
use wire::publisher::{AnswerHead, Resume, TaskFailure};

/// An open uplink.
pub(super) struct OpenUplink {
    pub(super) from: usize,
    session: SessionId,
    decoder: Decoder,
    /// The tasks of which it has brought a head, or more of an answer that had begun before.
    answers: BTreeSet<TaskId>,
}

/// Why a frame does not simply count.
enum Refused {
    /// The task is over, and its cancellation is under way.
    Ignored,
    /// The publisher may forget the task.
    Finished,
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

impl OpenUplink {
    fn sender(&self) -> TaskSender {
        TaskSender { owner: owner_id(self.from), session: Some(self.session) }
    }
}

impl Simulation {
    /// A part of an uplink arrives.
    pub(super) fn uplink_goes_on(&mut self, from: usize, number: u64, step: Step) {
        match step {
            Step::Open(ref session) => self.uplink_opens(from, number, session),
            Step::Bytes(bytes) => self.take_bytes(number, bytes),
            Step::End => {
                let Some(uplink) = self.server.uplinks.remove(&number) else { return };
                if uplink.decoder.is_inside_frame() {
                    self.frame_refused(TaskId(0), "the uplink ended inside a frame".into());
                }
                let confirmed = Down::UplinkEnded(number, UplinkEnd::Confirmed);
                self.reply(from, Up::Uplink(number, Step::End), confirmed);
            }
        }
    }

    fn uplink_opens(&mut self, from: usize, number: u64, session: &str) {
        let known = session
            .parse::<SessionId>()
            .ok()
            .filter(|session| self.server.relay.channel_of(&owner_id(from), *session).is_ok());
        let Some(session) = known else {
            return self.close(from, Down::UplinkEnded(number, UplinkEnd::Unknown));
        };
        let of_session = |(_, uplink): &(&u64, &OpenUplink)| uplink.session == session;
        let older: Vec<u64> =
            self.server.uplinks.iter().filter(of_session).map(|(number, _)| *number).collect();
        for older in older {
            self.server.uplinks.remove(&older);
            self.close(from, Down::UplinkEnded(older, UplinkEnd::Lost));
        }
        let (decoder, answers) = (Decoder::default(), BTreeSet::new());
        self.server.uplinks.insert(number, OpenUplink { from, session, decoder, answers });
    }

    fn take_bytes(&mut self, number: u64, bytes: Bytes) {
        let Some(uplink) = self.server.uplinks.get_mut(&number) else { return };
        uplink.decoder.feed(bytes);
        while let Some(uplink) = self.server.uplinks.get_mut(&number) {
            match uplink.decoder.next_frame() {
                Ok(Some(frame)) => self.take_frame(number, frame),
                Ok(None) => return,
                Err(invalid) => {
                    self.server.uplinks.remove(&number);
                    return self.frame_refused(TaskId(0), invalid.to_string());
                }
            }
        }
    }

    fn frame_refused(&mut self, task: TaskId, rule: String) {
        let call = self.server.tasks.get(&task).copied().unwrap_or_default();
        self.record(Fact::FrameRefused { call, rule });
    }

    fn take_frame(&mut self, number: u64, frame: frames::Frame) {
        let Some(uplink) = self.server.uplinks.get(&number) else { return };
        let (from, session, task) = (uplink.sender(), uplink.session, TaskId(frame.task));
        let (mut out, now) = (Actions::new(), self.now);
        let taken = match frame.kind {
            Kind::Accepted => {
                self.server.relay.acknowledge(&from, task, now).map_err(Refused::from)
            }
            Kind::Head => self.take_head(number, &from, task, &frame.payload),
            Kind::Data => self.take_data(number, task, (frame.offset, frame.payload), &mut out),
            Kind::End => self.take_end(number, &from, task, &mut out),
            Kind::Failed => {
                let failure: TaskFailure =
                    serde_json::from_slice(&frame.payload).unwrap_or_default();
                // Either way the publisher may forget it.
                let _ = self.server.relay.task_failed(&from, task, &failure, now, &mut out);
                Err(Refused::Finished)
            }
            Kind::Unknown(_) => Ok(()),
        };
        match taken {
            Ok(()) | Err(Refused::Ignored) => {}
            Err(Refused::Finished) => self.send_finished(number, &from, session, task),
            Err(Refused::Invalid(violation)) => {
                self.frame_refused(task, violation.to_string());
                self.server.relay.answer_ended(task, AnswerEnd::Invalid, now, &mut out);
            }
        }
        self.apply_actions(out);
        self.caller_reads(task);
    }

    fn take_head(
        &mut self,
        number: u64,
        from: &TaskSender,
        task: TaskId,
        payload: &[u8],
    ) -> Result<(), Refused> {
        let begun = self.server.relay.answer_begins(from, task, self.now);
        let answer = self.server.answers.get_mut(&task).ok_or(Refused::Finished)?;
        match begun {
            Ok(()) => {
                let head: AnswerHead =
                    serde_json::from_slice(payload).map_err(|_| Violation::Payload)?;
                answer.flow.announce(head.content_length);
                answer.progress = Progress::Begun;
            }
            // The publisher sends it again after a lost uplink.
            Err(TaskRefusal::Answered) => {}
            Err(refusal) => return Err(refusal.into()),
        }
        let uplink = self.server.uplinks.get_mut(&number).ok_or(Refused::Ignored)?;
        uplink.answers.insert(task).then_some(()).ok_or(Refused::Invalid(Violation::Order))
    }

    /// Checks that this uplink may go on with the task's answer.
    fn goes_on(&mut self, number: u64, task: TaskId) -> Result<&mut Answer, Refused> {
        let uplink = self.server.uplinks.get_mut(&number).ok_or(Refused::Ignored)?;
        if !uplink.answers.contains(&task) {
            match self.server.relay.wants_answer(&uplink.sender(), task) {
                Ok(true) => {}
                Ok(false) => return Err(Refused::Ignored),
                Err(_) => return Err(Refused::Finished),
            }
            uplink.answers.insert(task);
        }
        let answer = self.server.answers.get_mut(&task).ok_or(Refused::Finished)?;
        if answer.progress == Progress::Awaited {
            return Err(Violation::Order.into());
        }
        Ok(answer)
    }

    fn take_data(
        &mut self,
        number: u64,
        task: TaskId,
        (offset, bytes): (u64, Bytes),
        out: &mut Actions,
    ) -> Result<(), Refused> {
        let now = self.now;
        let answer = self.goes_on(number, task)?;
        let new = answer.flow.receive(offset, bytes)?;
        if !answer.is_stopped && !new.is_empty() {
            answer.pieces.push_back(new);
        }
        self.server.relay.answer_goes_on(task, now);
        self.deliver(task, out);
        Ok(())
    }

    fn take_end(
        &mut self,
        number: u64,
        from: &TaskSender,
        task: TaskId,
        out: &mut Actions,
    ) -> Result<(), Refused> {
        let now = self.now;
        match self.goes_on(number, task) {
            Ok(answer) => answer.flow.end()?,
            Err(Refused::Ignored) => {
                self.server.relay.work_ended(from, task, now, out);
                return Err(Refused::Finished);
            }
            Err(refused) => return Err(refused),
        }
        self.deliver(task, out);
        self.server.relay.answer_ended(task, AnswerEnd::Complete, now, out);
        Err(Refused::Finished)
    }

    fn deliver(&mut self, task: TaskId, out: &mut Actions) {
        let Some(answer) = self.server.answers.get_mut(&task) else { return };
        if answer.progress != Progress::Delivered && !answer.is_stopped {
            answer.progress = Progress::Delivered;
            self.server.relay.first_byte(task, out);
        }
    }

    /// Sends `finished` before the actions that follow: the task may be sent to the same publisher again.
    fn send_finished(&mut self, number: u64, from: &TaskSender, session: SessionId, task: TaskId) {
        if let Some(uplink) = self.server.uplinks.get_mut(&number) {
            uplink.answers.remove(&task);
        }
        let channel = self.server.relay.channel_of(&from.owner, session).ok().flatten();
        if let Some(channel) = channel {
            self.send_to_channel(channel, Frame::Finished(task));
        }
    }

    /// Tells a publisher with a new channel how far its answers were taken.
    pub(super) fn send_progress(&mut self, session: SessionId, channel: ChannelId) {
        for task in self.server.relay.tasks_of(session) {
            let answer = self.server.answers.get_mut(&task);
            let begun = answer.filter(|answer| answer.progress != Progress::Awaited);
            if let Some(answer) = begun {
                let Taken { offset, window } = answer.flow.tell();
                self.send_to_channel(channel, Frame::Taken { task, offset, window });
            }
        }
    }

    /// Adds how far the answers that go on have arrived.
    pub(super) fn add_offsets(&self, resume: &mut [Resume]) {
        for entry in resume {
            let task = entry.id.parse::<TaskId>().ok();
            let answer = task.and_then(|task| self.server.answers.get(&task));
            entry.offset = answer.map_or(0, |answer| answer.flow.received());
        }
    }
}
