//! §5.6 task endpoints, §12 tasks, §13 cancellation, §15 slots.

use super::entries::Reported;
use super::{Check, Model, ensure};
use crate::relay_machine::event::Pick;
use relay::{
    Allowed, CancelReason, GoneReason, LlmId, Millis, OwnerId, SessionId, Submit, TaskId,
    TaskRefusal, TaskSender,
};
use wire::error::Code;
use wire::publisher::FailureCode;

/// A request as its caller sent it.
#[derive(Clone)]
pub(super) struct Request {
    /// Lower case.
    pub(super) name: String,
    /// `NAME@USER`.
    pub(super) user: Option<OwnerId>,
    pub(super) key: String,
    pub(super) allowed: Allowed,
    pub(super) streaming: bool,
    pub(super) notices: bool,
}

impl Request {
    pub(super) fn new(submit: &Submit) -> Self {
        let (name, user) = match submit.name.split_once('@') {
            Some((name, user)) => (name, Some(OwnerId(user.into()))),
            None => (&*submit.name, None),
        };
        Self {
            name: name.to_ascii_lowercase(),
            user,
            key: submit.key.clone(),
            allowed: submit.allowed.clone(),
            streaming: submit.streaming,
            notices: submit.notices,
        }
    }
}

/// A request of a caller, until it is forgotten.
pub(super) struct Task {
    pub(super) request: Request,
    pub(super) state: State,
    /// The entry that it waits for or runs at; stays the same after that entry's withdrawal.
    pub(super) entry: LlmId,
    pub(super) admitted: Millis,
    pub(super) sent_again: u32,
    /// Time of the latest notice, or of admission.
    pub(super) notified: Millis,
    /// §14.1: the publisher's return is awaited.
    pub(super) awaits_return: bool,
}

/// §12.1. In all states but the first a slot is taken.
pub(super) enum State {
    Queued {
        /// Position: a lower number goes first; tasks that came in one step are equal.
        position: i64,
        since: Millis,
    },
    Running(Run),
}

/// A task at a publisher.
pub(super) struct Run {
    pub(super) phase: Phase,
    pub(super) session: SessionId,
    /// Protocol version that the publisher spoke at the dispatch.
    pub(super) protocol: u32,
    pub(super) dispatched: Millis,
    pub(super) sign_of_life: Millis,
    pub(super) absent: u32,
}

/// §12.1, the states of a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Dispatched,
    Accepted,
    Answering {
        delivered: bool,
    },
    /// Over for the caller.
    Ended {
        at: Millis,
    },
}

impl Run {
    /// §12.2, §14.4: a heartbeat or register names the task in `inflight`.
    pub(super) fn named(&mut self, now: Millis) {
        (self.sign_of_life, self.absent) = (now, 0);
        if self.phase == Phase::Dispatched {
            self.phase = Phase::Accepted;
        }
    }
}

impl Task {
    pub(super) fn run(&self) -> Option<&Run> {
        match &self.state {
            State::Running(run) => Some(run),
            State::Queued { .. } => None,
        }
    }

    fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.state {
            State::Running(run) => Some(run),
            State::Queued { .. } => None,
        }
    }

    /// True from the caller's view: the outcome is still open.
    pub(super) fn is_open(&self) -> bool {
        self.run().is_none_or(|run| !matches!(run.phase, Phase::Ended { .. }))
    }
}

impl Model {
    /// The id of the next task to submit.
    pub(in crate::relay_machine) fn next_task(&self) -> TaskId {
        TaskId(self.submitted.len() as u128 + 1)
    }

    /// The task that an event is about.
    pub(in crate::relay_machine) fn pick(&self, pick: Pick) -> Option<TaskId> {
        match pick {
            Pick::Open(number) => {
                let count = self.tasks.len();
                (count > 0).then(|| self.tasks.keys().nth(number % count).copied()).flatten()
            }
            Pick::Any(number) => self.submitted.iter().rev().nth(number).copied(),
        }
    }

    /// The session that a task was sent to.
    pub(in crate::relay_machine) fn sent_to(&self, task: TaskId) -> Option<SessionId> {
        self.run(task).map(|run| run.session)
    }

