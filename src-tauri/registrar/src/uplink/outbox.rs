//! All answers that this process has not finished: what must be sent of them, in which order, and how
//! much may be read from their backends. Pure: no clock and no socket.

use super::answer::{Answer, End};
use crate::limits::{KEPT, KEPT_ALWAYS, TASKS, TURN};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use tokio::time::Instant;
use wire::frames::HEAD;
use wire::limits::FRAME;

/// The most that one call of [`Outbox::gather`] writes beyond `enough`: a head, data and an end.
pub const LARGEST_TURN: usize = 3 * HEAD + 2 * FRAME + TURN;

/// The answers, by the numbers of their tasks.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Ordered: what is sent again comes in the same order every time.
    answers: BTreeMap<u128, Answer>,
    /// Answers with something to send, in the order of their turns. Some may be gone.
    queue: VecDeque<u128>,
    /// Tasks of which nothing may have been sent yet, and when they began. Some may be gone.
    unacknowledged: VecDeque<(Instant, u128)>,
    /// Kept bytes of all answers.
    kept: usize,
    /// Readers wait although their windows are open: too much is kept in all.
    is_full: bool,
    /// The latest beginning of a task.
    last_begun: Option<Instant>,
}

impl Outbox {
    /// A task begins. True if it is the only one that may have to be acknowledged.
    pub fn begin(&mut self, task: u128, now: Instant) -> bool {
        if let Some(known) = self.answers.insert(task, Answer::new()) {
            self.kept -= known.kept.len();
        }
        self.last_begun = Some(now);
        let is_first = self.unacknowledged.is_empty();
        if self.unacknowledged.len() >= 2 * TASKS {
            self.unacknowledged.retain(|(_, task)| self.answers.contains_key(task));
        }
        self.unacknowledged.push_back((now, task));
        is_first
    }

    /// The backend's status and headers, as the payload of their frame.
    pub fn head(&mut self, task: u128, payload: Vec<u8>) {
        self.change(task, |answer| answer.set_head(payload));
    }

    /// The next bytes of the backend's body.
    pub fn data(&mut self, task: u128, bytes: Bytes) {
        self.change(task, |answer| answer.push(bytes));
    }

    /// The backend's body is complete, or it has failed behind the bytes so far.
    pub fn end(&mut self, task: u128, end: End) {
        self.change(task, |answer| answer.set_end(end));
    }

    /// The task is stopped: what was not sent is dropped. False if it was complete already.
    pub fn stop(&mut self, task: u128, failure: Vec<u8>) -> bool {
        self.change(task, |answer| answer.stop(failure)).unwrap_or_default()
    }

    /// The caller has taken the bytes before `position`; `window` bytes may be sent beyond them.
    pub fn taken(&mut self, task: u128, position: u64, window: u64) {
        self.change(task, |answer| {
            answer.take(position, window);
            if answer.room() > 0
                && let Some(reader) = answer.reader.take()
            {
                reader.wake();
            }
        });
    }

    /// The server has the answer, or does not want it. False if it was not known.
    pub fn finished(&mut self, task: u128) -> bool {
        let Some(answer) = self.answers.remove(&task) else { return false };
        self.kept -= answer.kept.len();
        if self.queue.len() >= 2 * TASKS {
            self.queue.retain(|task| self.answers.contains_key(task));
        }
        self.wake_readers();
        true
    }

    /// The uplink broke: everything that was not taken is sent again.
    pub fn uplink_lost(&mut self) {
        self.queue.clear();
        for (task, answer) in &mut self.answers {
            answer.send_again();
            answer.is_queued = answer.is_ready();
            if answer.is_queued {
                self.queue.push_back(*task);
            }
        }
    }

    /// After a register: the server has the bytes before `position`.
    pub fn resume(&mut self, task: u128, position: u64) {
        self.change(task, |answer| answer.resume(position));
    }

    /// Asks for an acknowledgement of every task that began before this moment and of which nothing
    /// was sent.
    pub fn acknowledge(&mut self, begun_before: Instant) {
        while let Some((begun, task)) = self.unacknowledged.front().copied()
            && begun <= begun_before
        {
            self.unacknowledged.pop_front();
            self.change(task, Answer::acknowledge);
        }
    }

    /// When the oldest task began that may have to be acknowledged.
    #[must_use]
    pub fn oldest_unacknowledged(&self) -> Option<Instant> {
        self.unacknowledged.front().map(|(begun, _)| *begun)
    }

    /// When the latest task began.
    #[must_use]
    pub fn last_begun(&self) -> Option<Instant> {
        self.last_begun
    }

    /// True if more of the answer may be read from its backend; else `reader` is woken when it may.
    pub fn has_room(&mut self, task: u128, reader: &Waker) -> bool {
        let Some(answer) = self.answers.get_mut(&task) else { return false };
        let is_full = self.kept >= KEPT && answer.kept.len() >= KEPT_ALWAYS;
        if answer.room() > 0 && !is_full {
            return true;
        }
        self.is_full |= is_full;
        if answer.reader.as_ref().is_none_or(|known| !known.will_wake(reader)) {
            answer.reader = Some(reader.clone());
        }
        false
    }

    /// Appends the next frames until `out` has `enough` bytes or nothing is left: the answers take
    /// turns.
    pub fn gather(&mut self, enough: usize, out: &mut BytesMut) {
        while out.len() < enough
            && let Some(task) = self.queue.pop_front()
        {
            let Some(answer) = self.answers.get_mut(&task) else { continue };
            answer.write_turn(task, out);
            answer.is_queued = answer.is_ready();
            if answer.is_queued {
                self.queue.push_back(task);
            }
        }
    }

    /// True if there is something to send.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.queue.is_empty()
    }

    /// True if every answer is finished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// True if the answer is not finished.
    #[must_use]
    pub fn contains(&self, task: u128) -> bool {
        self.answers.contains_key(&task)
    }

    /// Changes an answer, and queues it if there is something to send now.
    fn change<T>(&mut self, task: u128, change: impl FnOnce(&mut Answer) -> T) -> Option<T> {
        let answer = self.answers.get_mut(&task)?;
        let before = answer.kept.len();
        let changed = change(answer);
        self.kept = self.kept + answer.kept.len() - before;
        if !answer.is_queued && answer.is_ready() {
            answer.is_queued = true;
            self.queue.push_back(task);
        }
        self.wake_readers();
        Some(changed)
    }

    /// Wakes the readers that waited because too much was kept.
    fn wake_readers(&mut self) {
        if self.is_full && self.kept < KEPT {
            self.is_full = false;
            self.answers
                .values_mut()
                .filter_map(|answer| answer.reader.take())
                .for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests;
