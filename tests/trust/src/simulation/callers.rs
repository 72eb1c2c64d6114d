//! The simulated callers: each reads the bytes of its response, at once or slowly, and checks that every
//! byte is in its place.

use super::messages::Frame;
use super::text::{Found, Reader};
use super::{Planned, Simulation};
use crate::history::{Call, Fact};
use bytes::Bytes;
use mcpd::fuzzing::{Flow, Taken};
use relay::TaskId;
use std::collections::VecDeque;

/// Longest pause of a caller that reads slowly, in milliseconds.
const SLOW_PAUSE: u64 = 3_000;

/// The answer of one task on its way to its caller.
pub(super) struct Answer {
    call: Call,
    pub(super) flow: Flow,
    pub(super) progress: Progress,
    /// Nothing more is wanted from the publisher.
    pub(super) is_stopped: bool,
    pub(super) pieces: VecDeque<Bytes>,
    /// True for a complete one.
    outcome: Option<bool>,
    reader: Reader,
    pace: ReadingPace,
}

/// How far an answer is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Awaited,
    Begun,
    Delivered,
}

/// How a caller reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadingPace {
    AtOnce,
    Slowly,
    /// Slowly, and the next read is planned.
    Pausing,
}

impl Simulation {
    pub(super) fn new_answer(&mut self, call: Call) -> Answer {
        let is_slow = self.choices.chance(10);
        Answer {
            call,
            flow: Flow::default(),
            progress: Progress::Awaited,
            is_stopped: false,
            pieces: VecDeque::new(),
            outcome: None,
            reader: Reader::default(),
            pace: if is_slow { ReadingPace::Slowly } else { ReadingPace::AtOnce },
        }
    }

    /// Ends a response for its caller, behind the bytes that have arrived.
    pub(super) fn response_ends(&mut self, task: TaskId, complete: bool) {
        if let Some(answer) = self.server.answers.get_mut(&task) {
            answer.outcome.get_or_insert(complete);
            self.caller_reads(task);
        }
    }

    /// Ignores what still arrives of an answer.
    pub(super) fn stop_answer(&mut self, task: TaskId) {
        if let Some(answer) = self.server.answers.get_mut(&task) {
            answer.is_stopped = true;
        }
    }

    /// The caller is gone: drops what it has not taken.
    pub(super) fn abandon_answer(&mut self, task: TaskId) {
        if let Some(answer) = self.server.answers.get_mut(&task) {
            (answer.is_stopped, answer.pieces) = (true, VecDeque::new());
        }
        self.drop_read_answer(task);
    }

    /// Drops an answer that neither the relay nor its caller needs.
    pub(super) fn drop_read_answer(&mut self, task: TaskId) {
        let Some(answer) = self.server.answers.get(&task) else { return };
        if !self.server.tasks.contains_key(&task) && !self.open.contains_key(&answer.call) {
            self.server.answers.remove(&task);
        }
    }

    /// The caller of a task reads what has arrived, at its pace.
    pub(super) fn caller_reads(&mut self, task: TaskId) {
        while let Some(answer) = self.server.answers.get_mut(&task) {
            match answer.pace {
                ReadingPace::AtOnce => {
                    if !self.read_piece(task) {
                        return;
                    }
                }
                ReadingPace::Slowly => {
                    answer.pace = ReadingPace::Pausing;
                    let pause = self.choices.below(SLOW_PAUSE);
                    return self.plan(pause, Planned::Read(task));
                }
                ReadingPace::Pausing => return,
            }
        }
    }

    /// The pause of a caller that reads slowly is over.
    pub(super) fn slow_caller_reads(&mut self, task: TaskId) {
        let Some(answer) = self.server.answers.get_mut(&task) else { return };
        answer.pace = ReadingPace::Slowly;
        if self.read_piece(task) {
            self.caller_reads(task);
        }
    }

    /// A caller reads one piece, or the end behind the last one. False if there is neither.
    fn read_piece(&mut self, task: TaskId) -> bool {
        let Some(answer) = self.server.answers.get_mut(&task) else { return false };
        let call = answer.call;
        if !self.open.contains_key(&call) {
            return false;
        }
        let piece = match answer.progress {
            Progress::Delivered => answer.pieces.pop_front(),
            Progress::Awaited | Progress::Begun => None,
        };
        let Some(piece) = piece else {
            let Some(complete) = answer.outcome else { return false };
            let is_damaged = complete && answer.reader.is_inside_chunk();
            self.open.remove(&call);
            if is_damaged {
                self.record(Fact::Damaged(call));
            }
            self.record(Fact::Ended { call, complete });
            self.drop_read_answer(task);
            return false;
        };
        let (found, taken) = (answer.reader.read(&piece), answer.flow.take(piece.len()));
        for found in found {
            self.record_found(call, &found);
        }
        if let Some(Taken { offset, window }) = taken
            && let Some(channel) = self.server.relay.channel_of_task(task)
        {
            self.send_to_channel(channel, Frame::Taken { task, offset, window });
        }
        true
    }

    fn record_found(&mut self, call: Call, found: &Found) {
        match *found {
            Found::Chunk { written_for, run, number } => {
                // Bytes of an earlier run are not those of the one whose response this is.
                if written_for == call && self.runs.get(&call) != Some(&run) {
                    self.record(Fact::Damaged(call));
                }
                self.record(Fact::Received { call, written_for, chunk: u64::from(number) });
            }
            Found::Damage => self.record(Fact::Damaged(call)),
        }
    }
}
