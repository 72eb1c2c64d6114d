//! A publisher: the real session of the registrar decides when it comes back; the rest is what the
//! registrar does with frames, its backends and its recipes.

use super::network::{Down, Frame, Up};
use super::{What, World};
use crate::history::{Call, Fact};
use registrar::limits::Times;
use registrar::mcpd_client::Fault;
use registrar::reconnect_policy::{Ending, Next, ReconnectPolicy};
use relay::{ChannelId, Owner, OwnerId, RegisterRefusal, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wire::publisher::{
    Heartbeat, Instance, LlmReport, Provider, Register, Registered, ReportedStatus,
};

/// Every publisher's second model is in it.
pub(super) const POOL: &str = "pool";
/// After a stop, a person comes and starts it again.
const PERSON: u64 = 120_000;
/// A report that was not answered is sent again so often.
const TRIES: u32 = 5;
/// The longest answer, in pieces.
const PIECES: u64 = 20;

/// Its own appointments.
pub(super) enum Timer {
    Connect,
    Beat(ChannelId),
    /// The backend writes the next piece, or ends.
    Step(TaskId),
    Acknowledge(TaskId),
    /// The recipe is over.
    Awake {
        name: String,
        well: bool,
    },
}

/// A request at a backend.
pub(super) struct Work {
    call: Call,
    next: u64,
    total: u64,
    /// It will break off there.
    breaks: bool,
}

pub(super) struct Publisher {
    pub(super) at: usize,
    /// Raised when it is killed: what was meant for the one before does not reach it.
    pub(super) life: u32,
    pub(super) session_id: Option<String>,
    pub(super) epoch: u64,
    session: ReconnectPolicy,
    pub(super) channel: Option<ChannelId>,
    published: BTreeSet<String>,
    asleep: BTreeSet<String>,
    pub(super) works: BTreeMap<TaskId, Work>,
    /// Recipes that run, and the wake tasks that wait for each.
    pub(super) wakes: BTreeMap<String, Vec<TaskId>>,
}

/// The name of a publisher's first or second model; the second has a recipe.
pub(super) fn row(publisher: usize, which: usize) -> String {
    format!("m{publisher}-{which}")
}

pub(super) fn owner_id(publisher: usize) -> OwnerId {
    OwnerId(format!("owner-{publisher}"))
}

pub(super) fn owner(publisher: usize) -> Owner {
    Owner { id: owner_id(publisher), label: String::new(), groups: Vec::new() }
}

impl Publisher {
    pub(super) fn new(at: usize) -> Self {
        Self {
            at,
            life: 0,
            session_id: None,
            epoch: 0,
            session: ReconnectPolicy::new(Times::default()),
            channel: None,
            published: (0..2).map(|which| row(at, which)).collect(),
            asleep: std::iter::once(row(at, 1)).collect(),
            works: BTreeMap::new(),
            wakes: BTreeMap::new(),
        }
    }

    fn status(&self, name: &str) -> ReportedStatus {
        if self.asleep.contains(name) {
            ReportedStatus::Hibernating
        } else {
            ReportedStatus::Active
        }
    }

    fn inflight(&self) -> Vec<String> {
        self.works.keys().map(ToString::to_string).collect()
    }

    fn provider(&self, name: &String) -> Provider {
        let second = name.ends_with("-1");
        let asleep = self.asleep.contains(name);
        Provider {
            name: name.clone(),
            initial_status: asleep.then(|| "hibernating".into()),
            pool: second.then(|| POOL.into()),
            share_name: vec!["*".into()],
            max_concurrency: Some(if second { 2 } else { 1 }),
            wake_max_wait_seconds: second.then(super::server::wake_secs),
            ..Provider::default()
        }
    }

    fn set(&self) -> Register {
        Register {
            protocol: wire::PROTOCOL_2,
            provider_session_id: self.session_id.clone(),
            inflight: self.inflight(),
            instance: Some(Instance { id: format!("machine-{}", self.at), ..Instance::default() }),
            takeover: false,
            providers: self.published.iter().map(|name| self.provider(name)).collect(),
        }
    }

    fn beat(&self) -> Heartbeat {
        let report = |name: &String| LlmReport {
            name: name.clone(),
            status: self.status(name),
            in_flight: 0,
            queued: 0,
        };
        Heartbeat {
            provider_session_id: self.session_id.clone().unwrap_or_default(),
            epoch: Some(self.epoch),
            llms: self.published.iter().map(report).collect(),
            inflight: Some(self.inflight()),
        }
    }
}

impl World {
    pub(super) fn timed(&mut self, who: usize, timer: Timer) {
        match timer {
            Timer::Connect => self.connect(who),
            Timer::Beat(channel) if self.publishers[who].channel == Some(channel) => {
                let beat = Box::new(self.publishers[who].beat());
                self.up(who, Up::Beat(beat));
                self.time_the_beat(who, channel);
            }
            Timer::Beat(_) => {}
            Timer::Acknowledge(task) => {
                if self.publishers[who].works.get(&task).is_some_and(|work| work.next == 0) {
                    self.up(who, Up::Acknowledge(task));
                }
            }
            Timer::Step(task) => self.step(who, task),
            Timer::Awake { name, well } => self.recipe_ended(who, &name, well),
        }
    }

    fn own(&mut self, who: usize, delay: u64, timer: Timer) {
        let life = self.publishers[who].life;
        self.plan(delay, What::Own(who, life, timer));
    }

    /// Registers what its owner wants published now.
    fn connect(&mut self, who: usize) {
        if self.weather == super::Weather::Storm && self.now < self.calls_end {
            for which in 0..2 {
                if self.tape.chance(15) {
                    let name = row(who, which);
                    let published = &mut self.publishers[who].published;
                    if !published.remove(&name) {
                        published.insert(name);
                    }
                }
            }
        }
        let register = self.publishers[who].set();
        for row in self.publishers[who].published.clone() {
            self.saw(Fact::Published { row });
        }
        self.up(who, Up::Register(Box::new(register)));
    }

    fn time_the_beat(&mut self, who: usize, channel: ChannelId) {
        let busy = !self.publishers[who].works.is_empty();
        let period = if busy { 10_000 } else { 30_000 };
        let delay = period * 9 / 10 + self.tape.below(period / 5);
        self.own(who, delay, Timer::Beat(channel));
    }

    /// Something from the server arrives.
    pub(super) fn reaches(&mut self, who: usize, down: Down) {
        match down {
            Down::Registered(reply) => self.registered(who, &reply.0, reply.1),
            Down::Opened(Ok(opened)) => {
                let now = self.instant();
                let publisher = &mut self.publishers[who];
                publisher.session.online(now);
                publisher.channel = Some(opened.channel);
                self.time_the_beat(who, opened.channel);
            }
            Down::Opened(Err(_)) => {
                self.ended(who, Ending::Fault(Fault::UnknownSession));
            }
            Down::Beaten(reply) => match *reply {
                Ok(reply) => self.cancelled(who, &reply.cancel),
                Err(_) => self.ended(who, Ending::Fault(Fault::UnknownSession)),
            },
            Down::Frame(channel, frame) if self.publishers[who].channel == Some(channel) => {
                self.frame_arrives(who, channel, frame);
            }
            Down::Frame(..) => {}
            Down::Lost(channel) => {
                if self.publishers[who].channel == Some(channel) {
                    self.ended(who, Ending::Lost("gone".into()));
                }
            }
            Down::Unanswered(request) => self.unanswered(who, *request),
            Down::Stop(task) => self.stop(who, task),
        }
    }

    fn registered(
        &mut self,
        who: usize,
        request: &Register,
        reply: Result<Registered, RegisterRefusal>,
    ) {
        let registered = match reply {
            Ok(registered) => registered,
            Err(RegisterRefusal::SessionConflict) => {
                return self.ended(who, Ending::Fault(Fault::Conflict("held".into())));
            }
            Err(
                why @ (RegisterRefusal::Draining
                | RegisterRefusal::Invalid(_)
                | RegisterRefusal::TooManySessions(_)),
            ) => {
                let retry_after = Some(Duration::from_secs(5));
                let failed = Fault::Failed { message: why.to_string(), retry_after };
                return self.ended(who, Ending::Fault(failed));
            }
        };
        let declared: BTreeSet<&str> = request.providers.iter().map(|p| p.name.as_str()).collect();
        for row in [row(who, 0), row(who, 1)] {
            if !declared.contains(row.as_str()) {
                self.saw(Fact::Withdrawn { row });
            }
        }
        self.cancelled(who, &registered.cancel);
        let publisher = &mut self.publishers[who];
        publisher.epoch = registered.epoch;
        publisher.session_id = Some(registered.provider_session_id.clone());
        self.up(who, Up::Open(registered.provider_session_id));
    }

    fn ended(&mut self, who: usize, ending: Ending) {
        let (now, random) = (self.instant(), self.tape.fraction());
        let publisher = &mut self.publishers[who];
        publisher.channel = None;
        let delay = match publisher.session.ended(ending, now, random) {
            Next::Register => 0,
            Next::Wait { delay, .. } => u64::try_from(delay.as_millis()).unwrap_or(PERSON),
            Next::Stop(_) => PERSON,
        };
        self.own(who, delay, Timer::Connect);
    }

    fn unanswered(&mut self, who: usize, request: Up) {
        match request {
            Up::Register(_) | Up::Open(_) => {
                let failed = Fault::Failed { message: "no answer".into(), retry_after: None };
                self.ended(who, Ending::Fault(failed));
            }
            Up::Begin(task) | Up::Piece { task, .. } | Up::End { task, .. } => self.stop(who, task),
            Up::Failed { task, code, tries } if tries < TRIES => {
                self.up(who, Up::Failed { task, code, tries: tries + 1 });
            }
            Up::Woke { task, well, tries } if tries < TRIES => {
                self.up(who, Up::Woke { task, well, tries: tries + 1 });
            }
            // The next heartbeat says it all.
            Up::Beat(_) | Up::Acknowledge(_) | Up::Failed { .. } | Up::Woke { .. } => {}
        }
    }

    fn frame_arrives(&mut self, who: usize, channel: ChannelId, frame: Frame) {
        match frame {
            Frame::Task { task, call, name } => self.work(who, task, call, &name),
            Frame::Wake { task, name } => self.wake(who, task, name),
            Frame::Cancel(task) => self.stop(who, task),
            Frame::Drain(ms) if self.publishers[who].channel == Some(channel) => {
                self.ended(who, Ending::Drain(Duration::from_millis(ms)));
            }
            Frame::Drain(_) => {}
            Frame::Superseded => self.ended(who, Ending::Superseded),
            Frame::Revoked => self.ended(who, Ending::Revoked("revoked".into())),
        }
    }

    fn work(&mut self, who: usize, task: TaskId, call: Call, name: &str) {
        let storm = self.weather == super::Weather::Storm;
        let publisher = &self.publishers[who];
        if publisher.works.contains_key(&task) {
            return;
        }
        let down = publisher.asleep.contains(name) || storm && self.tape.chance(3);
        let code = match publisher_has(&self.publishers[who], name) {
            false => Some("unpublished"),
            true if down => Some(wire::error::code::BACKEND_UNREACHABLE),
            true => None,
        };
        if let Some(code) = code {
            return self.up(who, Up::Failed { task, code, tries: 0 });
        }
        self.saw(Fact::Runs(call));
        let total = 1 + self.tape.below(PIECES);
        let breaks = storm && self.tape.chance(5);
        self.publishers[who].works.insert(task, Work { call, next: 0, total, breaks });
        let prefill = self.tape.below(5_000);
        self.own(who, 500, Timer::Acknowledge(task));
        self.own(who, prefill, Timer::Step(task));
    }

    fn step(&mut self, who: usize, task: TaskId) {
        let Some(work) = self.publishers[who].works.get_mut(&task) else { return };
        let (call, number) = (work.call, work.next);
        if number < work.total {
            work.next += 1;
            self.saw(Fact::Writes { call, piece: number });
            if number == 0 {
                self.up(who, Up::Begin(task));
            }
            self.up(who, Up::Piece { task, of: call, number });
            let pause = self.tape.below(1_000);
            return self.own(who, pause, Timer::Step(task));
        }
        let well = !work.breaks;
        self.publishers[who].works.remove(&task);
        if well {
            self.saw(Fact::Finishes(call));
        }
        self.saw(Fact::Closes(call));
        self.up(who, Up::End { task, well });
        // A backend with nothing to do may fall asleep.
        if self.tape.chance(10) && self.publishers[who].works.is_empty() {
            self.publishers[who].asleep.insert(row(who, 1));
        }
    }

    fn cancelled(&mut self, who: usize, tasks: &[String]) {
        for task in tasks.iter().filter_map(|task| task.parse().ok()) {
            self.stop(who, task);
        }
    }

    /// Nobody waits for it: the backend is let go, then the server is told that the work has ended.
    fn stop(&mut self, who: usize, task: TaskId) {
        if let Some(work) = self.publishers[who].works.remove(&task) {
            self.saw(Fact::Closes(work.call));
            self.up(who, Up::Failed { task, code: "cancelled", tries: 0 });
        }
    }

    fn wake(&mut self, who: usize, task: TaskId, name: String) {
        let waiting = self.publishers[who].wakes.entry(name.clone()).or_default();
        waiting.push(task);
        if waiting.len() == 1 {
            self.saw(Fact::WakeBegins { row: name.clone() });
            let takes = self.tape.between(100, 25_000);
            let well = self.tape.chance(80);
            self.own(who, takes, Timer::Awake { name, well });
        }
    }

    fn recipe_ended(&mut self, who: usize, name: &str, well: bool) {
        self.saw(Fact::WakeEnds { row: name.to_owned() });
        let publisher = &mut self.publishers[who];
        let waiting = publisher.wakes.remove(name).unwrap_or_default();
        if well {
            publisher.asleep.remove(name);
        }
        for task in waiting {
            self.up(who, Up::Woke { task, well, tries: 0 });
        }
    }

    /// kill -9: its backends lose their callers, the server its connections; it starts again later.
    pub(super) fn publisher_is_killed(&mut self, who: usize) {
        self.publishers[who].life += 1;
        for work in std::mem::take(&mut self.publishers[who].works).into_values() {
            self.saw(Fact::Closes(work.call));
        }
        for row in std::mem::take(&mut self.publishers[who].wakes).into_keys() {
            self.saw(Fact::WakeEnds { row });
        }
        self.publishers[who].channel = None;
        self.publishers[who].session = ReconnectPolicy::new(Times::default());
        self.server_notices(who, 50);
        let pause = self.tape.between(500, 60_000);
        self.own(who, pause, Timer::Connect);
    }
}

fn publisher_has(publisher: &Publisher, name: &str) -> bool {
    publisher.published.contains(name)
}
