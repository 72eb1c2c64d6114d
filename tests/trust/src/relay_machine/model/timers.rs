//! §14 timers.

use super::Model;
use super::tasks::{Phase, Run, State, Task};
use relay::{Millis, TaskId};
use wire::error::Code;
use wire::publisher::FailureCode;

/// The effect of a timer that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The request fails; a running task is then over for its caller only.
    Fail(Code),
    /// The slot of an ended task is given back.
    Release,
    /// A notice is sent to the caller (§14.3).
    Notice,
    /// A wake has taken too long (§11.4).
    WakeFails,
}

impl Model {
    /// The timers of a task and when they are due.
    fn timers(&self, task: &Task) -> Vec<(Millis, Timer)> {
        let mut timers = match &task.state {
            State::Queued { since, .. } => self.queue_timers(task, *since),
            State::Running(run) => self.run_timers(run),
        };
        let begun = task
            .run()
            .is_some_and(|run| matches!(run.phase, Phase::Answering { .. } | Phase::Ended { .. }));
        if task.request.notices && !begun {
            timers.push((task.notified + self.limits.notice, Timer::Notice));
        }
        timers
    }

    /// §14.1.
    fn queue_timers(&self, task: &Task, since: Millis) -> Vec<(Millis, Timer)> {
        let wakes = self.entries.get(&task.entry).is_some_and(|entry| entry.wake.is_some());
        let mut timers = Vec::new();
        if !wakes {
            timers.push((since + self.limits.queue_wait, Timer::Fail(Code::QueueTimeout)));
        } else if !task.request.streaming {
            timers.push((since + self.limits.wake_hold, Timer::Fail(Code::LlmWaking)));
        }
        if task.awaits_return {
            let due = task.admitted + self.limits.grace_wait;
            timers.push((due, Timer::Fail(Code::LlmInactive)));
        }
        timers
    }

    /// §14.2, without "silence", which the driver measures.
    fn run_timers(&self, run: &Run) -> Vec<(Millis, Timer)> {
        let limits = &self.limits;
        let session = &self.sessions[&run.session];
        let old = run.protocol == wire::PROTOCOL_1;
        let patience = if session.channel.is_some() || self.draining {
            limits.lost
        } else {
            limits.lost_disconnected
        };
        let lost = if old {
            run.sign_of_life.max(session.last_seen) + limits.lease
        } else {
            run.sign_of_life + patience
        };
        let lost = (lost, Timer::Fail(Code::PublisherLost));
        let first_byte = (run.dispatched + limits.first_byte, Timer::Fail(Code::FirstByteTimeout));
        let total = (run.dispatched + limits.total, Timer::Fail(Code::AnswerTimeout));
        match run.phase {
            Phase::Dispatched if session.channel.is_some() => {
                vec![(run.dispatched + limits.ack_wait, Timer::Fail(Code::DispatchTimeout)), lost]
            }
            Phase::Dispatched => vec![lost],
            Phase::Accepted => vec![first_byte, lost],
            Phase::Answering { delivered: false } => vec![first_byte, total, lost],
            Phase::Answering { delivered: true } => vec![total, lost],
            Phase::Ended { .. } if old => vec![(run.dispatched + limits.total, Timer::Release)],
            Phase::Ended { at } => {
                vec![(at.max(run.sign_of_life) + limits.lost, Timer::Release)]
            }
        }
    }

    fn wake_deadline(&self, wake: &super::entries::Wake) -> Millis {
        wake.started + wake.max_wait_secs * self.limits.second + self.limits.wake_margin
    }

    /// The first deadline of all tasks and wakes.
    pub(super) fn first_deadline(&self) -> Option<(Millis, String)> {
        let tasks = self.tasks.iter().flat_map(|(id, task)| {
            let timers = self.timers(task).into_iter();
            timers.map(move |(due, timer)| (due, format!("{timer:?} of {id}")))
        });
        let wakes = self.entries.values().filter_map(|entry| entry.wake.as_ref());
        let wakes = wakes.map(|wake| {
            (self.wake_deadline(wake), format!("{:?} of {}", Timer::WakeFails, wake.task))
        });
        tasks.chain(wakes).min()
    }

    /// The relay is told the time: everything that is due now must happen.
    pub(in crate::relay_machine) fn ticked(&mut self) {
        self.stalled = false;
        let due: Vec<(TaskId, Vec<(Millis, Timer)>)> =
            self.tasks.iter().map(|(id, task)| (*id, self.timers(task))).collect();
        let wakes = self.entries.iter().filter_map(|(id, entry)| Some((*id, entry.wake.as_ref()?)));
        let wakes = wakes.map(|(id, wake)| (id, self.wake_deadline(wake)));
        let failed: Vec<_> = wakes.filter(|(_, at)| *at <= self.now).collect();
        for (entry, at) in failed {
            let waiting = self.queued(entry).into_iter();
            self.expected.ends.extend(waiting.map(|task| (task, at)));
            self.wake_failed(entry, &FailureCode::NotReady);
        }
        for (task, timers) in due {
            self.apply_timers(task, timers);
        }
    }

    /// §14: the timer that is due first counts, of several the first in the tables.
    fn apply_timers(&mut self, task: TaskId, timers: Vec<(Millis, Timer)>) {
        let due = timers.into_iter().filter(|(due, _)| *due <= self.now);
        let (notices, ends): (Vec<_>, Vec<_>) = due.partition(|(_, timer)| *timer == Timer::Notice);
        self.expected.notices.extend(notices.into_iter().map(|(due, _)| (task, due)));
        let Some((at, timer)) = ends.into_iter().min_by_key(|(due, _)| *due) else { return };
        // The wake may end the request too; at the same time, either of them may be first.
        match self.expected.ends.get(&task) {
            Some(wake_end) if *wake_end < at => return,
            Some(wake_end) if *wake_end > at => drop(self.expected.failures.remove(&task)),
            Some(_) | None => {}
        }
        self.expected.ends.insert(task, at);
        match timer {
            Timer::Fail(code) => {
                if self.run(task).is_some() {
                    self.must_fail_and_end(task, code);
                    // §20: without a stop, the slot may be due at the same time.
                    let timers = self.run(task).map(|run| self.run_timers(run));
                    if timers.into_iter().flatten().any(|(due, _)| due <= self.now) {
                        self.must_release(task);
                    }
                } else {
                    self.must_fail(task, code);
                    self.expected.forgotten.insert(task);
                    self.expected.by_timer.insert(task);
                }
            }
            Timer::Release => self.must_release(task),
            Timer::Notice | Timer::WakeFails => {}
        }
    }
}
