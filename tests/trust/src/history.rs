//! What was seen, by whom and when: the four logs of caller, mcpd, publisher and backend, as one.
//! Made by the simulation, or read from real processes.

mod check;

pub use check::{Bounds, check};

/// A request of a caller, as a number.
pub type Call = u64;

/// One thing that somebody saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since the beginning.
    pub at: u64,
    /// What.
    pub fact: Fact,
}

/// What can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A caller asks.
    Asks(Call),
    /// A caller gets a piece of an answer: whose, and the how manieth.
    Receives {
        /// Who gets it.
        call: Call,
        /// Whom it was made for.
        of: Call,
        /// Its number, from 0.
        piece: u64,
    },
    /// A caller's response ends.
    Ends {
        /// Whose.
        call: Call,
        /// With the sign of a complete answer (`[DONE]`, a whole body), not with an error.
        complete: bool,
    },
    /// A caller leaves before its response has ended.
    Leaves(Call),
    /// A task goes down a channel.
    Dispatched {
        /// For whom.
        call: Call,
        /// Which model of which publisher.
        row: String,
    },
    /// The withdrawal of a model is acknowledged to its publisher.
    Withdrawn {
        /// Which model of which publisher.
        row: String,
    },
    /// It is published (again).
    Published {
        /// Which model of which publisher.
        row: String,
    },
    /// A backend begins to work.
    Runs(Call),
    /// It has written a piece.
    Writes {
        /// For whom.
        call: Call,
        /// Its number, from 0.
        piece: u64,
    },
    /// It has written everything.
    Finishes(Call),
    /// Its connection closes, finished or not.
    Closes(Call),
    /// The owner's recipe is started.
    WakeBegins {
        /// Which model of which publisher.
        row: String,
    },
    /// It is over, whatever way.
    WakeEnds {
        /// Which model of which publisher.
        row: String,
    },
    /// Somebody was let at an object; whether it was its own.
    Touches {
        /// Whether it was its own.
        own: bool,
    },
    /// How much is still held in the end: requests, slots, wakes.
    Holds(usize),
}

/// The log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History {
    /// In order of time.
    pub entries: Vec<Entry>,
}

impl History {
    /// Adds what is seen now.
    pub fn saw(&mut self, at: u64, fact: Fact) {
        self.entries.push(Entry { at, fact });
    }
}
