//! Callers, publishers and a network around the real relay and the real session, in a time of its own.
//! Everything that happens follows from the seed; what is seen is written into a history.
//!
//! The server here does what mcpd's driver does with the relay's actions, and a publisher what the
//! registrar does with frames, each in the few lines that the protocol needs.

mod network;
mod publisher;
mod server;

use crate::history::{Bounds, Call, Entry, Fact, History};
use crate::machine::Watch;
use crate::tape::Tape;
use network::{Down, Network, Noticed, Up};
use publisher::{Publisher, Timer};
use relay::{GoneReason, TaskId};
use server::Server;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// How bad it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Requests overtake each other and arrive twice; everybody stays.
    Calm,
    /// Cuts, crashes of both sides, withdrawals, backends that break.
    Storm,
}

impl Weather {
    /// What may be asked of everybody then.
    #[must_use]
    pub fn bounds(self) -> Bounds {
        let runs_again = u64::from(server::limits().redispatch);
        match self {
            Self::Calm => Bounds { closed_within: 250, ended_within: 900_000, runs_again },
            // The longest cut, the longest delay after it, and what the two ends need to notice.
            Self::Storm => Bounds { closed_within: 300_000, ended_within: 900_000, runs_again },
        }
    }
}

const PUBLISHERS: usize = 4;
/// All requests of a run are made within so many milliseconds for each.
const PACE: u64 = 2_000;
/// After the last request nothing goes wrong any more; so long after it, all must be at rest.
const REST: u64 = 30 * 60_000;
/// Between two misfortunes, at most.
const TROUBLE: u64 = 60_000;

/// What is going to happen.
enum What {
    Ask(Call),
    Leave(Call),
    ToServer(usize, u32, Up),
    ToPublisher(usize, u32, Down),
    Own(usize, u32, Timer),
    Tick,
    Sweep,
    Trouble,
    ServerStarts,
    ServerNotices(Noticed),
}

struct World {
    now: u64,
    /// In order of time, then of planning.
    agenda: BTreeMap<(u64, u64), What>,
    planned: u64,
    tape: Tape<'static>,
    weather: Weather,
    calls_end: u64,
    network: Network,
    server: Server,
    publishers: Vec<Publisher>,
    open: BTreeMap<Call, TaskId>,
    history: History,
    epoch: Instant,
}

/// What many runs have found.
#[derive(Debug, Default)]
pub struct Found {
    /// Requests that were made.
    pub tasks: u64,
    /// Those that were answered in full.
    pub complete: u64,
    /// Breaches, each with the seed that tells the story again.
    pub breaches: Vec<String>,
}

/// The weathers of a campaign, in turn.
pub const CAMPAIGN: [Weather; 2] = [Weather::Calm, Weather::Storm];
/// Requests of each of its runs.
const EACH: u64 = 100;

/// Runs from this seed on, until so many requests were made.
#[must_use]
pub fn campaign(seed: u64, tasks: u64) -> Found {
    let mut found = Found::default();
    for seed in seed.. {
        for weather in CAMPAIGN {
            let history = run(seed, EACH, weather);
            let whole = |entry: &&Entry| matches!(entry.fact, Fact::Ends { complete: true, .. });
            found.tasks += EACH;
            found.complete += history.entries.iter().filter(whole).count() as u64;
            let breaches = crate::history::check(&history, &weather.bounds());
            let told = |why| format!("seed {seed}, {weather:?}: {why}");
            found.breaches.extend(breaches.into_iter().map(told));
        }
        if found.tasks >= tasks {
            break;
        }
    }
    found
}

/// So many requests.
#[must_use]
pub fn run(seed: u64, calls: u64, weather: Weather) -> History {
    let mut world = World::new(seed, calls, weather);
    let end = world.calls_end + REST;
    let watch = Watch::begin((seed, weather, world.now));
    while let Some(((at, _), what)) = world.agenda.pop_first() {
        if at > end {
            break;
        }
        world.now = at;
        watch.at((seed, weather, at));
        world.happen(what);
        world.time_the_tick();
    }
    let held = world.holds();
    world.saw(Fact::Holds(held));
    world.history
}

