//! The network between publishers and the server: delays, reordering, duplicates and losses.

use super::{Planned, Simulation};
use crate::history::Call;
use relay::{ChannelId, Opened, RegisterRefusal, SessionRefusal, TaskId};
use std::collections::BTreeMap;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered};

/// Longest one-way delay without faults, in milliseconds.
const MAX_DELAY: u64 = 80;
/// TCP survives a cut up to this long, in milliseconds; a longer one breaks all connections.
const TCP_SURVIVES: u64 = 10_000;
/// Timeout of a publisher's request, in milliseconds.
const REQUEST_TIMEOUT: u64 = 10_000;
/// Longest time until the server's TCP gives up a dead connection, in milliseconds.
const USER_TIMEOUT: u64 = 36_000;

/// A message from a publisher to the server.
#[derive(Clone)]
pub(super) enum Up {
    Register(Box<Register>),
    Open(String),
    Heartbeat(Box<Heartbeat>),
    Acknowledge(TaskId),
    Begin(TaskId),
    /// A chunk of a response, with the request for which the backend wrote it.
    Chunk {
        task: TaskId,
        written_for: Call,
        number: u64,
    },
    End {
        task: TaskId,
        well: bool,
    },
    Failed {
        task: TaskId,
        code: &'static str,
        tries: u32,
    },
    Woke {
        task: TaskId,
        well: bool,
        tries: u32,
    },
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
    /// An upload is answered with 410, or its connection is closed.
    Stop(TaskId),
}

/// An event on a control channel.
#[derive(Clone)]
pub(super) enum Frame {
    Task { task: TaskId, call: Call, name: String },
    Wake { task: TaskId, name: String },
    Cancel(TaskId),
    Drain(u64),
    Superseded,
    Revoked,
}

/// Connections of a publisher that the server will find closed.
pub(super) struct DeadConnections {
    pub(super) channels: Vec<ChannelId>,
    pub(super) uploads: Vec<TaskId>,
}

/// A connection whose messages stay in order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Channel(ChannelId),
    Upload(TaskId),
}

pub(super) struct Network {
    /// End and length of each publisher's latest cut, in milliseconds.
    cuts: Vec<(u64, u64)>,
    /// Arrival time of the last message of each stream.
    latest: BTreeMap<Stream, u64>,
}

impl Network {
    pub(super) fn new(publishers: usize) -> Self {
        Self { cuts: vec![(0, 0); publishers], latest: BTreeMap::new() }
    }

    /// Returns the delay of a message that is sent now, or `None` if it is lost.
    fn delivery(&self, publisher: usize, now: u64, delay: u64) -> Option<u64> {
        let (until, length) = self.cuts[publisher];
        if now >= until {
            return Some(delay);
        }
        (length <= TCP_SURVIVES).then(|| until - now + delay)
    }

    fn in_order(&mut self, stream: Stream, arrival: u64) -> u64 {
        let latest = self.latest.entry(stream).or_default();
        *latest = arrival.max(*latest);
        *latest
    }
}

impl Simulation {
    fn delay(&mut self) -> u64 {
        1 + self.choices.below(MAX_DELAY)
    }

    /// Sends a message from a publisher.
    pub(super) fn send_up(&mut self, from: usize, up: Up) {
        let incarnation = self.publishers[from].incarnation;
        let delay = self.delay();
        let Some(delay) = self.network.delivery(from, self.now, delay) else {
            let failed = Down::Unanswered(Box::new(up));
            return self.plan(REQUEST_TIMEOUT, Planned::ToPublisher(from, incarnation, failed));
        };
        let stream = match &up {
            Up::Begin(task) | Up::Chunk { task, .. } | Up::End { task, .. } => Some(*task),
            Up::Register(_)
            | Up::Open(_)
            | Up::Heartbeat(_)
            | Up::Acknowledge(_)
            | Up::Failed { .. }
            | Up::Woke { .. } => None,
        };
        let arrival = self.now + delay;
        let arrival = match stream {
            Some(task) => self.network.in_order(Stream::Upload(task), arrival),
            None => arrival,
        };
        let may_repeat = matches!(
            up,
            Up::Acknowledge(_) | Up::Heartbeat(_) | Up::Failed { .. } | Up::Woke { .. }
        );
        if may_repeat && self.choices.chance(5) {
            let later = arrival - self.now + self.delay();
            self.plan(later, Planned::ToServer(from, incarnation, up.clone()));
        }
        self.plan(arrival - self.now, Planned::ToServer(from, incarnation, up));
    }

    /// Sends the server's response to a request.
    pub(super) fn reply(&mut self, to: usize, request: Up, down: Down) {
        let incarnation = self.publishers[to].incarnation;
        let delay = self.delay();
        match self.network.delivery(to, self.now, delay) {
            Some(delay) => self.plan(delay, Planned::ToPublisher(to, incarnation, down)),
            // The request was handled, but its response is lost.
            None => {
                let failed = Down::Unanswered(Box::new(request));
                self.plan(REQUEST_TIMEOUT, Planned::ToPublisher(to, incarnation, failed));
            }
        }
    }

    /// Sends an event on a control channel.
    pub(super) fn send_frame(&mut self, to: usize, channel: ChannelId, frame: Frame) {
        let incarnation = self.publishers[to].incarnation;
        let delay = self.delay();
        if let Some(delay) = self.network.delivery(to, self.now, delay) {
            let arrival = self.network.in_order(Stream::Channel(channel), self.now + delay);
            let down = Down::Frame(channel, frame);
            self.plan(arrival - self.now, Planned::ToPublisher(to, incarnation, down));
        }
    }

    /// Closes a connection; the publisher notices unless the network is cut.
    pub(super) fn close(&mut self, to: usize, down: Down) {
        let incarnation = self.publishers[to].incarnation;
        let delay = self.delay();
        if let Some(delay) = self.network.delivery(to, self.now, delay) {
            let arrival = match &down {
                Down::Lost(channel) => {
                    self.network.in_order(Stream::Channel(*channel), self.now + delay)
                }
                Down::Registered(_)
                | Down::Opened(_)
                | Down::HeartbeatReply(_)
                | Down::Frame(..)
                | Down::Unanswered(_)
                | Down::Stop(_) => self.now + delay,
            };
            self.plan(arrival - self.now, Planned::ToPublisher(to, incarnation, down));
        }
    }

    /// Cuts a publisher's network for this many milliseconds. In a long cut, each end detects dead
    /// connections by its own timeout.
    pub(super) fn cut(&mut self, who: usize, length: u64) {
        if self.network.cuts[who].0 > self.now {
            return;
        }
        self.network.cuts[who] = (self.now + length, length);
        if length <= TCP_SURVIVES {
            return;
        }
        let channel_timeout = wire::limits::CHANNEL_DEAD_MS;
        let incarnation = self.publishers[who].incarnation;
        if let Some(channel) = self.publishers[who].channel {
            self.plan(channel_timeout, Planned::ToPublisher(who, incarnation, Down::Lost(channel)));
        }
        self.server_notices(who, USER_TIMEOUT);
    }
}
