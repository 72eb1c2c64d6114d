//! What travels between the simulated machines, and the timers of a publisher.

use crate::history::Call;
use bytes::Bytes;
use relay::{ChannelId, Opened, RegisterRefusal, SessionRefusal, TaskId};
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered};

/// A message from a publisher to the server.
#[derive(Clone)]
pub(super) enum Up {
    Register(Box<Register>),
    Open(String),
    Heartbeat(Box<Heartbeat>),
    /// A part of an uplink, by its number.
    Uplink(u64, Step),
    Woke {
        task: TaskId,
        well: bool,
        tries: u32,
    },
}

/// A part of an uplink.
#[derive(Clone)]
pub(super) enum Step {
    /// The request begins, for this session.
    Open(String),
    /// Bytes of its body.
    Bytes(Bytes),
    /// Its body ends.
    End,
}

/// A message or connection event that reaches a publisher.
#[derive(Clone)]
pub(super) enum Down {
    Registered(Box<(Register, Result<Registered, RegisterRefusal>)>),
    Opened(Result<Opened, SessionRefusal>),
    HeartbeatReply(Box<Result<HeartbeatReply, SessionRefusal>>),
    Frame(ChannelId, Frame),
    /// The control channel is closed.
    Lost(ChannelId),
    /// A request has failed without a response.
    Unanswered(Box<Up>),
    /// An uplink is answered, or its connection is closed.
    UplinkEnded(u64, UplinkEnd),
}

/// An event on a control channel.
#[derive(Clone)]
pub(super) enum Frame {
    Task { task: TaskId, call: Call, name: String },
    Wake { task: TaskId, name: String },
    Cancel(TaskId),
    Taken { task: TaskId, offset: u64, window: u64 },
    Finished(TaskId),
    Drain(u64),
    Superseded,
    Revoked,
}

/// How an uplink ends for its publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UplinkEnd {
    /// The server has all of its frames (204).
    Confirmed,
    /// It broke, or a newer one is open.
    Lost,
    /// The session is unknown.
    Unknown,
}

/// A timer of a publisher.
pub(super) enum Timer {
    Connect,
    Heartbeat(ChannelId),
    /// The backend writes the next chunk, or ends.
    Step(TaskId),
    /// Tasks that arrived some time ago have to be acknowledged.
    Acknowledge,
    /// The pause before the next uplink is over.
    OpenUplink,
    /// An uplink is old enough.
    ReplaceUplink(u64),
    /// The server has not confirmed an uplink in time.
    UplinkUnconfirmed(u64),
    /// A wake recipe ends.
    RecipeEnded {
        name: String,
        well: bool,
    },
}
