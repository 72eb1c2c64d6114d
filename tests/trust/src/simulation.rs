//! Deterministic simulation of callers, publishers and a network around the real relay and the real
//! session, in simulated time. All events follow from the seed; all observations go to a history.
//!
//! The simulated server applies the relay's actions and takes frames as mcpd does, and a simulated
//! publisher handles events as the registrar does, each as simply as the protocol allows. How answers
//! survive lost connections is decided by the real code on both sides: the registrar's outbox and
//! pace, the codec, and mcpd's flow control.
//!
//! | module | content |
//! |---|---|
//! | server, answers | the server, and its side of answers |
//! | callers | the callers, who check every byte |
//! | publisher, backend, uplink | a publisher: its connection, its work, its side of answers |
//! | network, messages | delays, duplicates, losses; what travels |
//! | text | bodies of responses, in which every byte has its place |

mod answers;
mod backend;
mod callers;
mod messages;
mod network;
mod publisher;
mod server;
mod text;
mod uplink;

use crate::choices::Choices;
use crate::hang_detector::HangDetector;
use crate::history::{Bounds, Call, Entry, Fact, History};
use messages::{Down, Timer, Up};
use network::Network;
use publisher::Publisher;
use relay::{ChannelId, GoneReason, TaskId};
use server::Server;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// The faults of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// Requests overtake each other and arrive twice; all processes and connections stay up.
    Stable,
    /// Broken connections, network cuts, crashes of both sides, withdrawals and failing backends too.
    Faulty,
}

impl Conditions {
    /// Returns the limits that the invariants use under these conditions.
    #[must_use]
    pub fn bounds(self) -> Bounds {
        let retries = u64::from(server::limits().redispatch);
        let bounds =
            Bounds { closed_within: 0, ended_within: 900_000, retries, has_dispatches: true };
        match self {
            Self::Stable => Bounds { closed_within: 250, ..bounds },
            // The longest cut, the longest delay after it, and the time until both ends notice it.
            Self::Faulty => Bounds { closed_within: 300_000, ..bounds },
        }
    }
}

const PUBLISHERS: usize = 4;
/// Average time between two requests, in milliseconds.
const PACE: u64 = 2_000;
/// Time after the last request in which no faults occur and everything must end, in milliseconds.
const REST: u64 = 30 * 60_000;
/// Longest time between two faults, in milliseconds.
const FAULT_PAUSE: u64 = 60_000;
/// Longest time between two broken connections, in milliseconds.
const BREAK_PAUSE: u64 = 1_500;

/// A planned event.
enum Planned {
    Request(Call),
    Disconnect(Call),
    ToServer(usize, u32, Up),
    ToPublisher(usize, u32, Down),
    Timer(usize, u32, Timer),
    Tick,
    Sweep,
    /// A caller that reads slowly reads.
    Read(TaskId),
    Fault,
    /// A connection breaks.
    Break,
    ServerStarts,
    ServerNotices(Vec<ChannelId>),
}

struct Simulation {
    now: u64,
    /// Planned events, by time and then by the order of planning.
    agenda: BTreeMap<(u64, u64), Planned>,
    planned: u64,
    choices: Choices<'static>,
    conditions: Conditions,
    calls_end: u64,
    network: Network,
    server: Server,
    publishers: Vec<Publisher>,
    open: BTreeMap<Call, TaskId>,
    /// How often a backend has started on each request.
    runs: BTreeMap<Call, u32>,
    history: History,
    epoch: Instant,
}

/// The results of many runs.
#[derive(Debug, Default)]
pub struct Summary {
    /// Number of requests.
    pub tasks: u64,
    /// Number of complete responses.
    pub complete: u64,
    /// Number of those of which a connection broke between their first byte and their end.
    pub resumed: u64,
    /// Violated invariants, each with the seed that reproduces it.
    pub violations: Vec<String>,
}

