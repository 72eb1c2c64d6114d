//! Pure state machine for publishers, the catalogue, request queues and wakes.
//!
//! It reads no clock, opens no socket and draws no random number: `now` and ids are passed in. Each
//! event is one method of [`Relay`]. Its return value is the reply to the sender of the event; effects
//! on others are pushed to [`Actions`]. The bytes of requests and responses never pass through it: the
//! driver stores them under the task's id.
//!
//! `now` is unix milliseconds taken once at start plus monotonic time since, so it never jumps.
//!
//! | file | content |
//! |---|---|
//! | registration.rs, heartbeats.rs, channels.rs | events of a publisher's session |
//! | task_lifecycle.rs, waking.rs | a publisher's events of one task or wake |
//! | queue.rs | events of callers, and the choice of an LLM |
//! | names.rs | shared names; events of admins |
//! | deadlines.rs | events of the clock, and the server's end |
//! | dispatch.rs | moves tasks between queue, publisher and end |
//! | snapshot.rs | reads the state |
//! | state.rs | the records: catalogue, sessions, tasks, wakes |
//! | consistency.rs | checks the records against each other, for tests |

mod actions;
mod channels;
mod consistency;
mod deadlines;
mod dispatch;
mod failures;
mod heartbeats;
mod ids;
mod limits;
mod names;
mod queue;
mod refusals;
mod registration;
mod saved;
mod snapshot;
mod state;
mod task_lifecycle;
mod types;
mod waking;

#[cfg(test)]
mod tests;

pub use actions::{Action, Actions, CancelReason, Dispatch, Failure, LastEvent, Notice};
pub use ids::{ChannelId, CountedIds, Ids, InvalidId, LlmId, OwnerId, SessionId, TaskId};
pub use limits::Limits;
pub use queue::parse_wanted;
pub use refusals::{NameRefusal, RegisterRefusal, SessionRefusal, SubmitRefusal, TaskRefusal};
pub use saved::{Saved, SavedLlm, SavedName, SavedSession};
pub use types::{
    Allowed, AnswerEnd, Gauges, GoneReason, LlmView, Opened, Owner, Submit, TaskSender,
};

use state::{Catalogue, Sessions, Tasks, Wakes};

/// A time in unix milliseconds, see the crate's documentation.
pub type Millis = u64;

/// The state machine.
pub struct Relay {
    limits: Limits,
    ids: Box<dyn Ids + Send>,
    catalogue: Catalogue,
    sessions: Sessions,
    tasks: Tasks,
    wakes: Wakes,
    started: Millis,
    draining: bool,
    last_sweep: Option<Millis>,
    no_deletion_before: Millis,
}

impl Relay {
    /// A relay that has just started, with what an earlier run stored. Every entry is inactive until
    /// its publisher returns.
    #[must_use]
    pub fn new(limits: Limits, saved: Saved, ids: Box<dyn Ids + Send>, now: Millis) -> Self {
        let mut relay = Self {
            catalogue: Catalogue::new(&limits),
            sessions: Sessions::default(),
            tasks: Tasks::default(),
            wakes: Wakes::default(),
            limits,
            ids,
            started: now,
            draining: false,
            last_sweep: None,
            no_deletion_before: 0,
        };
        relay.restore(saved);
        relay
    }
}