    /// The tasks of a session whose slots are taken (§7.1).
    pub(in crate::relay_machine) fn tasks_of(&self, session: SessionId) -> Vec<TaskId> {
        let at = |(id, task): (&TaskId, &Task)| {
            task.run().filter(|run| run.session == session).map(|_| *id)
        };
        self.tasks.iter().filter_map(at).collect()
    }

    /// True if the running tasks of a session were dispatched by protocol 1.
    pub(in crate::relay_machine) fn protocol_of_tasks(&self, session: SessionId) -> Option<bool> {
        let mut runs = self.tasks.values().filter_map(Task::run);
        runs.find(|run| run.session == session).map(|run| run.protocol == wire::PROTOCOL_1)
    }

    /// True if the running task was dispatched by protocol 1.
    pub(in crate::relay_machine) fn is_protocol_1(&self, task: TaskId) -> Option<bool> {
        self.run(task).map(|run| run.protocol == wire::PROTOCOL_1)
    }

    pub(super) fn run(&self, task: TaskId) -> Option<&Run> {
        self.tasks.get(&task)?.run()
    }

    pub(super) fn run_mut(&mut self, task: TaskId) -> Option<&mut Run> {
        self.tasks.get_mut(&task)?.run_mut()
    }

    /// §5.6: a task is found when it was sent to a session of the key's user, and when the session
    /// header, if sent, names that session. Renews the task's sign of life and the session's lease.
    pub(super) fn find(&mut self, from: &TaskSender, task: TaskId) -> Option<Phase> {
        let run = self.run(task)?;
        let (session, phase) = (run.session, run.phase);
        let owner = &self.sessions.get(&session)?.owner;
        if *owner != from.owner || from.session.is_some_and(|named| named != session) {
            return None;
        }
        // §7.5.1: does not make an expired session live. §14.4: a sign of life.
        let now = self.now;
        self.sessions.get_mut(&session)?.last_seen = now;
        let run = self.run_mut(task)?;
        (run.sign_of_life, run.absent) = (now, 0);
        Some(phase)
    }

    /// Frame `accepted`, or `GET …/request` (§12.2).
    pub(in crate::relay_machine) fn acknowledged(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        reply: Result<(), TaskRefusal>,
    ) -> Check {
        let expected = match self.find(from, task) {
            None => Err(TaskRefusal::Unknown),
            Some(Phase::Ended { .. }) => Err(TaskRefusal::Gone),
            Some(phase) => {
                if phase == Phase::Dispatched {
                    self.set_phase(task, Phase::Accepted);
                }
                Ok(())
            }
        };
        ensure(reply == expected, || format!("§12.2: accepted gets {reply:?}, not {expected:?}"))
    }

    /// Frame `failed`, or `POST …/result` with `error` (§12.2, §12.3).
    pub(in crate::relay_machine) fn failed(
        &mut self,
        from: &TaskSender,
        task: TaskId,
        code: Option<&FailureCode>,
        reply: Result<(), TaskRefusal>,
    ) -> Check {
        let by_owner = code == Some(&FailureCode::StoppedByOwner);
        let expected = match self.find(from, task) {
            None => Err(TaskRefusal::Unknown),
            Some(Phase::Ended { .. }) => {
                self.must_release(task);
                Err(TaskRefusal::Gone)
            }
            Some(Phase::Answering { .. }) => {
                let code = if by_owner { Code::StoppedByOwner } else { Code::BackendAborted };
                self.must_fail(task, code);
                self.must_release(task);
                Ok(())
            }
            Some(Phase::Dispatched | Phase::Accepted) => {
                if by_owner {
                    self.must_fail(task, Code::StoppedByOwner);
                    self.must_release(task);
                } else {
                    self.send_again_or_fail(task, code);
                }
                Ok(())
            }
        };
        ensure(reply == expected, || format!("§12.2: failed gets {reply:?}, not {expected:?}"))
    }

