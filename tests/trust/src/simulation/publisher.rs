//! A simulated publisher. The registrar's real session decides when it reconnects; frames, backends and
//! recipes are handled as the registrar does.

use super::network::{Down, Frame, Up};
use super::{Planned, Simulation};
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

/// The pool that contains the second model of every publisher.
pub(super) const POOL: &str = "pool";
/// Longest wake that publishers declare, in seconds.
pub(super) const WAKE_SECS: u64 = 20;

/// Time until a stopped publisher is restarted by its user, in milliseconds.
const MANUAL_RESTART: u64 = 120_000;
/// Retries of a report that gets no response.
const RETRIES: u32 = 5;
/// Most chunks of a response.
const CHUNKS: u64 = 20;

/// A timer of a publisher.
pub(super) enum Timer {
    Connect,
    Heartbeat(ChannelId),
    /// The backend writes the next chunk, or ends.
    Step(TaskId),
    Acknowledge(TaskId),
    /// A wake recipe ends.
    RecipeEnded {
        name: String,
        well: bool,
    },
}

/// A request at a backend.
pub(super) struct Work {
    call: Call,
    next: u64,
    total: u64,
    /// True if the response breaks off instead of ending.
    breaks: bool,
}

pub(super) struct Publisher {
    pub(super) at: usize,
    /// Incremented when it is killed; messages to an earlier incarnation are dropped.
    pub(super) incarnation: u32,
    pub(super) session_id: Option<String>,
    pub(super) epoch: u64,
    session: ReconnectPolicy,
    pub(super) channel: Option<ChannelId>,
    published: BTreeSet<String>,
    asleep: BTreeSet<String>,
    pub(super) works: BTreeMap<TaskId, Work>,
    /// Models whose recipe runs, with the wake tasks that wait for it.
    pub(super) wakes: BTreeMap<String, Vec<TaskId>>,
}

/// Returns the name of a publisher's first (0) or second (1) model; the second has a wake recipe.
pub(super) fn model_name(publisher: usize, which: usize) -> String {
    format!("m{publisher}-{which}")
}

pub(super) fn owner_id(publisher: usize) -> OwnerId {
    OwnerId(format!("owner-{publisher}").into())
}

pub(super) fn owner(publisher: usize) -> Owner {
    Owner { id: owner_id(publisher), label: String::new(), groups: Vec::new() }
}

impl Publisher {
    pub(super) fn new(at: usize) -> Self {
        Self {
            at,
            incarnation: 0,
            session_id: None,
            epoch: 0,
            session: ReconnectPolicy::new(Times::default()),
            channel: None,
            published: (0..2).map(|which| model_name(at, which)).collect(),
            asleep: std::iter::once(model_name(at, 1)).collect(),
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
            wake_max_wait_seconds: second.then_some(WAKE_SECS),
            ..Provider::default()
        }
    }

