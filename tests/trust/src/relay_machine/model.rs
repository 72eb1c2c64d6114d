//! Reference model of the relay, written from `docs/protocol.md`. "§" cites a section of that page.
//!
//! The model is a specification, not a second relay. It records what publishers and callers did and
//! what the relay answered, and derives three things from that: what the relay must do in a step
//! ([`Expected`]), what it may do (the checks of [`Model::action`]), and what must hold after every
//! step ([`Model::end_step`]).
//!
//! | module | sections |
//! |---|---|
//! | sessions | §5.4 heartbeat, §7 sessions, §16 revocation, drain, restart |
//! | entries | §9 catalogue entries, §11 wakes |
//! | names | §8 names |
//! | register | §5.1, §7.3, §7.4 |
//! | queue | §10 admission, choice, queue |
//! | tasks | §5.6, §12 tasks, §13 cancellation, §15 slots |
//! | answers | §5.7, §5.8, §12.2 |
//! | timers | §14 timers |
//! | actions | checks of the relay's actions |

mod actions;
mod answers;
mod entries;
mod names;
mod queue;
mod register;
mod sessions;
mod tasks;
mod timers;

pub(super) use answers::Progress;
use entries::{Entry, Wake};
use names::Name;
use relay::{CancelReason, ChannelId, Gauges, Limits, LlmId, Millis, SessionId, TaskId};
use sessions::Session;
use std::collections::{BTreeMap, BTreeSet};
use tasks::{State, Task};

/// The outcome of a check: a message that cites the violated section.
pub(super) type Check = Result<(), String>;

/// Fails with this message unless the condition holds.
fn ensure(condition: bool, message: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(message()) }
}

/// The state that follows from the protocol and the events so far.
pub(super) struct Model {
    limits: Limits,
    now: Millis,
    /// Number of the current step; orders the tasks of a queue.
    step: i64,
    started: Millis,
    draining: bool,
    last_sweep: Millis,
    frozen_until: Millis,
    /// True from a pause of the whole server until the next tick: deadlines may be overdue.
    stalled: bool,
    sessions: BTreeMap<SessionId, Session>,
    entries: BTreeMap<LlmId, Entry>,
    names: BTreeMap<String, Name>,
    tasks: BTreeMap<TaskId, Task>,
    /// All tasks ever submitted, in order; events pick among them.
    submitted: Vec<TaskId>,
    expected: Expected,
}

/// The effects that the relay must have in the current step.
#[derive(Default)]
struct Expected {
    /// Tasks whose request must fail, each with the codes that are right.
    failures: BTreeMap<TaskId, BTreeSet<&'static str>>,
    /// Those of them that wait and fail by a timer: they may be dispatched instead.
    by_timer: BTreeSet<TaskId>,
    completions: BTreeSet<TaskId>,
    /// Wakes that end in this step; notices of the same time may still tell of them.
    ended_wakes: BTreeMap<LlmId, Wake>,
    /// Requests whose callers must get a notice that was due at this time, unless they end before.
    notices: BTreeMap<TaskId, Millis>,
    /// When these requests end by a timer of their own or of their wake.
    ends: BTreeMap<TaskId, Millis>,
    /// Tasks that must be forgotten, which gives their slots back.
    forgotten: BTreeSet<TaskId>,
    cancels: BTreeMap<TaskId, (ChannelId, CancelReason)>,
    /// Answers of which nothing more may reach their callers.
    stopped_answers: BTreeSet<TaskId>,
    /// Channels that must be closed: with `superseded`, with `revoked`, or without a last event.
    closed: BTreeMap<ChannelId, LastEventKind>,
    drained: BTreeSet<ChannelId>,
    /// §5.4: the session whose heartbeat counts absence, after its queues were advanced.
    counting: Option<SessionId>,
    /// Names of entries that a register has withdrawn.
    withdrawn: BTreeSet<String>,
}

