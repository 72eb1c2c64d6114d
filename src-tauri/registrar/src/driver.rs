//! Keeps one session with mcpd: registers what is published, holds the connection, and comes back
//! after errors. [`crate::reconnect_policy`] decides what follows an error.

mod account;
mod connection;
mod control_events;
mod registration;
mod suspend;
mod upload_probe;

use crate::backends::Backends;
use crate::clock::unix_ms;
use crate::config_watch::{self, Snapshot};
use crate::credentials::CredentialsError;
use crate::home::Home;
use crate::limits::Times;
use crate::name_requests;
use crate::reconnect_policy::{Next, ReconnectPolicy};
use crate::running_tasks::RunningTasks;
use crate::status::{ConnectionState, StatusSender};
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
            if self.publishes_nothing() {
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
    async fn shut_down(&self, account: Option<Account>) {
        let withdrawal = async {
            if let Some(account) = &account {
                self.withdraw(account).await;
            }
        };
        let recipes = self.backends.end_recipes();
        tokio::join!(withdrawal, recipes, self.tasks.finish(self.times.withdraw));
        self.set_connection(ConnectionState::Idle);
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
        if !matches!(self.status.borrow().connection, ConnectionState::Online { .. }) {
            self.set_connection(ConnectionState::Connecting);
        }
        let registering = async {
            let declared = self.backends.declaration().await;
            (self.register(account, declared.clone()).await, declared)
        };
        // A server that does not answer must delay neither the end nor an unpublish.
        let (registered, declared) = match self.unless_changed(registering).await {
            None => return Next::Register,
            Some((Ok(mut registered), declared)) => {
                self.set_name_requests(std::mem::take(&mut registered.name_requests));
                (registered, declared)
            }
            Some((Err(fault), _)) => {
                return policy.ended(fault.into(), Instant::now(), rand::random());
            }
        };
        match connection::hold(self, account, registered, &declared, policy).await {
            None => Next::Register,
            Some(ending) => policy.ended(ending, Instant::now(), rand::random()),
        }
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