    /// §12.3, first two rows.
    fn send_again_or_fail(&mut self, task: TaskId, code: Option<&FailureCode>) {
        if self.sent_to_another(task) {
            return;
        }
        let entry = self.tasks[&task].entry;
        let unreachable = code == Some(&FailureCode::BackendUnreachable);
        let wakeable = self.entries.get(&entry).is_some_and(|entry| entry.wakeable());
        let may_be_sent = self.may_be_sent_again(task);
        if unreachable && wakeable {
            // §9.2: the entry becomes `hibernating`.
            self.report(entry, Reported::Hibernating);
            if may_be_sent {
                self.put_in_front(task, entry);
                return self.advance(entry);
            }
        }
        // The codes before a response begins, §12.2.
        let code = match code {
            Some(FailureCode::BackendAborted) => Code::BackendAborted,
            Some(FailureCode::Unpublished) => Code::LlmInactive,
            _ => Code::BackendUnreachable,
        };
        self.must_fail(task, code);
        self.must_release(task);
    }

    /// §12.3: moves the task to another candidate of its request, if there is one.
    pub(super) fn sent_to_another(&mut self, task: TaskId) -> bool {
        let here = self.tasks[&task].entry;
        if !self.may_be_sent_again(task) {
            return false;
        }
        let request = self.tasks[&task].request.clone();
        let others = self.candidates(&request).into_iter().filter(|entry| *entry != here).collect();
        match self.choose(others, &request) {
            Ok(entry) => {
                self.put_in_front(task, entry);
                // The slot at the first entry is free now.
                self.advance(here);
                self.advance(entry);
                true
            }
            Err(_) => false,
        }
    }

    /// §12.3, last row: the frame of the task was lost.
    pub(super) fn sent_once_more(&mut self, task: TaskId) -> bool {
        let Task { entry, sent_again, .. } = self.tasks[&task];
        if self.sent_to_another(task) {
            return true;
        }
        // A withdrawn entry (§9.4) takes no requests.
        let once = sent_again == 0 && self.may_be_sent_again(task);
        if once && self.entries.contains_key(&entry) {
            self.put_in_front(task, entry);
            self.advance(entry);
            return true;
        }
        false
    }

    /// §12.3: at most twice.
    fn may_be_sent_again(&self, task: TaskId) -> bool {
        self.tasks[&task].sent_again < self.limits.redispatch
    }

    fn put_in_front(&mut self, task: TaskId, entry: LlmId) {
        let (position, since) = (-self.step, self.now);
        if let Some(task) = self.tasks.get_mut(&task) {
            task.entry = entry;
            task.sent_again += 1;
            task.state = State::Queued { position, since };
        }
    }

    /// The caller disconnects, or does not read, or its key dies (§12.2).
    pub(in crate::relay_machine) fn caller_gone(&mut self, task: TaskId, reason: GoneReason) {
        match self.tasks.get(&task) {
            None => {}
            Some(Task { state: State::Queued { .. }, .. }) => {
                self.expected.forgotten.insert(task);
            }
            Some(open) if open.is_open() => self.must_end(task, CancelReason::Caller(reason)),
            Some(_) => {}
        }
    }

    /// §12.2 "Stop": the task is over for its caller while the publisher may still work on it.
    pub(super) fn must_end(&mut self, task: TaskId, reason: CancelReason) {
        let now = self.now;
        let Some(run) = self.run_mut(task) else { return };
        let answering = matches!(run.phase, Phase::Answering { .. });
        run.phase = Phase::Ended { at: now };
        let session = run.session;
        if answering {
            self.expected.stopped_answers.insert(task);
        }
        if let Some(channel) = self.sessions.get(&session).and_then(|session| session.channel) {
            self.expected.cancels.insert(task, (channel, reason));
        }
    }

    /// §12.2 "Fail CODE, Stop with that reason".
    pub(super) fn must_fail_and_end(&mut self, task: TaskId, code: Code) {
        self.must_fail(task, code);
        self.must_end(task, CancelReason::Failed(code));
    }

    /// §12.2 "Release": the slot is given back, the task is forgotten, and the queue is advanced.
    pub(super) fn must_release(&mut self, task: TaskId) {
        self.expected.forgotten.insert(task);
        if let Some(entry) = self.tasks.get(&task).map(|task| task.entry) {
            self.advance(entry);
        }
    }

    /// §12.2 "Fail".
    pub(super) fn must_fail(&mut self, task: TaskId, code: Code) {
        self.expected.failures.entry(task).or_default().insert(code.as_str());
    }

    pub(super) fn set_phase(&mut self, task: TaskId, phase: Phase) {
        if let Some(run) = self.run_mut(task) {
            run.phase = phase;
        }
    }
}