/// How a control channel ends (§6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastEventKind {
    Superseded,
    Revoked,
    None,
}

impl Model {
    pub(super) fn new(limits: Limits, now: Millis) -> Self {
        Self {
            limits,
            now,
            step: 0,
            started: now,
            draining: false,
            last_sweep: now,
            frozen_until: 0,
            stalled: false,
            sessions: BTreeMap::new(),
            entries: BTreeMap::new(),
            names: BTreeMap::new(),
            tasks: BTreeMap::new(),
            submitted: Vec::new(),
            expected: Expected::default(),
        }
    }

    /// Begins a step at this time. No deadline may lie before it, unless the server stood still.
    pub(super) fn begin_step(&mut self, now: Millis) -> Check {
        if now > self.now && !self.stalled {
            let missed = self.first_deadline().filter(|(due, _)| *due < now);
            ensure(missed.is_none(), || {
                format!("§14: a deadline was missed: {missed:?} at {now}")
            })?;
        }
        self.now = now;
        self.step += 1;
        self.expected = Expected::default();
        self.note_shares();
        Ok(())
    }

    /// Records that the server stood still before the current step.
    pub(super) fn stalled(&mut self) {
        self.stalled = true;
    }

    /// Ends a step: the relay has done all that it must, and nothing waits that could run.
    pub(super) fn end_step(&mut self) -> Check {
        let expected = std::mem::take(&mut self.expected);
        let failures = &expected.failures;
        ensure(failures.is_empty(), || format!("§12: these must fail: {failures:?}"))?;
        let missing = |(task, due): &(&TaskId, &Millis)| {
            let is_open = self.tasks.get(*task).is_some_and(Task::is_open);
            is_open || expected.ends.get(*task).is_some_and(|end| end > *due)
        };
        let notice = expected.notices.iter().find(missing);
        ensure(notice.is_none(), || format!("§14.3: no notice for {notice:?}"))?;
        let Expected { completions, forgotten, cancels, stopped_answers, .. } = &expected;
        ensure(completions.is_empty(), || format!("§12.2: not completed: {completions:?}"))?;
        ensure(forgotten.is_empty(), || format!("§15.2: slots not given back: {forgotten:?}"))?;
        ensure(cancels.is_empty(), || format!("§13.1: not cancelled: {cancels:?}"))?;
        ensure(stopped_answers.is_empty(), || {
            format!("§12.2: answers not stopped: {stopped_answers:?}")
        })?;
        let Expected { closed, drained, withdrawn, .. } = &expected;
        ensure(closed.is_empty(), || format!("§6: channels not closed: {closed:?}"))?;
        ensure(drained.is_empty(), || format!("§16.2: channels not drained: {drained:?}"))?;
        ensure(withdrawn.is_empty(), || format!("§7.3: not withdrawn: {withdrawn:?}"))?;
        self.check_queues()
    }

    /// Compares the relay's totals.
    pub(super) fn check_gauges(&self, gauges: &Gauges) -> Check {
        let count =
            |such: fn(&State) -> bool| self.tasks.values().filter(|task| such(&task.state)).count();
        let queued = count(|state| matches!(state, State::Queued { .. }));
        let expected = Gauges {
            llms: self.entries.len(),
            names: self.names.len(),
            sessions: self.sessions.len(),
            channels: self.sessions.values().filter(|session| session.channel.is_some()).count(),
            queued,
            running: self.tasks.len() - queued,
            waking: self.entries.values().filter(|entry| entry.wake.is_some()).count(),
        };
        ensure(*gauges == expected, || format!("gauges are {gauges:?}, not {expected:?}"))
    }

    /// Checks at the end of a run that nothing is left of any request (§14, §15).
    pub(super) fn check_empty(&self) -> Check {
        ensure(self.tasks.is_empty(), || {
            format!("§15.2: tasks are left: {:?}", self.tasks.keys().collect::<Vec<_>>())
        })
    }
}
