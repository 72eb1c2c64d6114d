//! The work of a simulated publisher: requests at its backends, and recipes that wake them.

use super::messages::{Timer, Up};
use super::text::{self, FILLING_MAX};
use super::{Conditions, Simulation};
use crate::history::{Call, Fact};
use registrar::fuzzing::End;
use relay::TaskId;
use std::task::Waker;
use wire::publisher::{AnswerHead, TaskFailure};

/// Most chunks of a response.
const CHUNKS: u64 = 20;
/// Most bytes of most chunks' filling.
const FILLING: usize = 400;

/// A task of which nothing was sent for this time is acknowledged, in milliseconds.
pub(super) const ACKNOWLEDGE_AFTER: u64 = 500;

/// A request at a backend.
pub(super) struct Work {
    pub(super) call: Call,
    run: u32,
    next: u32,
    /// Bytes of each chunk's filling.
    fillings: Vec<usize>,
    announces_length: bool,
    /// True if the response breaks off instead of ending.
    breaks: bool,
    /// True while it cannot write because too much is on its way.
    is_stalled: bool,
}

/// Returns the name of a publisher's first (0) or second (1) model; the second has a wake recipe.
pub(super) fn model_name(publisher: usize, which: usize) -> String {
    format!("m{publisher}-{which}")
}

/// The payload of the frame of a failed task.
fn failure(code: &str) -> Vec<u8> {
    let failure = TaskFailure { message: String::new(), code: Some(code.into()) };
    serde_json::to_vec(&failure).unwrap_or_default()
}

impl Simulation {
    /// A task arrives on the control channel.
    pub(super) fn work(&mut self, who: usize, task: TaskId, call: Call, name: &str) {
        let now = self.instant();
        let publisher = &mut self.publishers[who];
        if publisher.tasks.contains_key(&task) {
            return;
        }
        publisher.tasks.insert(task, call);
        publisher.outbox.begin(task.0, now);
        let faulty = self.conditions == Conditions::Faulty;
        let down = self.publishers[who].asleep.contains(name) || faulty && self.choices.chance(3);
        let code = match self.publishers[who].published.contains(name) {
            false => Some("unpublished"),
            true if down => Some(wire::error::Code::BackendUnreachable.as_str()),
            true => None,
        };
        if let Some(code) = code {
            self.publishers[who].outbox.end(task.0, End::Failed(failure(code)));
            return self.send_answers(who);
        }
        self.record(Fact::BackendStarted(call));
        let work = self.new_work(call);
        self.publishers[who].works.insert(task, work);
        let prefill = self.choices.below(5_000);
        self.set_timer(who, ACKNOWLEDGE_AFTER, Timer::Acknowledge);
        self.set_timer(who, prefill, Timer::Step(task));
    }

    fn new_work(&mut self, call: Call) -> Work {
        let run = self.runs.entry(call).or_default();
        *run += 1;
        let run = *run;
        // Some responses are larger than the window.
        let is_large = self.choices.chance(1);
        let most = if is_large { FILLING_MAX } else { FILLING };
        let chunks = 1 + self.choices.below(CHUNKS);
        let filling = |_| self.choices.index(most);
        let fillings = (0..chunks).map(filling).collect();
        let breaks = self.conditions == Conditions::Faulty && self.choices.chance(5);
        let announces_length = self.choices.chance(30);
        Work { call, run, next: 0, fillings, announces_length, breaks, is_stalled: false }
    }

    /// The backend writes its next chunk, or ends.
    pub(super) fn step(&mut self, who: usize, task: TaskId) {
        let publisher = &mut self.publishers[who];
        let Some(work) = publisher.works.get_mut(&task) else { return };
        let (call, number) = (work.call, work.next);
        let Some(filling) = work.fillings.get(number as usize).copied() else {
            return self.response_is_written(who, task);
        };
        if number == 0 {
            publisher.outbox.head(task.0, head(work));
        }
        work.is_stalled = !publisher.outbox.has_room(task.0, Waker::noop());
        if work.is_stalled {
            return self.send_answers(who);
        }
        work.next += 1;
        publisher.outbox.data(task.0, text::chunk(call, work.run, number, filling));
        self.record(Fact::BackendWrote { call, chunk: u64::from(number) });
        self.send_answers(who);
        let pause = self.choices.below(1_000);
        self.set_timer(who, pause, Timer::Step(task));
    }

    /// Lets backends write again that waited for room.
    pub(super) fn resume_stalled(&mut self, who: usize) {
        let works = self.publishers[who].works.iter_mut();
        let stalled =
            works.filter_map(|(task, work)| std::mem::take(&mut work.is_stalled).then_some(*task));
        for task in stalled.collect::<Vec<_>>() {
            self.set_timer(who, 0, Timer::Step(task));
        }
    }

    fn response_is_written(&mut self, who: usize, task: TaskId) {
        let Some(work) = self.publishers[who].works.remove(&task) else { return };
        let end = if work.breaks { End::Failed(failure("backend_aborted")) } else { End::Complete };
        if !work.breaks {
            self.record(Fact::BackendFinished(work.call));
        }
        self.record(Fact::BackendClosed(work.call));
        self.publishers[who].outbox.end(task.0, end);
        self.send_answers(who);
        // A backend with nothing to do may fall asleep.
        if self.choices.chance(10) && self.publishers[who].works.is_empty() {
            self.publishers[who].asleep.insert(model_name(who, 1));
        }
    }

    /// Stops the backend's work on a task, then reports that it has ended.
    pub(super) fn stop(&mut self, who: usize, task: TaskId) {
        self.close_backend(who, task);
        self.publishers[who].outbox.stop(task.0, failure("cancelled"));
        self.send_answers(who);
    }

    /// The server has the answer of a task, or does not want it.
    pub(super) fn forget(&mut self, who: usize, task: TaskId) {
        self.close_backend(who, task);
        self.publishers[who].outbox.finished(task.0);
        self.publishers[who].tasks.remove(&task);
    }

    fn close_backend(&mut self, who: usize, task: TaskId) {
        if let Some(work) = self.publishers[who].works.remove(&task) {
            self.record(Fact::BackendClosed(work.call));
        }
    }

    pub(super) fn wake(&mut self, who: usize, task: TaskId, name: String) {
        let waiting = self.publishers[who].wakes.entry(name.clone()).or_default();
        waiting.push(task);
        if waiting.len() == 1 {
            self.record(Fact::WakeStarted { model: name.clone() });
            let takes = self.choices.between(100, 25_000);
            let well = self.choices.chance(80);
            self.set_timer(who, takes, Timer::RecipeEnded { name, well });
        }
    }

    pub(super) fn recipe_ended(&mut self, who: usize, name: &str, well: bool) {
        self.record(Fact::WakeEnded { model: name.to_owned() });
        let publisher = &mut self.publishers[who];
        let waiting = publisher.wakes.remove(name).unwrap_or_default();
        if well {
            publisher.asleep.remove(name);
        }
        for task in waiting {
            self.send_up(who, Up::Woke { task, well, tries: 0 });
        }
    }
}

/// The payload of the head frame.
fn head(work: &Work) -> Vec<u8> {
    let length: usize = work.fillings.iter().map(|filling| text::chunk_length(*filling)).sum();
    let content_length = work.announces_length.then_some(length as u64);
    let head = AnswerHead { status: 200, content_length, ..AnswerHead::default() };
    serde_json::to_vec(&head).unwrap_or_default()
}
