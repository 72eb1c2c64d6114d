//! The relay's mind: who publishes what, which request goes where, what is waking, what waits.
//!
//! A pure state machine. It reads no clock, opens no socket and draws no random number: `now` and
//! ids are passed in. Every method is one event; its return value is the reply to whoever caused
//! the event, and what must be done elsewhere is pushed to [`Actions`]. The bytes of requests and
//! answers never pass through it: the driver keeps them beside the task's id.
//!
//! `now` is unix milliseconds taken once at start plus monotonic time since, so it never jumps.
//!
//! | file | events |
//! |---|---|
//! | sessions.rs | register, control channel, heartbeat, revocation |
//! | names.rs | names are shared, freed, reserved |
//! | callers.rs | submit, caller gone, queue and dispatch |
//! | answers.rs | acknowledgement, answer, failure, release of the slot |
//! | wakes.rs | wake, its success and its failure |
//! | time.rs | deadlines, sweep, drain |
//! | views.rs | catalogue, gauges, what a restart must know |
//! | audit.rs | none: whether the books agree, for tests |

mod answers;
mod audit;
mod callers;
mod failures;
mod ids;
mod limits;
mod names;
mod published;
mod rows;
mod sessions;
mod task;
mod time;
mod types;
mod views;
mod wakes;

#[cfg(test)]
mod tests;

pub use ids::{ChannelId, Ids, InvalidId, LlmId, OwnerId, SessionId, TaskId};
pub use limits::Limits;
pub use names::parse_wanted;
pub use types::*;

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Milliseconds, see the crate's page.
pub type Millis = u64;

/// The state machine.
pub struct Relay {
    limits: Limits,
    ids: Box<dyn Ids + Send>,
    started: Millis,
    draining: bool,
    sessions: BTreeMap<SessionId, rows::Session>,
    llms: BTreeMap<LlmId, rows::Llm>,
    names: BTreeMap<String, names::Name>,
    name_requests: names::NameRequests,
    channels: HashMap<ChannelId, SessionId>,
    next_channel: u64,
    tasks: HashMap<TaskId, task::Task>,
    /// Wakes under way, by their task.
    wakes: HashMap<TaskId, LlmId>,
    /// One entry per task and wake: its next deadline.
    timers: BTreeSet<(Millis, TaskId)>,
    last_sweep: Option<Millis>,
    /// Nothing is deleted before then.
    frozen_until: Millis,
}

impl Relay {
    /// A relay that has just started, with the rows that an earlier run left. Every row is inactive
    /// until its publisher returns.
    #[must_use]
    pub fn new(limits: Limits, saved: Saved, ids: Box<dyn Ids + Send>, now: Millis) -> Self {
        let mut relay = Self {
            limits,
            ids,
            started: now,
            draining: false,
            sessions: BTreeMap::new(),
            llms: BTreeMap::new(),
            names: BTreeMap::new(),
            name_requests: BTreeMap::new(),
            channels: HashMap::new(),
            next_channel: 0,
            tasks: HashMap::new(),
            wakes: HashMap::new(),
            timers: BTreeSet::new(),
            last_sweep: None,
            frozen_until: 0,
        };
        relay.restore(saved);
        relay
    }
}
