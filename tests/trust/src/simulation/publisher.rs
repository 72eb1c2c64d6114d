//! A simulated publisher's connection. The registrar's real policy decides when it reconnects; events
//! are handled as the registrar does.

use super::backend::{ACKNOWLEDGE_AFTER, Work, model_name};
use super::messages::{Down, Frame, Timer, Up, UplinkEnd};
use super::uplink::Uplinks;
use super::{Conditions, Planned, Simulation};
use crate::history::{Call, Fact};
use registrar::fuzzing::Outbox;
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

pub(super) struct Publisher {
    pub(super) at: usize,
    /// Incremented when it is killed; messages to an earlier incarnation are dropped.
    pub(super) incarnation: u32,
    pub(super) session_id: Option<String>,
    pub(super) epoch: u64,
    session: ReconnectPolicy,
    pub(super) channel: Option<ChannelId>,
    pub(super) published: BTreeSet<String>,
    pub(super) asleep: BTreeSet<String>,
    /// The tasks that have arrived and that the server has not finished.
    pub(super) tasks: BTreeMap<TaskId, Call>,
    /// What is sent of their answers.
    pub(super) outbox: Outbox,
    pub(super) uplinks: Uplinks,
    /// Requests at the backends.
    pub(super) works: BTreeMap<TaskId, Work>,
    /// Models whose recipe runs, with the wake tasks that wait for it.
    pub(super) wakes: BTreeMap<String, Vec<TaskId>>,
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
            tasks: BTreeMap::new(),
            outbox: Outbox::default(),
            uplinks: Uplinks::new(),
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
        self.tasks.keys().map(ToString::to_string).collect()
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
            Timer::Acknowledge => {
                let begun_before = self.instant() - Duration::from_millis(ACKNOWLEDGE_AFTER);
                self.publishers[who].outbox.acknowledge(begun_before);
                self.send_answers(who);
            }
            Timer::OpenUplink => self.pause_is_over(who),
            Timer::ReplaceUplink(number) => self.end_uplink(who, number),
            Timer::UplinkUnconfirmed(number) => self.uplink_ended(who, number, UplinkEnd::Lost),
            Timer::Step(task) => self.step(who, task),
            Timer::RecipeEnded { name, well } => self.recipe_ended(who, &name, well),
        }
    }

    pub(super) fn set_timer(&mut self, who: usize, delay: u64, timer: Timer) {
        let incarnation = self.publishers[who].incarnation;
        self.plan(delay, Planned::Timer(who, incarnation, timer));
    }

    /// Registers the models that are published now.
    fn connect(&mut self, who: usize) {
        if self.conditions == Conditions::Faulty && self.now < self.calls_end {
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
        let busy = !self.publishers[who].tasks.is_empty();
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
                Ok(reply) => {
                    self.cancelled(who, &reply.cancel);
                    self.finished(who, &reply.unknown);
                }
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
            Down::UplinkEnded(number, end) => self.uplink_ended(who, number, end),
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
        let publisher = &mut self.publishers[who];
        publisher.epoch = registered.epoch;
        publisher.session_id = Some(registered.provider_session_id.clone());
        self.resume(who, &registered);
        self.send_up(who, Up::Open(registered.provider_session_id));
    }

    /// Goes on with the answers that the server waits for, from where it says, and stops all others.
    fn resume(&mut self, who: usize, registered: &Registered) {
        self.restart_uplinks(who);
        let publisher = &mut self.publishers[who];
        publisher.outbox.uplink_lost();
        let mut over: BTreeSet<TaskId> = publisher.tasks.keys().copied().collect();
        for resumed in &registered.resume {
            let Ok(task) = resumed.id.parse::<TaskId>() else { continue };
            publisher.outbox.resume(task.0, resumed.offset);
            over.remove(&task);
        }
        let is_cancelled = |task: &TaskId| registered.cancel.contains(&task.to_string());
        over.retain(|task| !is_cancelled(task));
        for task in over {
            self.forget(who, task);
        }
        self.cancelled(who, &registered.cancel);
        self.resume_stalled(who);
        self.send_answers(who);
    }

    fn ended(&mut self, who: usize, ending: Ending) {
        let (now, random) = (self.instant(), self.choices.fraction());
        let publisher = &mut self.publishers[who];
        let was_online = publisher.channel.take().is_some();
        let busy = !publisher.tasks.is_empty();
        let delay = match publisher.session.ended(ending, busy, now, random) {
            Next::Register => 0,
            Next::Wait { delay, .. } => u64::try_from(delay.as_millis()).unwrap_or(MANUAL_RESTART),
            Next::Stop(_) => MANUAL_RESTART,
        };
        self.set_timer(who, delay, Timer::Connect);
        if was_online {
            self.record_interruption(who);
        }
    }

    fn unanswered(&mut self, who: usize, request: Up) {
        match request {
            Up::Register(_) | Up::Open(_) => {
                let failed = Fault::Failed { message: "no answer".into(), retry_after: None };
                self.ended(who, Ending::Fault(failed));
            }
            Up::Uplink(number, _) => self.uplink_ended(who, number, UplinkEnd::Lost),
            Up::Woke { task, well, tries } if tries < RETRIES => {
                self.send_up(who, Up::Woke { task, well, tries: tries + 1 });
            }
            // The next heartbeat reports the same.
            Up::Heartbeat(_) | Up::Woke { .. } => {}
        }
    }

    fn frame_arrives(&mut self, who: usize, channel: ChannelId, frame: Frame) {
        match frame {
            Frame::Task { task, call, name } => self.work(who, task, call, &name),
            Frame::Wake { task, name } => self.wake(who, task, name),
            Frame::Cancel(task) => self.stop(who, task),
            Frame::Taken { task, offset, window } => {
                self.publishers[who].outbox.taken(task.0, offset, window);
                self.resume_stalled(who);
                self.send_answers(who);
            }
            Frame::Finished(task) => self.forget(who, task),
            Frame::Drain(ms) if self.publishers[who].channel == Some(channel) => {
                self.ended(who, Ending::Drain(Duration::from_millis(ms)));
            }
            Frame::Drain(_) => {}
            Frame::Superseded => self.ended(who, Ending::Superseded),
            Frame::Revoked => self.ended(who, Ending::Revoked("revoked".into())),
        }
    }

    fn cancelled(&mut self, who: usize, tasks: &[String]) {
        for task in tasks.iter().filter_map(|task| task.parse().ok()) {
            self.stop(who, task);
        }
    }

    fn finished(&mut self, who: usize, tasks: &[String]) {
        for task in tasks.iter().filter_map(|task| task.parse().ok()) {
            self.forget(who, task);
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
        if let Some(number) = self.publishers[who].uplinks.number() {
            self.network.break_uplink(number);
        }
        let publisher = &mut self.publishers[who];
        publisher.channel = None;
        publisher.session = ReconnectPolicy::new(Times::default());
        publisher.tasks.clear();
        (publisher.outbox, publisher.uplinks) = (Outbox::default(), Uplinks::new());
        self.server_notices(who, 50);
        let pause = self.choices.between(500, 60_000);
        self.set_timer(who, pause, Timer::Connect);
    }
}
