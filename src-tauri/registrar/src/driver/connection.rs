//! One registration while it lasts: signals come in by the control channel, heartbeats go out.
//! [`super::control_events`] obeys the server's events.

use super::account::Account;
use super::network::NetworkPath;
use super::registration::differ;
use super::suspend::SuspendDetector;
use super::upload_probe::UploadProbe;
use super::{Driver, config_watch};
use crate::control_channel::{ControlChannel, Signal};
use crate::limits;
use crate::mcpd_client::Fault;
use crate::protocol1;
use crate::reconnect_policy::{self, Ending, ReconnectPolicy, heartbeat_delay};
use crate::server_link::ServerLink;
use crate::uplink::Carrier;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::publisher::{Heartbeat, HeartbeatReply, Provider, Registered};

/// Holds the connection until it ends. `None`: it must register again at once. When nothing is
/// published, it ends with the last running task.
pub(super) async fn hold(
    driver: &mut Driver,
    account: &Account,
    registered: Registered,
    declared: &[Provider],
    policy: &mut ReconnectPolicy,
) -> Option<Ending> {
    let session = protocol1::session_of(&registered);
    let link = Arc::new(ServerLink::new(account.mcpd.clone(), session));
    driver.uplink = None;
    driver.tasks.resume(&registered);
    start_uplink(driver, &link);
    let mut connection = Connection {
        heartbeat: reconnect_policy::heartbeat_period(&driver.times, registered.heartbeat_seconds),
        channel: open_channel(&link, driver),
        link,
        heartbeat_in_flight: None,
        probe: None,
        path: None,
        drain: None,
        is_leaving: driver.stop.is_cancelled() || driver.publishes_nothing(),
        driver,
        policy,
    };
    let ending = connection.run(declared).await;
    connection.drain.map(Ending::Drain).or(ending)
}

type HeartbeatInFlight = Option<BoxFuture<'static, Result<HeartbeatReply, Fault>>>;

pub(super) struct Connection<'a> {
    pub(super) driver: &'a mut Driver,
    pub(super) policy: &'a mut ReconnectPolicy,
    pub(super) link: Arc<ServerLink>,
    /// Time between heartbeats of an idle publisher.
    pub(super) heartbeat: Duration,
    pub(super) channel: ControlChannel,
    /// At most one heartbeat at a time.
    heartbeat_in_flight: HeartbeatInFlight,
    pub(super) probe: Option<UploadProbe>,
    /// The network that the channel was opened over.
    path: Option<NetworkPath>,
    /// The server shuts down and asks for a pause of this length: the connection ends with the last
    /// running task.
    pub(super) drain: Option<Duration>,
    /// Nothing is published any more: the connection ends with the last running task.
    pub(super) is_leaving: bool,
}

