//! The network between publishers and the server: delays, reordering, duplicates and losses.

use super::messages::{Down, Frame, Step, Up, UplinkEnd};
use super::{Conditions, Planned, Simulation};
use relay::ChannelId;
use std::collections::BTreeMap;

/// Longest one-way delay without faults, in milliseconds.
const MAX_DELAY: u64 = 80;
/// TCP survives a cut up to this long, in milliseconds; a longer one breaks all connections.
const TCP_SURVIVES: u64 = 10_000;
/// Timeout of a publisher's request, in milliseconds.
const REQUEST_TIMEOUT: u64 = 10_000;
/// Longest time until the server's TCP gives up a dead connection, in milliseconds.
const USER_TIMEOUT: u64 = 36_000;

/// A connection whose messages stay in order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Channel(ChannelId),
    Uplink(u64),
}

pub(super) struct Network {
    /// End and length of each publisher's latest cut, in milliseconds.
    cuts: Vec<(u64, u64)>,
    /// Arrival time of the last message of each stream.
    latest: BTreeMap<Stream, u64>,
    uplinks: u64,
    /// Uplinks that are broken; true if the part that arrives last has arrived.
    broken: BTreeMap<u64, bool>,
}

impl Network {
    pub(super) fn new(publishers: usize) -> Self {
        Self {
            cuts: vec![(0, 0); publishers],
            latest: BTreeMap::new(),
            uplinks: 0,
            broken: BTreeMap::new(),
        }
    }

    /// The number of a new uplink.
    pub(super) fn new_uplink(&mut self) -> u64 {
        self.uplinks += 1;
        self.uplinks
    }

    /// Breaks an uplink: of what is on its way, a part of the first message may still arrive.
    pub(super) fn break_uplink(&mut self, number: u64) {
        self.broken.entry(number).or_insert(false);
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
        let arrival = self.now + delay;
        let arrival = match &up {
            Up::Uplink(number, _) => self.network.in_order(Stream::Uplink(*number), arrival),
            Up::Register(_) | Up::Open(_) | Up::Heartbeat(_) | Up::Woke { .. } => arrival,
        };
        let may_repeat = matches!(up, Up::Heartbeat(_) | Up::Woke { .. });
        if may_repeat && self.choices.chance(5) {
            let later = arrival - self.now + self.delay();
            self.plan(later, Planned::ToServer(from, incarnation, up.clone()));
        }
        self.plan(arrival - self.now, Planned::ToServer(from, incarnation, up));
    }

    /// What arrives of this part of an uplink: of a broken one, a beginning of one message.
    pub(super) fn arriving(&mut self, number: u64, step: Step) -> Option<Step> {
        let Some(is_over) = self.network.broken.get_mut(&number) else { return Some(step) };
        match step {
            Step::Bytes(bytes) if !std::mem::replace(is_over, true) => {
                let end = self.choices.index(bytes.len() + 1);
                Some(Step::Bytes(bytes.slice(..end)))
            }
            Step::Open(_) | Step::Bytes(_) | Step::End => None,
        }
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
        // Gathered news may be lost; later ones make up for them.
        let is_news = matches!(frame, Frame::Taken { .. } | Frame::Finished(_));
        if is_news && self.conditions == Conditions::Faulty && self.choices.chance(5) {
            return;
        }
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
                | Down::UplinkEnded(..) => self.now + delay,
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
        self.break_uplink(who, USER_TIMEOUT);
        self.server_notices(who, USER_TIMEOUT);
    }

    /// Breaks a publisher's uplink at a random byte; the publisher notices after this time.
    pub(super) fn break_uplink(&mut self, who: usize, notices: u64) {
        let publisher = &self.publishers[who];
        let (incarnation, number) = (publisher.incarnation, publisher.uplinks.number());
        if let Some(number) = number {
            self.network.break_uplink(number);
            let ended = Down::UplinkEnded(number, UplinkEnd::Lost);
            self.plan(notices, Planned::ToPublisher(who, incarnation, ended));
        }
    }

    /// Breaks a publisher's control channel; both ends notice soon.
    pub(super) fn break_channel(&mut self, who: usize) {
        let publisher = &self.publishers[who];
        let (incarnation, channel) = (publisher.incarnation, publisher.channel);
        if let Some(channel) = channel {
            let delay = self.delay();
            self.plan(delay, Planned::ToPublisher(who, incarnation, Down::Lost(channel)));
            let delay = self.delay();
            self.server_notices(who, delay);
        }
    }
}
