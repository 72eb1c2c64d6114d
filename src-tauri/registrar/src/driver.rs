//! Keeps one session with mcpd: registers what is published, follows the control channel, beats,
//! and comes back after errors. What comes after an error is [`crate::reconnect_policy`]'s decision.

mod connection;
mod suspend;
mod upload_probe;

use crate::backends::Backends;
use crate::client::Mcpd;
use crate::clock::unix_ms;
use crate::config_watch::Snapshot;
use crate::credentials::{self, Credentials, CredentialsError};
use crate::home::Home;
use crate::identity;
use crate::limits::Times;
use crate::name_requests;
use crate::reconnect_policy::{Next, ReconnectPolicy};
use crate::running_tasks::RunningTasks;
use crate::status::{ConnectionState, Status, StatusSender};
use keychain::Keychain;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::publisher::{Instance, NameRequest, Provider, Register, Registered};

/// Everything that outlives a connection.
pub(crate) struct Driver {
    pub(crate) home: Home,
    pub(crate) keychain: Keychain,
    pub(crate) config: watch::Receiver<Arc<Snapshot>>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) tasks: Arc<RunningTasks>,
    pub(crate) board: StatusSender,
    pub(crate) times: Times,
    pub(crate) stop: CancellationToken,
    /// A person wants a connection now.
    pub(crate) reconnect: Arc<Notify>,
    /// A backend changed: the server should know now.
    pub(crate) beat: Arc<Notify>,
    /// What the server said last of other users who would like to serve a name of this owner.
    pub(crate) name_requests: Vec<NameRequest>,
    /// The next register takes the session over from another machine.
    pub(crate) takeover: Arc<AtomicBool>,
}

/// What is known while something is published.
struct Account {
    mcpd: Mcpd,
    credentials: Credentials,
    instance: Instance,
    /// The session that the server gave, once registered.
    session: Option<String>,
}

/// Why a wait ended.
enum Woken {
    Time,
    Changed,
    Stop,
}

impl Driver {
    /// Publishes until it is told to stop; then says goodbye.
    pub(crate) async fn run(mut self) {
        let mut policy = ReconnectPolicy::new(self.times);
        let mut account: Option<Account> = None;
        while !self.stop.is_cancelled() {
            self.take_config();
            if self.nothing_published() {
                self.leave(&mut account).await;
                self.hear_requests(Vec::new());
                self.say(self.resting());
                self.wait(None).await;
                continue;
            }
            if let Err(waiting) = self.sign_in(&mut account).await {
                // Signed out: the rows go, as long as the old token still works.
                if matches!(waiting, ConnectionState::NotConfigured { .. }) {
                    self.leave(&mut account).await;
                    self.hear_requests(Vec::new());
                }
                self.say(waiting);
                self.wait(Some(self.times.credentials_every)).await;
                continue;
            }
            let Some(account) = &mut account else {
                continue;
            };
            match self.connect(account, &mut policy).await {
                Next::Register => {}
                Next::Wait { delay, message, attempt } => {
                    self.pause(delay, message, attempt).await;
                }
                Next::Stop(message) => self.until_credentials_change(account, message).await,
            }
        }
        let goodbye = async {
            if let Some(account) = &account {
                self.withdraw(account).await;
            }
        };
        let recipes = self.backends.end_recipes();
        tokio::join!(goodbye, recipes, self.tasks.finish(self.times.goodbye));
        self.say(ConnectionState::Idle);
    }

    /// Withdraws what the account has published. A stop in the middle of it leaves the account to the
    /// last goodbye, which has its own time.
    async fn leave(&self, account: &mut Option<Account>) {
        let Some(leaving) = account else { return };
        if self.stop.run_until_cancelled(self.withdraw(leaving)).await.is_some() {
            *account = None;
        }
    }

