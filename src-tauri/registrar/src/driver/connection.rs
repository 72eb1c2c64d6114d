//! One registration while it holds: events come down, heartbeats go up.

use super::suspend::SuspendDetector;
use super::upload_probe::UploadProbe;
use super::{Account, Driver};
use crate::clock::unix_ms;
use crate::config_watch;
use crate::control_channel::{Channel, Mode, Signal};
use crate::limits;
use crate::mcpd_client::{Fault, SessionRef};
use crate::reconnect_policy::{self, Ending, ReconnectPolicy, beat_after};
use crate::server_text;
use crate::status::{ConnectionState, RunningTask};
use crate::task::{self, LogBudget, ServerLink};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::control::{Cancel, Drain, Hello, InferTask, Probe as Confirmed, Revoked, Task, event};
use wire::publisher::{Heartbeat, HeartbeatReply, Provider, Registered};
use wire::sse::{Event, TooLong};

/// Follows the channel until it ends, which gives the ending, or until something else must be
/// registered, which gives none.
pub(super) async fn follow(
    driver: &mut Driver,
    account: &Account,
    registered: Registered,
    declared: &[Provider],
    policy: &mut ReconnectPolicy,
) -> Option<Ending> {
    let current = registered.protocol >= wire::PROTOCOL_2;
    let session = SessionRef {
        id: registered.provider_session_id,
        epoch: current.then_some(registered.epoch),
    };
    let link = ServerLink {
        mcpd: account.mcpd.clone(),
        session: session.clone(),
        chunked: AtomicBool::new(false),
        ack_after: driver.times.ack_after,
        log_budget: LogBudget::default(),
    };
    let mut connection = Connection {
        link: Arc::new(link),
        heartbeat: reconnect_policy::heartbeat(&driver.times, registered.heartbeat_seconds),
        channel: Channel::open(account.mcpd.clone(), session, Mode::Stream, driver.times),
        mode: Mode::Stream,
        beating: None,
        probe: None,
        driver,
        policy,
    };
    connection.follow(declared).await
}

type Beating = Option<BoxFuture<'static, Result<HeartbeatReply, Fault>>>;

struct Connection<'a> {
    driver: &'a mut Driver,
    policy: &'a mut ReconnectPolicy,
    link: Arc<ServerLink>,
    heartbeat: Duration,
    channel: Channel,
    mode: Mode,
    /// At most one heartbeat is under way.
    beating: Beating,
    probe: Option<UploadProbe>,
}

