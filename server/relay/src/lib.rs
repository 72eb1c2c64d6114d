//! The relay's mind: who publishes what, which request goes where, what is waking, what waits.
//!
//! A pure state machine. It reads no clock, opens no socket and draws no random number: `now` and
//! ids are passed in. Every method is one event; its return value is the reply to whoever caused
//! the event, and what must be done elsewhere is pushed to [`Actions`]. The bytes of requests and
//! answers never pass through it: the driver keeps them beside the task's id.
//!
//! `now` is unix milliseconds taken once at start plus monotonic time since, so it never jumps.

mod ids;
mod limits;
mod types;

pub use ids::{ChannelId, Ids, LlmId, OwnerId, SessionId, TaskId};
pub use limits::Limits;
pub use types::*;

use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, TaskFailure};

/// Milliseconds, see the crate's page.
pub type Millis = u64;

/// The state machine.
#[derive(Debug)]
pub struct Relay {
    limits: Limits,
}

#[expect(unused_variables, clippy::todo, reason = "signatures first")]
impl Relay {
    /// A relay that has just started, with the rows that an earlier run left. Every row is inactive
    /// in grace until its publisher returns.
    #[must_use]
    pub fn new(limits: Limits, saved: Saved, now: Millis) -> Self {
        Self { limits }
    }

    // ---- publisher side -------------------------------------------------------------------

    /// `POST _provider-register`.
    pub fn register(&mut self, owner: &Owner, request: &Register, ids: &mut dyn Ids, now: Millis, out: &mut Actions) -> Result<Registered, RegisterRefusal> { todo!() }

    /// A control channel is opened for a session. An older channel of the session is superseded.
    pub fn open_channel(&mut self, owner: &OwnerId, session: &str, now: Millis, out: &mut Actions) -> Result<Opened, SessionRefusal> { todo!() }

    /// The channel's response ended or its queue overflowed. Running tasks go on.
    pub fn channel_closed(&mut self, channel: ChannelId, now: Millis, out: &mut Actions) { todo!() }

    /// `POST _provider-heartbeat`.
    pub fn heartbeat(&mut self, owner: &OwnerId, beat: &Heartbeat, now: Millis, out: &mut Actions) -> Result<HeartbeatReply, SessionRefusal> { todo!() }

    /// The publisher has the task: an ack or a body claim. Repeating it is fine.
    pub fn acknowledge(&mut self, from: &From, task: TaskId, now: Millis, out: &mut Actions) -> Result<(), TaskRefusal> { todo!() }

    /// The publisher starts to answer (`/response`, or the first `/result` chunk). Once per task.
    pub fn answer_begins(&mut self, from: &From, task: TaskId, now: Millis, out: &mut Actions) -> Result<(), TaskRefusal> { todo!() }

    /// A sign of life of a task whose answer comes in several requests (seq'd chunks).
    pub fn answer_continues(&mut self, from: &From, task: TaskId, now: Millis) -> Result<(), TaskRefusal> { todo!() }

    /// The first byte goes to the caller: the point of no return.
    pub fn first_byte(&mut self, task: TaskId, now: Millis) { todo!() }

    /// The publisher's work on the task has ended, whatever way. Gives the slot back; makes the
    /// task terminal if it was not yet.
    pub fn answer_ended(&mut self, task: TaskId, end: AnswerEnd, now: Millis, out: &mut Actions) { todo!() }

    /// `/result` with an error: the publisher could not run the task, or has stopped it after a
    /// cancel (then the slot is given back and the refusal is `Gone`). Also a failed wake.
    pub fn task_failed(&mut self, from: &From, task: TaskId, failure: &TaskFailure, now: Millis, out: &mut Actions) -> Result<(), TaskRefusal> { todo!() }

    /// `/result` of a wake that succeeded.
    pub fn wake_succeeded(&mut self, from: &From, task: TaskId, ms: u64, now: Millis, out: &mut Actions) -> Result<(), TaskRefusal> { todo!() }

    /// The owner lost the right to publish (token revoked): its channels close, its rows go
    /// inactive. `keep` tells whether a session may stay.
    pub fn revoke_owner(&mut self, owner: &OwnerId, reason: &str, now: Millis, out: &mut Actions) { todo!() }

    // ---- caller side ----------------------------------------------------------------------

    /// A caller's request. Refusals are decided here, before anything is queued. On success the
    /// driver already holds the request under the task's id (it chose the id through `ids`).
    pub fn submit(&mut self, request: &Submit, task: TaskId, now: Millis, out: &mut Actions) -> Result<(), SubmitRefusal> { todo!() }

    /// The caller's connection is gone, or its answer ended badly on the caller's side.
    pub fn caller_gone(&mut self, task: TaskId, reason: GoneReason, now: Millis, out: &mut Actions) { todo!() }

    // ---- time -----------------------------------------------------------------------------

    /// When [`Relay::tick`] is due next, if anything is timed.
    #[must_use]
    pub fn next_tick(&self) -> Option<Millis> { todo!() }

    /// Everything that is due: acknowledgements, queue, first byte, wake and total deadlines,
    /// waiting notices, lost publishers, rows in grace.
    pub fn tick(&mut self, now: Millis, out: &mut Actions) { todo!() }

    /// Every 5 s: leases, deletions, tombstones; with self-doubt about its own gaps.
    pub fn sweep(&mut self, now: Millis, out: &mut Actions) { todo!() }

    /// The server goes down: new requests are refused with `ServerShutdown`, queued ones fail, every
    /// channel is told to drain.
    pub fn drain(&mut self, now: Millis, out: &mut Actions) { todo!() }

    // ---- views ----------------------------------------------------------------------------

    /// Every row, by name.
    #[must_use]
    pub fn catalogue(&self) -> Vec<LlmView> { todo!() }

    /// Numbers for metrics and tests; all zero but rows and sessions when nothing runs.
    #[must_use]
    pub fn gauges(&self) -> Gauges { todo!() }

    /// What must be on disk for a restart: rows, sessions, tombstones. `None`: it was deleted.
    #[must_use]
    pub fn saved_llm(&self, id: &LlmId) -> Option<SavedLlm> { todo!() }

    /// As [`Relay::saved_llm`], for a session.
    #[must_use]
    pub fn saved_session(&self, id: &SessionId) -> Option<SavedSession> { todo!() }
}