    /// The work's result; none when it is to stop, or the file changed, before that.
    async fn unless_changed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut config = self.config.clone();
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = crate::config_watch::changed(&mut config) => None,
            done = work => Some(done),
        }
    }

    /// Takes over what the file says now.
    fn take_config(&mut self) {
        let snapshot = Arc::clone(&self.config.borrow_and_update());
        self.backends.update(&snapshot.config);
        self.board.send_modify(|status| {
            status.config_problem = snapshot.problem.clone();
            status.warnings = snapshot.warnings.clone();
        });
        self.show_requests();
    }

    /// Takes over which other users would like to serve a name of this owner: all of them.
    fn hear_requests(&mut self, sent: Vec<NameRequest>) {
        self.name_requests = name_requests::usable(sent);
        self.show_requests();
    }

    fn show_requests(&self) {
        let open = name_requests::open(&self.name_requests, &self.config.borrow().config);
        self.board.send_if_modified(|status| {
            let other = status.name_requests != open;
            status.name_requests = open;
            other
        });
    }

    fn nothing_published(&self) -> bool {
        let snapshot = self.config.borrow();
        snapshot.hold.is_some() || snapshot.config.published().next().is_none()
    }

    /// Why nothing is published.
    fn resting(&self) -> ConnectionState {
        let snapshot = self.config.borrow();
        match snapshot.hold {
            Some(hold) if snapshot.config.published().next().is_some() => {
                ConnectionState::Held(hold)
            }
            Some(_) | None => ConnectionState::Idle,
        }
    }

    async fn load_credentials(&self) -> Result<Credentials, CredentialsError> {
        let url = self.config.borrow().config.mcpd_url.clone();
        credentials::load(&self.home, url.as_ref(), &self.keychain).await
    }

    /// Makes the account fit the credentials, or says what is missing. A changed server gets a
    /// goodbye first.
    async fn sign_in(&self, account: &mut Option<Account>) -> Result<(), ConnectionState> {
        let loaded = match self.stop.run_until_cancelled(self.load_credentials()).await {
            Some(Ok(loaded)) => loaded,
            None => return Err(ConnectionState::Connecting),
            Some(Err(CredentialsError::Locked)) => return Err(ConnectionState::WaitingForKeyring),
            Some(Err(error)) => {
                return Err(ConnectionState::NotConfigured { message: error.to_string() });
            }
        };
        // It may have moved, from a file into the keychain say.
        self.board.send_modify(|status| {
            status.server = Some(credentials::origin(&loaded.url));
            status.credentials = Some(loaded.source.as_str().into());
        });
        if account.as_ref().is_some_and(|account| account.credentials == loaded) {
            return Ok(());
        }
        let moved =
            |old: &Account| credentials::origin(old.mcpd.url()) != credentials::origin(&loaded.url);
        if account.as_ref().is_some_and(moved) {
            self.leave(account).await;
            if account.is_some() {
                return Err(ConnectionState::Connecting);
            }
        }
        let mcpd = Mcpd::new(loaded.clone());
        let mcpd = mcpd.map_err(|message| ConnectionState::NotConfigured { message })?;
        *account = Some(Account {
            mcpd,
            session: identity::session(&self.home, &loaded.url),
            credentials: loaded,
            instance: identity::instance(&self.home),
        });
        Ok(())
    }

    /// Registers, and holds the session for as long as it goes.
    async fn connect(&mut self, account: &mut Account, policy: &mut ReconnectPolicy) -> Next {
        if !matches!(self.board.borrow().connection, ConnectionState::Online { .. }) {
            self.say(ConnectionState::Connecting);
        }
        let registering = async {
            let declared = self.backends.declaration().await;
            (self.register(account, declared.clone()).await, declared)
        };
        // A server that does not answer holds up neither the end nor an unpublish.
        let (registered, declared) = match self.unless_changed(registering).await {
            None => return Next::Register,
            Some((Ok(mut registered), declared)) => {
                self.hear_requests(std::mem::take(&mut registered.name_requests));
                (registered, declared)
            }
            Some((Err(fault), _)) => {
                return policy.ended(fault.into(), Instant::now(), rand::random());
            }
        };
        let ending = connection::follow(self, account, registered, &declared, policy).await;
        match ending {
            None => Next::Register,
            Some(ending) => policy.ended(ending, Instant::now(), rand::random()),
        }
    }

    async fn register(
        &self,
        account: &mut Account,
        providers: Vec<Provider>,
    ) -> Result<Registered, crate::client::Fault> {
        let register = Register {
            protocol: wire::PROTOCOL_2,
            provider_session_id: account.session.clone(),
            inflight: self.tasks.ids(),
            instance: Some(account.instance.clone()),
            takeover: self.takeover.load(Ordering::Relaxed),
            providers,
        };
        let registered = account.mcpd.register(&register).await?;
        self.takeover.store(false, Ordering::Relaxed);
        let id = &registered.provider_session_id;
        if account.session.as_ref() != Some(id) {
            if let Err(error) = identity::keep_session(&self.home, account.mcpd.url(), id) {
                tracing::warn!(%error, "the session cannot be kept; a restart gets new rows");
            }
            account.session = Some(id.clone());
        }
        self.backends.rejected(&registered.rejected);
        for refused in &registered.rejected {
            tracing::warn!(llm = refused.name, code = refused.code.as_str(), "{}", refused.detail);
        }
        for id in &registered.cancel {
            self.tasks.cancel(id);
        }
        tracing::info!(llms = registered.llms.len(), protocol = registered.protocol, "registered");
        Ok(registered)
    }

    /// The goodbye: an empty set. What runs may run on.
    async fn withdraw(&self, account: &Account) {
        let Some(id) = &account.session else { return };
        let register = Register {
            protocol: wire::PROTOCOL_2,
            provider_session_id: Some(id.clone()),
            inflight: self.tasks.ids(),
            instance: Some(account.instance.clone()),
            ..Register::default()
        };
        match tokio::time::timeout(self.times.goodbye, account.mcpd.register(&register)).await {
            Ok(Ok(_)) => tracing::info!("withdrawn"),
            Ok(Err(fault)) => tracing::info!(%fault, "the goodbye did not arrive"),
            Err(_) => tracing::info!("the goodbye was not answered in time"),
        }
    }

    async fn pause(&mut self, delay: Duration, message: String, attempt: u32) {
        tracing::warn!(attempt, seconds = delay.as_secs_f64(), "{message}; trying again");
        let retry_at = unix_ms() + u64::try_from(delay.as_millis()).unwrap_or_default();
        self.say(ConnectionState::Reconnecting { message, retry_at, attempt });
        self.wait(Some(delay)).await;
    }

    /// Only a person can help: by a new token, another server, or a click.
    async fn until_credentials_change(&mut self, account: &Account, message: String) {
        tracing::error!("{message}; stopped until the credentials change");
        self.say(ConnectionState::Stopped { message });
        while let Woken::Time = self.wait(Some(self.times.credentials_every)).await {
            match self.stop.run_until_cancelled(self.load_credentials()).await {
                Some(Ok(now)) if now == account.credentials => {}
                Some(Err(CredentialsError::Locked)) => {}
                None | Some(Ok(_) | Err(_)) => return,
            }
        }
    }

    async fn wait(&mut self, at_most: Option<Duration>) -> Woken {
        let time = async {
            match at_most {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => Woken::Stop,
            () = crate::config_watch::changed(&mut self.config) => Woken::Changed,
            () = self.reconnect.notified() => Woken::Changed,
            () = time => Woken::Time,
        }
    }

    fn say(&self, connection: ConnectionState) {
        self.board.send_if_modified(|status: &mut Status| {
            let other = status.connection != connection;
            status.connection = connection;
            other
        });
    }
}