impl Connection<'_> {
    async fn run(&mut self, declared: &[Provider]) -> Option<Ending> {
        let times = self.driver.times;
        let mut heartbeat_at = Instant::now();
        let mut suspend = SuspendDetector::new();
        let mut suspend_check = tokio::time::interval(times.clock_every);
        let mut network_check = tokio::time::interval(times.network_every);
        let stream_again = tokio::time::sleep(times.stream_again);
        tokio::pin!(stream_again);
        let is_stopping = self.driver.stop.is_cancelled();
        loop {
            let is_last = self.is_leaving || self.drain.is_some();
            let is_sending = self.heartbeat_in_flight.is_some();
            let is_fallback = self.link.transport().is_fallback();
            tokio::select! {
                () = self.driver.stop.cancelled(), if !is_stopping => return None,
                () = self.driver.tasks.until_idle(), if is_last => return None,
                fault = uplink_ended(&mut self.driver.uplink) => return Some(fault.into()),
                () = self.driver.reconnect.notified() => return Some(Ending::Resume),
                () = config_watch::changed(&mut self.driver.config), if !is_stopping => {
                    if self.must_register(declared).await {
                        return None;
                    }
                }
                signal = self.channel.next() => {
                    if let Some(ending) = self.handle_signals(signal) {
                        return Some(ending);
                    }
                }
                reply = heartbeat_reply(&mut self.heartbeat_in_flight), if is_sending => {
                    self.heartbeat_in_flight = None;
                    match reply {
                        Ok(reply) => {
                            if self.apply_reply(reply) {
                                return None;
                            }
                        }
                        Err(fault) => return Some(fault.into()),
                    }
                }
                () = tokio::time::sleep_until(heartbeat_at), if !is_sending => {
                    heartbeat_at = self.send_heartbeat();
                }
                () = self.driver.heartbeat_now.notified(), if !is_sending => {
                    heartbeat_at = self.send_heartbeat();
                }
                Some(held_back) = UploadProbe::result(&mut self.probe) => {
                    self.apply_probe(held_back);
                }
                _ = suspend_check.tick() => {
                    if suspend.check(&times) {
                        return Some(Ending::Resume);
                    }
                }
                _ = network_check.tick() => {
                    if self.path.is_some_and(NetworkPath::has_changed) {
                        tracing::info!("the network has changed");
                        return Some(Ending::Resume);
                    }
                }
                () = &mut stream_again, if is_fallback => return Some(Ending::Resume),
            }
        }
    }

    /// Applies a changed configuration; true if it changes what is registered.
    async fn must_register(&mut self, declared: &[Provider]) -> bool {
        self.driver.apply_config();
        if self.driver.publishes_nothing() {
            return !self.is_leaving;
        }
        let url = self.driver.config.borrow().config.mcpd_url.clone();
        if url.is_some_and(|url| url != *self.link.mcpd.url()) {
            return true;
        }
        let declaration = self.driver.backends.declaration();
        let Some(now) = self.driver.stop.run_until_cancelled(declaration).await else {
            return true;
        };
        differ(&now, declared)
    }

    /// Sends a heartbeat; returns the time of the next one.
    fn send_heartbeat(&mut self) -> Instant {
        let session = &self.link.session;
        let heartbeat = Heartbeat {
            provider_session_id: session.id.clone(),
            epoch: session.epoch,
            llms: self.driver.backends.reports(),
            inflight: session.speaks_v2().then(|| self.driver.tasks.ids()),
        };
        let mcpd = self.link.mcpd.clone();
        let send: BoxFuture<'static, _> = Box::pin(async move { mcpd.heartbeat(&heartbeat).await });
        self.heartbeat_in_flight = Some(send);
        let busy = self.driver.tasks.is_busy();
        let times = &self.driver.times;
        Instant::now() + heartbeat_delay(times, self.heartbeat, busy, rand::random())
    }

    /// Applies the reply to a heartbeat; true if the server asks for another register.
    fn apply_reply(&mut self, reply: HeartbeatReply) -> bool {
        reply.cancel.iter().for_each(|id| self.driver.tasks.cancel(id));
        reply.unknown.iter().for_each(|id| self.driver.tasks.finished(id));
        self.driver.set_name_requests(reply.name_requests);
        reply.register_again && self.policy.registers_again(Instant::now())
    }

    /// Handles this signal and up to [`limits::EVENTS`] queued ones, so that other branches are not
    /// starved.
    fn handle_signals(&mut self, first: Signal) -> Option<Ending> {
        let mut ending = self.handle_signal(first);
        for _ in 0..limits::EVENTS {
            let (None, Some(signal)) = (&ending, self.channel.try_next()) else {
                break;
            };
            ending = self.handle_signal(signal);
        }
        ending
    }

    fn handle_signal(&mut self, signal: Signal) -> Option<Ending> {
        match signal {
            Signal::Open(peer) => {
                self.path = peer.and_then(NetworkPath::to);
                if self.link.transport().is_online_when_open() {
                    self.set_online();
                }
                None
            }
            Signal::HeldBack => {
                tracing::warn!("a proxy holds the control channel back: polling instead");
                self.link.change_transport(|transport| transport.fall_back_to_polling());
                self.channel = open_channel(&self.link, self.driver);
                self.restart_uplink();
                None
            }
            Signal::Ended(ending) => Some(ending),
            Signal::Event(event) => self.obey(&event),
            Signal::TooLong(event) => {
                self.report_too_long(&event);
                None
            }
        }
    }

    /// Sends answers in the mode that is in force now.
    fn restart_uplink(&mut self) {
        self.driver.uplink = None;
        self.driver.tasks.answers().uplink_lost();
        start_uplink(self.driver, &self.link);
    }

    fn apply_probe(&mut self, held_back: bool) {
        self.probe = None;
        self.link.change_transport(|transport| transport.set_uploads_are_held_back(held_back));
        if held_back {
            tracing::warn!("a proxy holds uploads back: answers go up in batches");
            self.restart_uplink();
            let upload = self.link.upload_mode().as_str();
            self.driver.status.send_modify(|status| status.upload = Some(upload.into()));
        }
    }
}

fn open_channel(link: &ServerLink, driver: &Driver) -> ControlChannel {
    let mode = link.transport().channel();
    ControlChannel::open(link.mcpd.clone(), link.session.clone(), mode, driver.times)
}

fn start_uplink(driver: &mut Driver, link: &Arc<ServerLink>) {
    let (answers, times) = (Arc::clone(driver.tasks.answers()), driver.times);
    let start = || Carrier::start(Arc::clone(link), answers, times);
    driver.uplink = link.session.speaks_v2().then(start);
}

async fn uplink_ended(uplink: &mut Option<Carrier>) -> Fault {
    match uplink {
        Some(carrier) => carrier.ended().await,
        None => std::future::pending().await,
    }
}

async fn heartbeat_reply(in_flight: &mut HeartbeatInFlight) -> Result<HeartbeatReply, Fault> {
    match in_flight {
        Some(heartbeat) => heartbeat.await,
        None => std::future::pending().await,
    }
}