    fn register_request(&self) -> Register {
        Register {
            protocol: wire::PROTOCOL_2,
            provider_session_id: self.session_id.clone(),
            inflight: self.inflight(),
            instance: Some(Instance { id: format!("machine-{}", self.at), ..Instance::default() }),
            takeover: false,
            providers: self.published.iter().map(|name| self.provider(name)).collect(),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
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

impl Simulation {
    pub(super) fn timer_fired(&mut self, who: usize, timer: Timer) {
        match timer {
            Timer::Connect => self.connect(who),
            Timer::Heartbeat(channel) if self.publishers[who].channel == Some(channel) => {
                let heartbeat = Box::new(self.publishers[who].heartbeat());
                self.send_up(who, Up::Heartbeat(heartbeat));
                self.set_heartbeat_timer(who, channel);
            }
            Timer::Heartbeat(_) => {}
            Timer::Acknowledge(task) => {
                if self.publishers[who].works.get(&task).is_some_and(|work| work.next == 0) {
                    self.send_up(who, Up::Acknowledge(task));
                }
            }
            Timer::Step(task) => self.step(who, task),
            Timer::RecipeEnded { name, well } => self.recipe_ended(who, &name, well),
        }
    }

    fn set_timer(&mut self, who: usize, delay: u64, timer: Timer) {
        let incarnation = self.publishers[who].incarnation;
        self.plan(delay, Planned::Timer(who, incarnation, timer));
    }

    /// Registers the models that are published now.
    fn connect(&mut self, who: usize) {
        if self.conditions == super::Conditions::Faulty && self.now < self.calls_end {
            for which in 0..2 {
                if self.choices.chance(15) {
                    let name = model_name(who, which);
                    let published = &mut self.publishers[who].published;
                    if !published.remove(&name) {
                        published.insert(name);
                    }
                }
            }
        }
        let register = self.publishers[who].register_request();
        for model in self.publishers[who].published.clone() {
            self.record(Fact::Published { model });
        }
        self.send_up(who, Up::Register(Box::new(register)));
    }

    fn set_heartbeat_timer(&mut self, who: usize, channel: ChannelId) {
        let busy = !self.publishers[who].works.is_empty();
        let period = if busy { 10_000 } else { 30_000 };
        let delay = period * 9 / 10 + self.choices.below(period / 5);
        self.set_timer(who, delay, Timer::Heartbeat(channel));
    }

    /// Handles a message or connection event.
    pub(super) fn arrives_at_publisher(&mut self, who: usize, down: Down) {
        match down {
            Down::Registered(reply) => self.registered(who, &reply.0, reply.1),
            Down::Opened(Ok(opened)) => {
                let now = self.instant();
                let publisher = &mut self.publishers[who];
                publisher.session.online(now);
                publisher.channel = Some(opened.channel);
                self.set_heartbeat_timer(who, opened.channel);
            }
            Down::Opened(Err(_)) => {
                self.ended(who, Ending::Fault(Fault::UnknownSession));
            }
            Down::HeartbeatReply(reply) => match *reply {
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
        for model in [model_name(who, 0), model_name(who, 1)] {
            if !declared.contains(model.as_str()) {
                self.record(Fact::Withdrawn { model });
            }
        }
        self.cancelled(who, &registered.cancel);
        let publisher = &mut self.publishers[who];
        publisher.epoch = registered.epoch;
        publisher.session_id = Some(registered.provider_session_id.clone());
        self.send_up(who, Up::Open(registered.provider_session_id));
    }

    fn ended(&mut self, who: usize, ending: Ending) {
        let (now, random) = (self.instant(), self.choices.fraction());
        let publisher = &mut self.publishers[who];
        publisher.channel = None;
        let delay = match publisher.session.ended(ending, now, random) {
            Next::Register => 0,
            Next::Wait { delay, .. } => u64::try_from(delay.as_millis()).unwrap_or(MANUAL_RESTART),
            Next::Stop(_) => MANUAL_RESTART,
        };
        self.set_timer(who, delay, Timer::Connect);
    }

    fn unanswered(&mut self, who: usize, request: Up) {
        match request {
            Up::Register(_) | Up::Open(_) => {
                let failed = Fault::Failed { message: "no answer".into(), retry_after: None };
                self.ended(who, Ending::Fault(failed));
            }
            Up::Begin(task) | Up::Chunk { task, .. } | Up::End { task, .. } => self.stop(who, task),
            Up::Failed { task, code, tries } if tries < RETRIES => {
                self.send_up(who, Up::Failed { task, code, tries: tries + 1 });
            }
            Up::Woke { task, well, tries } if tries < RETRIES => {
                self.send_up(who, Up::Woke { task, well, tries: tries + 1 });
            }
            // The next heartbeat reports the same.
            Up::Heartbeat(_) | Up::Acknowledge(_) | Up::Failed { .. } | Up::Woke { .. } => {}
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
        let faulty = self.conditions == super::Conditions::Faulty;
        let publisher = &self.publishers[who];
        if publisher.works.contains_key(&task) {
            return;
        }
        let down = publisher.asleep.contains(name) || faulty && self.choices.chance(3);
        let code = match self.publishers[who].published.contains(name) {
            false => Some("unpublished"),
            true if down => Some(wire::error::Code::BackendUnreachable.as_str()),
            true => None,
        };
        if let Some(code) = code {
            return self.send_up(who, Up::Failed { task, code, tries: 0 });
        }
        self.record(Fact::BackendStarted(call));
        let total = 1 + self.choices.below(CHUNKS);
        let breaks = faulty && self.choices.chance(5);
        self.publishers[who].works.insert(task, Work { call, next: 0, total, breaks });
        let prefill = self.choices.below(5_000);
        self.set_timer(who, 500, Timer::Acknowledge(task));
        self.set_timer(who, prefill, Timer::Step(task));
    }

    fn step(&mut self, who: usize, task: TaskId) {
        let Some(work) = self.publishers[who].works.get_mut(&task) else { return };
        let (call, number) = (work.call, work.next);
        if number < work.total {
            work.next += 1;
            self.record(Fact::BackendWrote { call, chunk: number });
            if number == 0 {
                self.send_up(who, Up::Begin(task));
            }
            self.send_up(who, Up::Chunk { task, written_for: call, number });
            let pause = self.choices.below(1_000);
            return self.set_timer(who, pause, Timer::Step(task));
        }
        let well = !work.breaks;
        self.publishers[who].works.remove(&task);
        if well {
            self.record(Fact::BackendFinished(call));
        }
        self.record(Fact::BackendClosed(call));
        self.send_up(who, Up::End { task, well });
        // A backend with nothing to do may fall asleep.
        if self.choices.chance(10) && self.publishers[who].works.is_empty() {
            self.publishers[who].asleep.insert(model_name(who, 1));
        }
    }

    fn cancelled(&mut self, who: usize, tasks: &[String]) {
        for task in tasks.iter().filter_map(|task| task.parse().ok()) {
            self.stop(who, task);
        }
    }

    /// Stops the backend's work on a task, then reports that it has ended.
    fn stop(&mut self, who: usize, task: TaskId) {
        if let Some(work) = self.publishers[who].works.remove(&task) {
            self.record(Fact::BackendClosed(work.call));
            self.send_up(who, Up::Failed { task, code: "cancelled", tries: 0 });
        }
    }

    fn wake(&mut self, who: usize, task: TaskId, name: String) {
        let waiting = self.publishers[who].wakes.entry(name.clone()).or_default();
        waiting.push(task);
        if waiting.len() == 1 {
            self.record(Fact::WakeStarted { model: name.clone() });
            let takes = self.choices.between(100, 25_000);
            let well = self.choices.chance(80);
            self.set_timer(who, takes, Timer::RecipeEnded { name, well });
        }
    }

    fn recipe_ended(&mut self, who: usize, name: &str, well: bool) {
        self.record(Fact::WakeEnded { model: name.to_owned() });
        let publisher = &mut self.publishers[who];
        let waiting = publisher.wakes.remove(name).unwrap_or_default();
        if well {
            publisher.asleep.remove(name);
        }
        for task in waiting {
            self.send_up(who, Up::Woke { task, well, tries: 0 });
        }
    }

    /// Kills the publisher: its connections to backends and server close; it restarts later.
    pub(super) fn publisher_is_killed(&mut self, who: usize) {
        self.publishers[who].incarnation += 1;
        for work in std::mem::take(&mut self.publishers[who].works).into_values() {
            self.record(Fact::BackendClosed(work.call));
        }
        for model in std::mem::take(&mut self.publishers[who].wakes).into_keys() {
            self.record(Fact::WakeEnded { model });
        }
        self.publishers[who].channel = None;
        self.publishers[who].session = ReconnectPolicy::new(Times::default());
        self.server_notices(who, 50);
        let pause = self.choices.between(500, 60_000);
        self.set_timer(who, pause, Timer::Connect);
    }
}
