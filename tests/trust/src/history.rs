//! A history of one run: facts observed by callers, mcpd, publishers and backends, in order of time.
//! Made by the simulation, or read from the logs of real processes.

mod check;

pub use check::{Bounds, check};

/// A caller's request, as a number.
pub type Call = u64;

/// A fact and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since the start.
    pub at: u64,
    /// The fact.
    pub fact: Fact,
}

/// An observable fact. A `model` is one publisher's model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A caller sends a request.
    Requested(Call),
    /// A caller receives a chunk of a response.
    Received {
        /// The receiving caller's request.
        call: Call,
        /// The request for which the backend wrote the chunk.
        written_for: Call,
        /// The chunk's number, from 0.
        chunk: u64,
    },
    /// A caller receives bytes that its backend did not write in this place.
    Damaged(Call),
    /// A caller's response ends.
    Ended {
        /// The request.
        call: Call,
        /// True if the response ends like a complete one (`[DONE]` or a whole body).
        complete: bool,
    },
    /// A caller disconnects before its response has ended.
    Disconnected(Call),
    /// A task is sent on a control channel.
    Dispatched {
        /// The request.
        call: Call,
        /// The model.
        model: String,
    },
    /// The withdrawal of a model is acknowledged to its publisher.
    Withdrawn {
        /// The model.
        model: String,
    },
    /// A model is published, for the first time or again.
    Published {
        /// The model.
        model: String,
    },
    /// A connection that carries a response breaks.
    Interrupted(Call),
    /// mcpd refuses a frame of a publisher that keeps the rules.
    FrameRefused {
        /// The request.
        call: Call,
        /// The rule that it is said to break.
        rule: String,
    },
    /// A backend starts working on a request.
    BackendStarted(Call),
    /// A backend has written a chunk.
    BackendWrote {
        /// The request.
        call: Call,
        /// The chunk's number, from 0.
        chunk: u64,
    },
    /// A backend has written its whole response.
    BackendFinished(Call),
    /// A backend's connection closes, finished or not.
    BackendClosed(Call),
    /// A publisher starts a wake recipe.
    WakeStarted {
        /// The model.
        model: String,
    },
    /// A wake recipe ends, successfully or not.
    WakeEnded {
        /// The model.
        model: String,
    },
    /// A party is granted access to an object.
    AccessGranted {
        /// True if the object belongs to that party.
        own: bool,
    },
    /// Number of requests, slots and wakes that are still held at the end.
    Remaining(usize),
}

/// All facts of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History {
    /// The facts, in order of time.
    pub entries: Vec<Entry>,
}

impl History {
    /// Appends a fact with its time in milliseconds since the start.
    pub fn record(&mut self, at: u64, fact: Fact) {
        self.entries.push(Entry { at, fact });
    }
}