impl Summary {
    /// Adds the complete responses of a run.
    fn count(&mut self, history: &History) {
        let (mut begun, mut interrupted) = (BTreeSet::new(), BTreeSet::new());
        for Entry { fact, .. } in &history.entries {
            if let Fact::Received { call, .. } = fact {
                begun.insert(*call);
            } else if let Fact::Interrupted(call) = fact
                && begun.contains(call)
            {
                interrupted.insert(*call);
            } else if let Fact::Ended { call, complete: true } = fact {
                self.complete += 1;
                self.resumed += u64::from(interrupted.contains(call));
            }
        }
    }
}

/// The conditions of a campaign's runs, in turn.
pub const CAMPAIGN: [Conditions; 2] = [Conditions::Stable, Conditions::Faulty];
/// Requests of each run of a campaign.
const EACH: u64 = 100;

/// Runs consecutive seeds, starting with this one, until there were `tasks` requests.
#[must_use]
pub fn campaign(seed: u64, tasks: u64) -> Summary {
    let mut summary = Summary::default();
    for seed in seed.. {
        for conditions in CAMPAIGN {
            let history = run(seed, EACH, conditions);
            summary.tasks += EACH;
            summary.count(&history);
            let violations = crate::history::check(&history, &conditions.bounds());
            let describe = |violation| format!("seed {seed}, {conditions:?}: {violation}");
            summary.violations.extend(violations.into_iter().map(describe));
        }
        if summary.tasks >= tasks {
            break;
        }
    }
    summary
}

/// Runs one simulation with this many requests.
#[must_use]
pub fn run(seed: u64, calls: u64, conditions: Conditions) -> History {
    let mut simulation = Simulation::new(seed, calls, conditions);
    let end = simulation.calls_end + REST;
    let detector = HangDetector::start((seed, conditions, simulation.now));
    while let Some(((at, _), planned)) = simulation.agenda.pop_first() {
        if at > end {
            break;
        }
        simulation.now = at;
        detector.moved_to((seed, conditions, at));
        simulation.handle(planned);
        simulation.plan_tick();
    }
    let remaining = simulation.remaining();
    simulation.record(Fact::Remaining(remaining));
    simulation.history
}

impl Simulation {
    fn new(seed: u64, calls: u64, conditions: Conditions) -> Self {
        let epoch = Instant::now();
        let mut simulation = Self {
            now: 1_000_000,
            agenda: BTreeMap::new(),
            planned: 0,
            choices: Choices::from_seed(seed),
            conditions,
            calls_end: 1_000_000 + calls * PACE,
            network: Network::new(PUBLISHERS),
            server: Server::new(1_000_000),
            publishers: (0..PUBLISHERS).map(Publisher::new).collect(),
            open: BTreeMap::new(),
            runs: BTreeMap::new(),
            history: History::default(),
            epoch,
        };
        for at in 0..PUBLISHERS {
            let delay = simulation.choices.below(2_000);
            simulation.plan(delay, Planned::Timer(at, 0, Timer::Connect));
        }
        for call in 0..calls {
            let delay = 5_000 + simulation.choices.below(calls * PACE - 5_000);
            simulation.plan(delay, Planned::Request(call));
        }
        simulation.plan(server::limits().sweep, Planned::Sweep);
        if conditions == Conditions::Faulty {
            simulation.plan(FAULT_PAUSE, Planned::Fault);
            simulation.plan(BREAK_PAUSE, Planned::Break);
        }
        simulation
    }

    fn plan(&mut self, delay: u64, event: Planned) {
        self.planned += 1;
        self.agenda.insert((self.now + delay, self.planned), event);
    }

    fn record(&mut self, fact: Fact) {
        self.history.record(self.now, fact);
    }

    /// The simulated time as the type that the registrar's session uses.
    fn instant(&self) -> Instant {
        self.epoch + std::time::Duration::from_millis(self.now)
    }

