//! The ways between publishers and the server: how long they take, what gets lost on them.

use super::{What, World};
use relay::{ChannelId, Opened, RegisterRefusal, SessionRefusal, TaskId};
use std::collections::BTreeMap;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered};

/// The longest way in milliseconds when nothing is wrong: there and back within 250 ms.
const WAY: u64 = 80;
/// A cut that is shorter is bridged by TCP; a longer one breaks what is open.
const BRIDGED: u64 = 10_000;
/// A request that is not answered fails after this long.
const REQUEST: u64 = 10_000;
/// The server's TCP gives an unanswered connection up after this long, at most.
const USER_TIMEOUT: u64 = 36_000;

/// From a publisher.
#[derive(Clone)]
pub(super) enum Up {
    Register(Box<Register>),
    Open(String),
    Beat(Box<Heartbeat>),
    Acknowledge(TaskId),
    Begin(TaskId),
    /// A piece of an answer, and for which request the backend made it.
    Piece {
        task: TaskId,
        of: u64,
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

/// To a publisher.
#[derive(Clone)]
pub(super) enum Down {
    Registered(Box<(Register, Result<Registered, RegisterRefusal>)>),
    Opened(Result<Opened, SessionRefusal>),
    Beaten(Box<Result<HeartbeatReply, SessionRefusal>>),
    Frame(ChannelId, Frame),
    /// The channel is dead.
    Lost(ChannelId),
    /// A request has failed.
    Unanswered(Box<Up>),
    /// 410 to an upload, or its connection broke.
    Stop(TaskId),
}

/// An event of a control channel.
#[derive(Clone)]
pub(super) enum Frame {
    Task { task: TaskId, call: u64, name: String },
    Wake { task: TaskId, name: String },
    Cancel(TaskId),
    Drain(u64),
    Superseded,
    Revoked,
}

/// What of a publisher the server will find dead.
pub(super) struct Noticed {
    pub(super) channels: Vec<ChannelId>,
    pub(super) uploads: Vec<TaskId>,
}

/// What must not be overtaken.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Channel(ChannelId),
    Upload(TaskId),
}

pub(super) struct Network {
    /// When each publisher's cut ends, and how long it is.
    cuts: Vec<(u64, u64)>,
    /// When the last piece of a stream arrives.
    latest: BTreeMap<Stream, u64>,
}

impl Network {
    pub(super) fn new(publishers: usize) -> Self {
        Self { cuts: vec![(0, 0); publishers], latest: BTreeMap::new() }
    }

    /// How long something that leaves now is under way; `None` when it is lost.
    fn way(&self, publisher: usize, now: u64, delay: u64) -> Option<u64> {
        let (until, length) = self.cuts[publisher];
        if now >= until {
            return Some(delay);
        }
        (length <= BRIDGED).then(|| until - now + delay)
    }

    fn in_order(&mut self, stream: Stream, arrival: u64) -> u64 {
        let latest = self.latest.entry(stream).or_default();
        *latest = arrival.max(*latest);
        *latest
    }
}

impl World {
    fn delay(&mut self) -> u64 {
        1 + self.tape.below(WAY)
    }

    /// A publisher sends something.
    pub(super) fn up(&mut self, from: usize, up: Up) {
        let life = self.publishers[from].life;
        let delay = self.delay();
        let Some(way) = self.network.way(from, self.now, delay) else {
            let failed = Down::Unanswered(Box::new(up));
            return self.plan(REQUEST, What::ToPublisher(from, life, failed));
        };
        let stream = match &up {
            Up::Begin(task) | Up::Piece { task, .. } | Up::End { task, .. } => Some(*task),
            Up::Register(_)
            | Up::Open(_)
            | Up::Beat(_)
            | Up::Acknowledge(_)
            | Up::Failed { .. }
            | Up::Woke { .. } => None,
        };
        let arrival = self.now + way;
        let arrival = match stream {
            Some(task) => self.network.in_order(Stream::Upload(task), arrival),
            None => arrival,
        };
        let twice =
            matches!(up, Up::Acknowledge(_) | Up::Beat(_) | Up::Failed { .. } | Up::Woke { .. });
        if twice && self.tape.chance(5) {
            let later = arrival - self.now + self.delay();
            self.plan(later, What::ToServer(from, life, up.clone()));
        }
        self.plan(arrival - self.now, What::ToServer(from, life, up));
    }

    /// The server answers a request.
    pub(super) fn reply(&mut self, to: usize, request: Up, down: Down) {
        let life = self.publishers[to].life;
        let delay = self.delay();
        match self.network.way(to, self.now, delay) {
            Some(way) => self.plan(way, What::ToPublisher(to, life, down)),
            // Done, but nobody hears of it.
            None => {
                let failed = Down::Unanswered(Box::new(request));
                self.plan(REQUEST, What::ToPublisher(to, life, failed));
            }
        }
    }

    /// The server sends an event down a channel.
    pub(super) fn frame(&mut self, to: usize, channel: ChannelId, frame: Frame) {
        let life = self.publishers[to].life;
        let delay = self.delay();
        if let Some(way) = self.network.way(to, self.now, delay) {
            let arrival = self.network.in_order(Stream::Channel(channel), self.now + way);
            let down = Down::Frame(channel, frame);
            self.plan(arrival - self.now, What::ToPublisher(to, life, down));
        }
    }

    /// A connection ends, and the publisher's side hears of it, if anything still reaches it.
    pub(super) fn hang_up(&mut self, to: usize, down: Down) {
        let life = self.publishers[to].life;
        let delay = self.delay();
        if let Some(way) = self.network.way(to, self.now, delay) {
            let arrival = match &down {
                Down::Lost(channel) => {
                    self.network.in_order(Stream::Channel(*channel), self.now + way)
                }
                Down::Registered(_)
                | Down::Opened(_)
                | Down::Beaten(_)
                | Down::Frame(..)
                | Down::Unanswered(_)
                | Down::Stop(_) => self.now + way,
            };
            self.plan(arrival - self.now, What::ToPublisher(to, life, down));
        }
    }

    /// Nothing passes for a while. What is open breaks if it lasts, each end by its own clock.
    pub(super) fn cut(&mut self, who: usize, length: u64) {
        if self.network.cuts[who].0 > self.now {
            return;
        }
        self.network.cuts[who] = (self.now + length, length);
        if length <= BRIDGED {
            return;
        }
        let silence = wire::limits::CHANNEL_DEAD_MS;
        let life = self.publishers[who].life;
        if let Some(channel) = self.publishers[who].channel {
            self.plan(silence, What::ToPublisher(who, life, Down::Lost(channel)));
        }
        self.server_notices(who, USER_TIMEOUT);
    }
}
