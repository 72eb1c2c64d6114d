//! A simulated publisher's uplinks, as the registrar's carrier keeps them: opened when there is
//! something to send, replaced after a while, and opened again when they break. What is sent is decided
//! by the registrar's real outbox, and how soon by its real pace.

use super::messages::{Step, Timer, Up, UplinkEnd};
use super::{Conditions, Simulation};
use crate::history::Fact;
use bytes::BytesMut;
use registrar::fuzzing::{LARGEST_TURN, Pace};
use registrar::limits::{GATHERED, Times, UPLINK_CONFIRM};
use std::time::Duration;
use wire::limits::BATCH;

/// The publisher whose network holds request bodies back: it sends batches.
const SENDS_BATCHES: usize = 3;
/// Least and greatest age at which an uplink is replaced, in milliseconds.
const AGE: (u64, u64) = (500, 15_000);

/// The uplinks of one publisher.
pub(super) struct Uplinks {
    /// True from the first register on.
    is_registered: bool,
    pace: Pace,
    /// True during the pause before the next one.
    is_pausing: bool,
    open: Option<Uplink>,
}

/// The uplink in use.
struct Uplink {
    number: u64,
    opened: u64,
    sent: u64,
    /// True when its body has ended.
    has_ended: bool,
}

impl Uplinks {
    pub(super) fn new() -> Self {
        Self {
            is_registered: false,
            pace: Pace::new(Times::default()),
            is_pausing: false,
            open: None,
        }
    }

    /// The number of the uplink in use.
    pub(super) fn number(&self) -> Option<u64> {
        self.open.as_ref().map(|uplink| uplink.number)
    }
}

impl Simulation {
    /// Sends what is ready, on the uplink in use or a new one.
    pub(super) fn send_answers(&mut self, who: usize) {
        let publisher = &self.publishers[who];
        let uplinks = &publisher.uplinks;
        if !uplinks.is_registered || uplinks.is_pausing || !publisher.outbox.is_ready() {
            return;
        }
        if uplinks.open.is_none() {
            self.open_uplink(who);
        }
        let is_batch = who == SENDS_BATCHES;
        let enough = if is_batch { BATCH - LARGEST_TURN } else { GATHERED };
        let mut sent_all = false;
        while !sent_all {
            let publisher = &mut self.publishers[who];
            let Some(uplink) = publisher.uplinks.open.as_mut().filter(|open| !open.has_ended)
            else {
                return;
            };
            let mut bytes = BytesMut::new();
            publisher.outbox.gather(enough, &mut bytes);
            if bytes.is_empty() {
                return;
            }
            sent_all = is_batch;
            uplink.sent += bytes.len() as u64;
            let (number, is_full) = (uplink.number, uplink.sent >= publisher.uplinks.pace.bytes);
            self.send_up(who, Up::Uplink(number, Step::Bytes(bytes.freeze())));
            if is_full || is_batch {
                self.end_uplink(who, number);
            }
        }
    }

    fn open_uplink(&mut self, who: usize) {
        let number = self.network.new_uplink();
        let publisher = &mut self.publishers[who];
        let Some(session) = publisher.session_id.clone() else { return };
        let opened = self.now;
        publisher.uplinks.open = Some(Uplink { number, opened, sent: 0, has_ended: false });
        self.send_up(who, Up::Uplink(number, Step::Open(session)));
        let age = self.choices.between(AGE.0, AGE.1);
        self.set_timer(who, age, Timer::ReplaceUplink(number));
    }

    /// Ends the body of this uplink, if it is in use.
    pub(super) fn end_uplink(&mut self, who: usize, number: u64) {
        let open = self.publishers[who].uplinks.open.as_mut();
        let Some(uplink) = open.filter(|open| open.number == number && !open.has_ended) else {
            return;
        };
        uplink.has_ended = true;
        self.send_up(who, Up::Uplink(number, Step::End));
        self.set_timer(who, milliseconds(UPLINK_CONFIRM), Timer::UplinkUnconfirmed(number));
    }

    /// This uplink has ended, if it was in use.
    pub(super) fn uplink_ended(&mut self, who: usize, number: u64, end: UplinkEnd) {
        let now = self.now;
        let uplinks = &mut self.publishers[who].uplinks;
        let Some(uplink) = uplinks.open.take_if(|open| open.number == number) else { return };
        if end == UplinkEnd::Confirmed && uplink.has_ended {
            uplinks.pace.confirmed();
            return self.send_answers(who);
        }
        let age = Duration::from_millis(now - uplink.opened);
        let pause = uplinks.pace.lost(uplink.sent > 0, age);
        uplinks.is_pausing = true;
        uplinks.is_registered &= end != UplinkEnd::Unknown;
        self.publishers[who].outbox.uplink_lost();
        self.record_interruption(who);
        self.set_timer(who, milliseconds(pause), Timer::OpenUplink);
    }

    /// The pause before the next uplink is over.
    pub(super) fn pause_is_over(&mut self, who: usize) {
        self.publishers[who].uplinks.is_pausing = false;
        self.send_answers(who);
    }

    /// After a register: the uplink in use is closed, and the next one is opened when there is
    /// something to send. What is on its way may still arrive.
    pub(super) fn restart_uplinks(&mut self, who: usize) {
        let number = self.publishers[who].uplinks.number();
        if let Some(number) = number.filter(|_| self.conditions == Conditions::Faulty)
            && self.choices.chance(50)
        {
            self.network.break_uplink(number);
        }
        self.publishers[who].uplinks = Uplinks { is_registered: true, ..Uplinks::new() };
    }

    /// Records that a connection broke on which answers travelled.
    pub(super) fn record_interruption(&mut self, who: usize) {
        for call in self.publishers[who].tasks.values().copied().collect::<Vec<_>>() {
            self.record(Fact::Interrupted(call));
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