    fn handle(&mut self, planned: Planned) {
        match planned {
            Planned::Request(call) => self.send_request(call),
            Planned::Disconnect(call) => {
                if let Some(task) = self.open.remove(&call) {
                    self.record(Fact::Disconnected(call));
                    self.abandon_answer(task);
                    self.relay(|relay, now, out| {
                        relay.caller_gone(task, GoneReason::Disconnected, now, out);
                    });
                }
            }
            Planned::ToServer(from, incarnation, up) => {
                self.arrives_at_server(from, incarnation, up);
            }
            Planned::ToPublisher(to, incarnation, down)
                if self.publishers[to].incarnation == incarnation =>
            {
                self.arrives_at_publisher(to, down);
            }
            Planned::Timer(who, incarnation, timer)
                if self.publishers[who].incarnation == incarnation =>
            {
                self.timer_fired(who, timer);
            }
            // The publisher was killed in the meantime.
            Planned::ToPublisher(..) | Planned::Timer(..) => {}
            Planned::Tick => self.relay(relay::Relay::tick),
            Planned::Sweep => {
                self.relay(relay::Relay::sweep);
                self.plan(server::limits().sweep, Planned::Sweep);
            }
            Planned::Read(task) => self.slow_caller_reads(task),
            Planned::Fault => self.inject_fault(),
            Planned::Break => self.break_connection(),
            Planned::ServerStarts => self.server.restart(self.now),
            Planned::ServerNotices(dead) => self.channels_died(&dead),
        }
    }

    fn send_request(&mut self, call: Call) {
        self.record(Fact::Requested(call));
        let name = self.choices.index(PUBLISHERS * 2 + 1);
        let name = match name.checked_sub(PUBLISHERS * 2) {
            Some(_) => publisher::POOL.to_owned(),
            None => backend::model_name(name / 2, name % 2),
        };
        if !self.submit(call, name) {
            self.record(Fact::Ended { call, complete: false });
        } else if self.choices.chance(15) {
            let patience = self.choices.below(30_000);
            self.plan(patience, Planned::Disconnect(call));
        }
    }

    /// Injects a random fault, until the last request was sent.
    fn inject_fault(&mut self) {
        if self.now > self.calls_end {
            return;
        }
        let who = self.choices.index(PUBLISHERS);
        match self.choices.below(10) {
            0..4 => {
                let length = self.choices.between(500, 120_000);
                self.cut(who, length);
            }
            4 | 5 => self.publisher_is_killed(who),
            6 => self.server_is_killed(),
            7 => {
                self.relay(|relay, _, out| relay.drain(out));
                self.server.draining = true;
            }
            _ => self.access_another_task(who),
        }
        let pause = self.choices.between(1_000, FAULT_PAUSE);
        // A server that drains ends.
        if std::mem::take(&mut self.server.draining) {
            self.server_is_killed();
        }
        self.plan(pause, Planned::Fault);
    }

    /// Breaks a connection of a publisher that has answers to send, if there is one.
    fn break_connection(&mut self) {
        if self.now > self.calls_end {
            return;
        }
        let busy: Vec<usize> =
            (0..PUBLISHERS).filter(|who| !self.publishers[*who].tasks.is_empty()).collect();
        if !busy.is_empty() {
            let who = busy[self.choices.index(busy.len())];
            // A loss that is not noticed soon is noticed by a timeout.
            let notices = if self.choices.chance(5) { 15_000 } else { self.choices.below(300) };
            let kind = self.choices.below(40);
            if kind > 0 {
                self.break_uplink(who, notices);
            }
            if kind < 2 {
                self.break_channel(who);
            }
        }
        let pause = self.choices.between(50, BREAK_PAUSE);
        self.plan(pause, Planned::Break);
    }

    /// Counts what is still held; 0 at the end of a correct run.
    fn remaining(&self) -> usize {
        let gauges = self.server.relay.gauges();
        let held = |p: &Publisher| p.works.len() + p.tasks.len() + p.wakes.len();
        let working: usize = self.publishers.iter().map(held).sum();
        gauges.queued + gauges.running + gauges.waking + self.open.len() + working
    }
}