impl Connection<'_> {
    async fn follow(&mut self, declared: &[Provider]) -> Option<Ending> {
        let times = self.driver.times;
        let mut beat_at = Instant::now();
        let mut clock = SuspendDetector::new();
        let mut clock_tick = tokio::time::interval(times.clock_every);
        let stream_again = tokio::time::sleep(times.stream_again);
        tokio::pin!(stream_again);
        loop {
            tokio::select! {
                () = self.driver.stop.cancelled() => return None,
                () = self.driver.reconnect.notified() => return Some(Ending::Resume),
                () = config_watch::changed(&mut self.driver.config) => {
                    if self.must_register(declared).await {
                        return None;
                    }
                }
                signal = self.channel.next() => {
                    if let Some(ending) = self.hear_all(signal) {
                        return Some(ending);
                    }
                }
                reply = answer(&mut self.beating), if self.beating.is_some() => {
                    self.beating = None;
                    match reply {
                        Ok(reply) => {
                            self.stop_tasks(&reply);
                            self.driver.hear_requests(reply.name_requests);
                            if reply.register_again && self.policy.registers_again(Instant::now())
                            {
                                return None;
                            }
                        }
                        Err(fault) => return Some(fault.into()),
                    }
                }
                () = tokio::time::sleep_until(beat_at), if self.beating.is_none() => {
                    beat_at = self.beat();
                }
                () = self.driver.beat.notified(), if self.beating.is_none() => beat_at = self.beat(),
                Some(held_back) = UploadProbe::verdict(&mut self.probe) => self.choose_upload(held_back),
                _ = clock_tick.tick() => {
                    if clock.slept(&times) {
                        return Some(Ending::Resume);
                    }
                }
                () = &mut stream_again, if self.mode == Mode::Poll => return Some(Ending::Resume),
            }
        }
    }

    /// After a change of the file: whether the server has to hear of it.
    async fn must_register(&mut self, declared: &[Provider]) -> bool {
        self.driver.take_config();
        if self.driver.nothing_published() {
            return true;
        }
        let url = self.driver.config.borrow().config.mcpd_url.clone();
        if url.is_some_and(|url| url != *self.link.mcpd.url()) {
            return true;
        }
        let declaration = self.driver.backends.declaration();
        let Some(now) = self.driver.stop.run_until_cancelled(declaration).await else {
            return true;
        };
        let same = |a: &Provider, b: &Provider| {
            // The state travels by heartbeat.
            let a = Provider { initial_status: b.initial_status.clone(), ..a.clone() };
            a == *b
        };
        now.len() != declared.len() || !now.iter().zip(declared).all(|(a, b)| same(a, b))
    }

    /// Sends a heartbeat; gives the time of the next.
    fn beat(&mut self) -> Instant {
        let current = self.link.session.epoch.is_some();
        let beat = Heartbeat {
            provider_session_id: self.link.session.id.clone(),
            epoch: self.link.session.epoch,
            llms: self.driver.backends.reports(),
            inflight: current.then(|| self.driver.tasks.ids()),
        };
        let mcpd = self.link.mcpd.clone();
        let send: BoxFuture<'static, _> = Box::pin(async move { mcpd.heartbeat(&beat).await });
        self.beating = Some(send);
        let busy = self.driver.tasks.is_busy();
        let times = &self.driver.times;
        Instant::now() + beat_after(times, self.heartbeat, busy, rand::random())
    }

    fn stop_tasks(&self, reply: &HeartbeatReply) {
        for id in reply.cancel.iter().chain(&reply.unknown) {
            self.driver.tasks.cancel(id);
        }
    }

    /// This one, and what came with it; no more than waits at once, so that others get their turn.
    fn hear_all(&mut self, first: Signal) -> Option<Ending> {
        let mut ending = self.hear(first);
        for _ in 0..limits::EVENTS {
            let (None, Some(signal)) = (&ending, self.channel.waiting()) else {
                break;
            };
            ending = self.hear(signal);
        }
        ending
    }

    fn hear(&mut self, signal: Signal) -> Option<Ending> {
        match signal {
            Signal::Open => {
                // A protocol-1 server says nothing more, and a poll is only asked when all is well.
                if self.link.session.epoch.is_none() || self.mode == Mode::Poll {
                    self.online();
                }
                None
            }
            Signal::Buffered => {
                tracing::warn!("a proxy holds the control channel back: polling instead");
                self.mode = Mode::Poll;
                let (mcpd, session) = (self.link.mcpd.clone(), self.link.session.clone());
                self.channel = Channel::open(mcpd, session, Mode::Poll, self.driver.times);
                None
            }
            Signal::Ended(ending) => Some(ending),
            Signal::Event(event) => self.obey(&event),
            Signal::LeftOut(event) => {
                self.leave_out(&event);
                None
            }
        }
    }

    /// An event was too long: if it was a task, its caller is to hear of it soon.
    fn leave_out(&self, left: &TooLong) {
        self.link.log_budget.log(|| tracing::warn!("{left}: it was left out"));
        let is_task = matches!(left.name.as_str(), event::TASK | "message");
        let Some(id) = server_text::task_id_in(&left.prefix).filter(|_| is_task) else { return };
        let report = task::left_out(Arc::clone(&self.link), id.clone(), left.to_string());
        self.driver.tasks.attach(&id, report);
    }

    fn obey(&mut self, heard: &Event) -> Option<Ending> {
        let data = heard.data.as_str();
        match heard.name.as_str() {
            event::HELLO => self.greet(&self.read::<Hello>(data)?),
            // The seed's frames may be nameless; what they are stands in them.
            event::TASK | "message" => {
                let task = server_text::checked_task(self.usable(Task::read(data))?);
                let odd = || tracing::warn!("a task was ignored: its id is no task's id");
                match task {
                    Some(task) => self.start(task),
                    None => self.link.log_budget.log(odd),
                }
            }
            event::CANCEL => {
                let cancel = self.read::<Cancel>(data)?;
                self.driver.tasks.cancel(&cancel.task_id);
            }
            event::PROBE => {
                let confirmed = self.read::<Confirmed>(data)?;
                if let Some(probe) = &mut self.probe {
                    probe.confirm(&confirmed.id);
                }
            }
            event::DRAIN => {
                let drain = self.read::<Drain>(data)?;
                return Some(Ending::Drain(Duration::from_millis(drain.reconnect_after_ms)));
            }
            event::SUPERSEDED => return Some(Ending::Superseded),
            event::REVOKED => {
                let reason = self.read::<Revoked>(data).unwrap_or_default().reason;
                return Some(Ending::Revoked(server_text::clean(&reason)));
            }
            _ => {}
        }
        None
    }

    fn greet(&mut self, hello: &Hello) {
        if hello.heartbeat_seconds > 0 {
            self.heartbeat =
                reconnect_policy::heartbeat(&self.driver.times, hello.heartbeat_seconds);
        }
        if self.mode == Mode::Stream && self.link.session.epoch.is_some() {
            self.probe = Some(UploadProbe::start(&self.link, self.driver.times.probe));
        }
        self.online();
    }

    fn online(&mut self) {
        self.policy.online(Instant::now());
        let mode = if self.mode == Mode::Stream { "stream" } else { "poll" };
        // A proxy that holds the channel back is not to be trusted with uploads either.
        let chunked = self.mode == Mode::Poll;
        self.link.chunked.store(chunked, Ordering::Relaxed);
        let upload = match self.link.session.epoch {
            None => "results",
            Some(_) if chunked => "pieces",
            Some(_) => "stream",
        };
        self.driver.board.send_modify(|status| {
            status.channel = Some(mode.into());
            status.upload = Some(upload.into());
            if !matches!(status.connection, ConnectionState::Online { .. }) {
                status.connection = ConnectionState::Online { since: unix_ms() };
                tracing::info!(channel = mode, "online");
            }
        });
    }

    fn choose_upload(&mut self, held_back: bool) {
        self.probe = None;
        self.link.chunked.store(held_back, Ordering::Relaxed);
        if held_back {
            tracing::warn!("a proxy holds uploads back: answers go up in pieces");
            self.driver.board.send_modify(|status| status.upload = Some("pieces".into()));
        }
    }

    fn start(&self, task: Task) {
        let (link, backends) = (Arc::clone(&self.link), Arc::clone(&self.driver.backends));
        let tasks = &self.driver.tasks;
        let started = match task {
            Task::Wake(task) => {
                let id = task.task_id.clone();
                tasks.attach(&id, task::wake(link, backends, task))
            }
            Task::Infer(task) => {
                tasks.start(shown(&task), |stop| task::infer(link, backends, task, stop))
            }
        };
        if !started {
            let why = "a task was not taken: it runs already, or too many do";
            self.link.log_budget.log(|| tracing::warn!("{why}"));
        }
    }

    /// An event that cannot be read is left out, without a word of what is in it.
    fn read<T: serde::de::DeserializeOwned>(&self, data: &str) -> Option<T> {
        self.usable(serde_json::from_str(data))
    }

    fn usable<T>(&self, read: serde_json::Result<T>) -> Option<T> {
        let complain = |e: &serde_json::Error| {
            let column = e.column();
            self.link.log_budget.log(|| tracing::warn!(column, "an event is not usable"));
        };
        read.inspect_err(complain).ok()
    }
}

async fn answer(beating: &mut Beating) -> Result<HeartbeatReply, Fault> {
    match beating {
        Some(beating) => beating.await,
        None => std::future::pending().await,
    }
}

fn shown(task: &InferTask) -> RunningTask {
    RunningTask {
        task_id: task.task_id.clone(),
        llm: task.llm_name.clone(),
        path: task.path.clone().unwrap_or_default(),
        started: unix_ms(),
        user: task.user.clone(),
    }
}
