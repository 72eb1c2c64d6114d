//! Keeps one session with mcpd: registers what is published, holds the connection, and comes back
//! after errors. [`crate::reconnect_policy`] decides what follows an error.

mod account;
mod connection;
mod control_events;
mod network;
mod registration;
mod suspend;
mod upload_probe;

use crate::backends::Backends;
use crate::clock::unix_ms;
use crate::config_watch::{self, Snapshot};
use crate::credentials::CredentialsError;
use crate::home::Home;
use crate::limits::Times;
use crate::mcpd_client::Fault;
use crate::name_requests;
use crate::reconnect_policy::{Ending, Next, ReconnectPolicy};
use crate::running_tasks::RunningTasks;
use crate::status::{ConnectionState, StatusSender};
use crate::uplink::Carrier;
use account::Account;
use keychain::Keychain;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::publisher::NameRequest;

/// Everything that outlives a connection.
pub(crate) struct Driver {
    pub(crate) home: Home,
    pub(crate) keychain: Keychain,
    pub(crate) config: watch::Receiver<Arc<Snapshot>>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) tasks: Arc<RunningTasks>,
    pub(crate) status: StatusSender,
    pub(crate) times: Times,
    pub(crate) stop: CancellationToken,
    /// Notified when a person wants a connection now.
    pub(crate) reconnect: Arc<Notify>,
    /// Notified when a backend's state changed: the next heartbeat is sent at once.
    pub(crate) heartbeat_now: Arc<Notify>,
    /// Requests of other users for names of this publisher, as the server sent them last.
    pub(crate) name_requests: Vec<NameRequest>,
    /// The next register takes the session over from another machine.
    pub(crate) takeover: Arc<AtomicBool>,
    /// Sends answers. It outlives the connection: a server that shuts down still takes them.
    pub(crate) uplink: Option<Carrier>,
    /// Since when there is no session.
    pub(crate) lost_since: Option<Instant>,
}

/// Why a wait ended.
enum WaitEnd {
    Elapsed,
    Changed,
    Stopped,
}

impl Driver {
    /// Publishes until it is stopped, then withdraws everything.
    pub(crate) async fn run(mut self) {
        let mut policy = ReconnectPolicy::new(self.times);
        let mut account: Option<Account> = None;
        while !self.stop.is_cancelled() {
            self.apply_config();
            self.give_up_lost_tasks();
            let is_leaving = self.publishes_nothing();
            // Tasks that run need the connection until their answers have arrived.
            if is_leaving && self.tasks.answers().is_empty() {
                self.leave(&mut account).await;
                self.set_name_requests(Vec::new());
                self.set_connection(self.idle_state());
                self.wait(None).await;
                continue;
            }
            if let Err(waiting) = self.sign_in(&mut account).await {
                // After a sign-out everything is withdrawn, as long as the old token still works.
                if matches!(waiting, ConnectionState::NotConfigured { .. }) {
                    self.leave(&mut account).await;
                    self.set_name_requests(Vec::new());
                }
                self.set_connection(waiting);
                self.wait(Some(self.times.credentials_every)).await;
                continue;
            }
            let Some(account) = &mut account else {
                continue;
            };
            match self.connect(account, &mut policy).await {
                Next::Register => {}
                Next::Wait { .. } | Next::Stop(_) if is_leaving => self.tasks.abandon(),
                Next::Wait { delay, message, attempt } => {
                    self.wait_for_retry(delay, message, attempt).await;
                }
                Next::Stop(message) => self.wait_for_credentials(account, message).await,
            }
        }
        self.shut_down(account).await;
    }

    /// Withdraws everything, ends recipes and lets requests run to their end, for at most
    /// [`Times::withdraw`] and a moment.
    async fn shut_down(mut self, account: Option<Account>) {
        let (backends, tasks) = (Arc::clone(&self.backends), Arc::clone(&self.tasks));
        let (times, ended) = (self.times, CancellationToken::new());
        let withdrawal = async {
            let Some(mut account) = account else { return };
            // Answers that are not finished need a session, whatever is registered.
            account.offers |= !tasks.answers().is_empty();
            let Some(registered) = self.withdraw(&mut account).await else { return };
            if tasks.answers().is_empty() {
                return;
            }
            let mut policy = ReconnectPolicy::new(times);
            let rest = connection::hold(&mut self, &account, registered, &[], &mut policy);
            ended.run_until_cancelled(rest).await;
        };
        let finishing = async {
            tasks.finish(times.withdraw).await;
            ended.cancel();
        };
        tokio::join!(withdrawal, backends.end_recipes(), finishing);
        self.set_connection(ConnectionState::Idle);
    }

    /// Stops the tasks whose server has not been reached for so long that it has given them up.
    fn give_up_lost_tasks(&mut self) {
        if self.lost_since.is_some_and(|since| since.elapsed() >= self.times.lost) {
            self.lost_since = None;
            self.tasks.abandon();
        }
    }