impl World {
    fn new(seed: u64, calls: u64, weather: Weather) -> Self {
        let epoch = Instant::now();
        let mut world = Self {
            now: 1_000_000,
            agenda: BTreeMap::new(),
            planned: 0,
            tape: Tape::seeded(seed),
            weather,
            calls_end: 1_000_000 + calls * PACE,
            network: Network::new(PUBLISHERS),
            server: Server::new(1_000_000),
            publishers: (0..PUBLISHERS).map(Publisher::new).collect(),
            open: BTreeMap::new(),
            history: History::default(),
            epoch,
        };
        for at in 0..PUBLISHERS {
            let delay = world.tape.below(2_000);
            world.plan(delay, What::Own(at, 0, Timer::Connect));
        }
        for call in 0..calls {
            let delay = 5_000 + world.tape.below(calls * PACE - 5_000);
            world.plan(delay, What::Ask(call));
        }
        world.plan(server::limits().sweep, What::Sweep);
        if weather == Weather::Storm {
            world.plan(TROUBLE, What::Trouble);
        }
        world
    }

    fn plan(&mut self, delay: u64, what: What) {
        self.planned += 1;
        self.agenda.insert((self.now + delay, self.planned), what);
    }

    fn saw(&mut self, fact: Fact) {
        self.history.saw(self.now, fact);
    }

    /// The time as the registrar's session knows it.
    fn instant(&self) -> Instant {
        self.epoch + std::time::Duration::from_millis(self.now)
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Ask(call) => self.ask(call),
            What::Leave(call) => {
                if let Some(task) = self.open.remove(&call) {
                    self.saw(Fact::Leaves(call));
                    self.relay(|relay, now, out| {
                        relay.caller_gone(task, GoneReason::Disconnected, now, out);
                    });
                }
            }
            What::ToServer(from, life, up) => self.arrives(from, life, up),
            What::ToPublisher(to, life, down) if self.publishers[to].life == life => {
                self.reaches(to, down);
            }
            What::Own(who, life, timer) if self.publishers[who].life == life => {
                self.timed(who, timer);
            }
            // Whoever this was for has ended meanwhile.
            What::ToPublisher(..) | What::Own(..) => {}
            What::Tick => self.relay(relay::Relay::tick),
            What::Sweep => {
                self.relay(relay::Relay::sweep);
                self.plan(server::limits().sweep, What::Sweep);
            }
            What::Trouble => self.trouble(),
            What::ServerStarts => self.server.start(self.now),
            What::ServerNotices(dead) => self.noticed(&dead),
        }
    }

    fn ask(&mut self, call: Call) {
        self.saw(Fact::Asks(call));
        let name = self.tape.index(PUBLISHERS * 2 + 1);
        let name = match name.checked_sub(PUBLISHERS * 2) {
            Some(_) => publisher::POOL.to_owned(),
            None => publisher::row(name / 2, name % 2),
        };
        if !self.submit(call, name) {
            self.saw(Fact::Ends { call, complete: false });
        } else if self.tape.chance(15) {
            let patience = self.tape.below(30_000);
            self.plan(patience, What::Leave(call));
        }
    }

    /// Something goes wrong, until the last request was made.
    fn trouble(&mut self) {
        if self.now > self.calls_end {
            return;
        }
        let who = self.tape.index(PUBLISHERS);
        match self.tape.below(10) {
            0..4 => {
                let length = self.tape.between(500, 120_000);
                self.cut(who, length);
            }
            4 | 5 => self.publisher_is_killed(who),
            6 => self.server_is_killed(),
            7 => {
                self.relay(|relay, _, out| relay.drain(out));
                self.server.draining = true;
            }
            _ => self.meddle(who),
        }
        let pause = self.tape.between(1_000, TROUBLE);
        // Who drains, ends.
        if std::mem::take(&mut self.server.draining) {
            self.server_is_killed();
        }
        self.plan(pause, What::Trouble);
    }

    /// What is still held: nothing, if all have kept their promises.
    fn holds(&self) -> usize {
        let gauges = self.server.relay.gauges();
        let working: usize = self.publishers.iter().map(|p| p.works.len() + p.wakes.len()).sum();
        gauges.queued + gauges.running + gauges.waking + self.open.len() + working
    }
}