    /// Applies the configuration in force.
    fn apply_config(&mut self) {
        let snapshot = Arc::clone(&self.config.borrow_and_update());
        self.backends.update(&snapshot.config);
        self.status.send_modify(|status| {
            status.config_problem = snapshot.problem.clone();
            status.warnings = snapshot.warnings.clone();
        });
        self.show_name_requests();
    }

    /// Replaces the requests of other users for names of this publisher.
    fn set_name_requests(&mut self, sent: Vec<NameRequest>) {
        self.name_requests = name_requests::usable(sent);
        self.show_name_requests();
    }

    fn show_name_requests(&self) {
        let open = name_requests::open(&self.name_requests, &self.config.borrow().config);
        self.status.send_if_modified(|status| {
            let changed = status.name_requests != open;
            status.name_requests = open;
            changed
        });
    }

    fn publishes_nothing(&self) -> bool {
        let snapshot = self.config.borrow();
        snapshot.hold.is_some() || snapshot.config.published().next().is_none()
    }

    /// The state to show while nothing is published.
    fn idle_state(&self) -> ConnectionState {
        let snapshot = self.config.borrow();
        match snapshot.hold {
            Some(hold) if snapshot.config.published().next().is_some() => {
                ConnectionState::Held(hold)
            }
            Some(_) | None => ConnectionState::Idle,
        }
    }

    /// Registers, and holds the connection until it ends.
    async fn connect(&mut self, account: &mut Account, policy: &mut ReconnectPolicy) -> Next {
        let is_leaving = self.publishes_nothing();
        if is_leaving {
            self.set_connection(self.idle_state());
        } else if !matches!(self.status.borrow().connection, ConnectionState::Online { .. }) {
            self.set_connection(ConnectionState::Connecting);
        }
        let registering = async {
            let declared = if is_leaving { Vec::new() } else { self.backends.declaration().await };
            (self.register(account, declared.clone()).await, declared)
        };
        // A server that does not answer must delay neither the end nor an unpublish.
        let (registered, declared) = match self.unless_changed(registering).await {
            None => return Next::Register,
            Some((Ok(mut registered), declared)) => {
                self.set_name_requests(std::mem::take(&mut registered.name_requests));
                (registered, declared)
            }
            Some((Err(fault), _)) => return self.ended(fault.into(), policy),
        };
        self.lost_since = None;
        match connection::hold(self, account, registered, &declared, policy).await {
            None => Next::Register,
            Some(ending) => {
                if matches!(ending, Ending::Lost(_) | Ending::Resume) {
                    account.drop_idle_connections();
                }
                self.ended(ending, policy)
            }
        }
    }

    /// Decides what follows an ending. The uplink stays if it may still work.
    fn ended(&mut self, ending: Ending, policy: &mut ReconnectPolicy) -> Next {
        let (now, random) = (Instant::now(), rand::random());
        self.lost_since.get_or_insert(now);
        match ending {
            Ending::Lost(_) | Ending::Drain(_) | Ending::Fault(Fault::Failed { .. }) => {}
            Ending::Fault(_) | Ending::Superseded | Ending::Revoked(_) | Ending::Resume => {
                self.uplink = None;
            }
        }
        let next = policy.ended(ending, self.tasks.is_busy(), now, random);
        if let Next::Stop(_) = next {
            self.tasks.abandon();
        }
        next
    }

    /// Runs `work`; `None` if the configuration changes or publishing stops before its end.
    async fn unless_changed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut config = self.config.clone();
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = config_watch::changed(&mut config) => None,
            done = work => Some(done),
        }
    }

    async fn wait_for_retry(&mut self, delay: Duration, message: String, attempt: u32) {
        tracing::warn!(attempt, seconds = delay.as_secs_f64(), "{message}; trying again");
        let retry_at = unix_ms() + u64::try_from(delay.as_millis()).unwrap_or_default();
        self.set_connection(ConnectionState::Reconnecting { message, retry_at, attempt });
        self.wait(Some(delay)).await;
    }

    /// Waits until a person has changed something: the token, the server, or by a click.
    async fn wait_for_credentials(&mut self, account: &Account, message: String) {
        tracing::error!("{message}; stopped until the credentials change");
        self.set_connection(ConnectionState::Stopped { message });
        while let WaitEnd::Elapsed = self.wait(Some(self.times.credentials_every)).await {
            match self.stop.run_until_cancelled(self.load_credentials()).await {
                Some(Ok(now)) if now == account.credentials => {}
                Some(Err(CredentialsError::Locked)) => {}
                None | Some(Ok(_) | Err(_)) => return,
            }
        }
    }

    async fn wait(&mut self, max: Option<Duration>) -> WaitEnd {
        let time = async {
            match max {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => WaitEnd::Stopped,
            () = config_watch::changed(&mut self.config) => WaitEnd::Changed,
            () = self.reconnect.notified() => WaitEnd::Changed,
            () = time => WaitEnd::Elapsed,
        }
    }

    fn set_connection(&self, connection: ConnectionState) {
        self.status.send_if_modified(|status| {
            let changed = status.connection != connection;
            status.connection = connection;
            changed
        });
    }
}
