//! The published backends: whether they can answer, who wakes them, and when they may sleep.
//!
//! Each has a keeper, a task of its own, that looks at it every few seconds. A change of one
//! provider in the file reaches that provider only; requests that run go on with what they began.

mod backend;
mod backend_client;

pub(crate) use backend::{Backend, NoSlot, Running};
pub(crate) use backend_client::{BackendClient, BackendResponse, SendError};

use crate::config::{Config, ProviderConfig, Sleep};
use crate::home::Home;
use crate::http_clients;
use crate::limits::{self, Times};
use crate::provider;
use crate::status::{BackendState, StatusSender};
use crate::wake::{self, Recipes, Step, WakeError, WakeJournal};
use parking_lot::Mutex;
use reqwest::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wire::publisher::{FailureCode, LlmReport, Provider, Rejected, ReportedStatus};

/// All of them. One value for the whole registrar.
pub(crate) struct Backends {
    http: Client,
    client: BackendClient,
    recipes: Recipes,
    wakes: WakeJournal,
    times: Times,
    board: StatusSender,
    /// Tells the driver to send a heartbeat now.
    beat: Arc<Notify>,
    /// In the file's order.
    kept: Mutex<Vec<Kept>>,
    /// KiB of request bodies that may be fetched.
    bodies: Arc<Semaphore>,
}

const KIB: usize = 1024;

struct Kept {
    backend: Arc<Backend>,
    _keeper: AbortOnDropHandle<()>,
}

impl Backends {
    pub(crate) fn new(
        home: &Home,
        times: Times,
        board: StatusSender,
        beat: Arc<Notify>,
    ) -> Result<Arc<Self>, String> {
        let (http, client) = (http_clients::backend_client()?, BackendClient::new()?);
        let (recipes, wakes) = (Recipes::of(home), WakeJournal::of(home, times.recipe_again));
        let (kept, bodies) = (Mutex::default(), Arc::new(Semaphore::new(limits::BODIES / KIB)));
        Ok(Arc::new(Self { http, client, recipes, wakes, times, board, beat, kept, bodies }))
    }

    /// The client towards backends.
    pub(crate) fn http(&self) -> &Client {
        &self.http
    }

    /// What asks them.
    pub(crate) fn client(&self) -> &BackendClient {
        &self.client
    }

    /// Takes over what the file says now.
    pub(crate) fn update(self: &Arc<Self>, config: &Config) {
        {
            let mut kept = self.kept.lock();
            let mut before = std::mem::take(&mut *kept);
            for provider in config.published() {
                let at = before.iter().position(|k| k.backend.name() == provider.name);
                kept.push(match at {
                    Some(at) => {
                        let kept = before.swap_remove(at);
                        kept.backend.change(provider);
                        kept
                    }
                    None => self.keep(provider),
                });
            }
        }
        self.show();
    }

    fn keep(self: &Arc<Self>, provider: &ProviderConfig) -> Kept {
        let backend = Arc::new(Backend::new(provider.clone()));
        let keeper = Arc::clone(self).watch_over(Arc::clone(&backend));
        Kept { backend, _keeper: AbortOnDropHandle::new(tokio::spawn(keeper)) }
    }

    async fn watch_over(self: Arc<Self>, backend: Arc<Backend>) {
        loop {
            self.look(&backend).await;
            if let Some(sleep) = backend.may_sleep(Instant::now()) {
                self.put_to_sleep(&backend, &sleep).await;
            }
            self.recipes.bound_output(backend.name()).await;
            backend.until_poked(self.times.ready_every).await;
        }
    }

    /// The published backend of that name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Backend>> {
        let kept = self.kept.lock();
        kept.iter().find(|k| k.backend.name() == name).map(|k| Arc::clone(&k.backend))
    }

    fn all(&self) -> Vec<Arc<Backend>> {
        self.kept.lock().iter().map(|k| Arc::clone(&k.backend)).collect()
    }

    /// What a register says. Waits until each backend has been looked at once.
    pub(crate) async fn declaration(&self) -> Vec<Provider> {
        let mut declared = Vec::new();
        for backend in self.all() {
            backend.until_known().await;
            let provider = backend.provider();
            if provider.kind.info().is_some() {
                declared.push(declare(&provider, backend.state()));
            }
        }
        declared
    }

    /// What a heartbeat says.
    pub(crate) fn reports(&self) -> Vec<LlmReport> {
        let report = |backend: &Arc<Backend>| LlmReport {
            name: backend.name().to_owned(),
            status: reported(backend.state()),
            in_flight: backend.running(),
            queued: 0,
        };
        self.all().iter().filter(|b| b.state() != BackendState::Unknown).map(report).collect()
    }

    /// Marks those that the server did not take, and no others.
    pub(crate) fn rejected(&self, rejected: &[Rejected]) {
        for backend in self.all() {
            let why = rejected.iter().find(|r| r.name.eq_ignore_ascii_case(backend.name()));
            backend.set_rejected(why);
        }
        self.show();
    }

    /// A request begins at this backend, as soon as there is a slot; it ends with the value's drop.
    ///
    /// # Errors
    /// Too many wait for one, or the backend is being put to sleep, which would break the answer off.
    pub(crate) async fn begin(self: &Arc<Self>, backend: &Arc<Backend>) -> Result<Running, NoSlot> {
        let running = Running::begin(Arc::clone(self), Arc::clone(backend)).await?;
        self.show_running(backend);
        Ok(running)
    }

    /// Waits until so many further bytes of request bodies may be fetched.
    pub(crate) async fn room_for_body(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).ok()?;
        Arc::clone(&self.bodies).acquire_many_owned(kib).await.ok()
    }

    /// Looks whether the backend answers, unless a recipe is at work on it.
    async fn look(&self, backend: &Backend) {
        let Ok(_alone) = backend.recipe.try_lock() else {
            return;
        };
        self.client.prune();
        let provider = backend.provider();
        let seen = provider::probe(&self.http, &provider).await;
        self.see(backend, &provider, seen);
    }

    fn see(&self, backend: &Backend, provider: &ProviderConfig, seen: Result<(), String>) {
        let (state, message) = match seen {
            Ok(()) => (BackendState::Ready, None),
            // Asleep is no trouble; why the last wake failed stays in sight.
            Err(_) if provider.wake.is_some() && provider::key(provider).is_ok() => {
                (BackendState::Asleep, backend.wake_failure())
            }
            Err(why) => (BackendState::Down, Some(why)),
        };
        self.set(backend, state, message);
    }

    fn set(&self, backend: &Backend, state: BackendState, message: Option<String>) {
        if backend.set(state, message) {
            tracing::info!(llm = backend.name(), ?state, "the backend's state changed");
            self.show();
            self.beat.notify_one();
        }
    }

    /// Wakes it, once for all who ask at the same time. An awake one is left alone.
    pub(crate) async fn wake(&self, backend: &Backend) -> Result<Duration, WakeError> {
        let asked = Instant::now();
        let mut last = backend.recipe.lock().await;
        if let Some((ended, result)) = &*last
            && *ended >= asked
        {
            return result.clone();
        }
        let provider = backend.provider();
        let result = match provider::probe(&self.http, &provider).await {
            Ok(()) => Ok(asked.elapsed()),
            Err(why) if provider::key(&provider).is_err() => {
                Err(WakeError::new(FailureCode::NotReady, why))
            }
            Err(_) if !backend.may_run_recipe(Instant::now()) => Err(WakeError::too_often()),
            Err(_) => self.run_wake(backend, &provider).await,
        };
        let failure = result.as_ref().err().map(ToString::to_string);
        backend.set_wake_failure(failure);
        let seen = result.as_ref().map(|_| ()).map_err(ToString::to_string);
        self.see(backend, &provider, seen);
        *last = Some((Instant::now(), result.clone()));
        result
    }

    async fn run_wake(
        &self,
        backend: &Backend,
        provider: &ProviderConfig,
    ) -> Result<Duration, WakeError> {
        self.set(backend, BackendState::Waking, None);
        let name = backend.name();
        let watch = |step| match step {
            // What it is stays out of the log.
            Step::Recipe(_) => tracing::debug!(llm = name, "the wake recipe begins"),
            Step::NotReady(_) => self.beat.notify_one(),
            Step::Done(_) | Step::Ready => {}
        };
        let result = if let Some(_at_work) = self.wakes.begin(name) {
            let result = self.recipes.wake(&self.http, provider, watch).await;
            tracing::debug!(llm = name, "the wake ends");
            result
        } else {
            let max_wait = provider.wake.as_ref().map(|wake| wake.max_wait).unwrap_or_default();
            wake::until_ready(&self.http, provider, Instant::now(), max_wait, watch).await
        };
        match &result {
            Ok(took) => {
                self.wakes.awake(name);
                tracing::info!(llm = name, ms = took.as_millis(), "awake");
            }
            // The cause may quote the recipe's output: for the owner's screen, not for a log file.
            Err(error) => tracing::warn!(llm = name, code = error.code.as_str(), "the wake failed"),
        }
        result
    }

    async fn put_to_sleep(&self, backend: &Backend, sleep: &Sleep) {
        let _alone = backend.recipe.lock().await;
        let Some(_falling_asleep) = backend.fall_asleep() else { return };
        let now = Instant::now();
        if !backend.may_run_recipe(now) {
            return;
        }
        backend.used(now);
        if backend.provider().wake.is_some() {
            // The server is told before: from now on it wakes it first, and sends nothing.
            self.set(backend, BackendState::Asleep, None);
        }
        match self.recipes.sleep(backend.name(), sleep).await {
            Ok(()) => tracing::info!(llm = backend.name(), "idle: the sleep recipe ran"),
            Err(error) => {
                tracing::warn!(
                    llm = backend.name(),
                    code = error.code.as_str(),
                    "the sleep recipe failed"
                );
            }
        }
    }

    /// Ends the recipes that run; for the end of the program.
    pub(crate) async fn end_recipes(&self) {
        self.recipes.finish().await;
    }

    /// A request could not reach it: that is known from now on, and looked at again at once.
    pub(crate) fn unreachable(&self, backend: &Backend, why: String) {
        if backend.state() != BackendState::Waking {
            self.see(backend, &backend.provider(), Err(why));
        }
        backend.poke();
    }

    /// Shows how many requests run at a backend: with every one of them, so it touches nothing else.
    fn show_running(&self, backend: &Backend) {
        self.board.send_if_modified(|status| {
            let mut providers = status.providers.iter_mut();
            let shown = providers.find(|shown| shown.name == backend.name());
            let running = backend.running();
            shown.is_some_and(|shown| std::mem::replace(&mut shown.running, running) != running)
        });
    }

    /// Looks at the backends while it holds the board: what is shown last is what was seen last.
    fn show(&self) {
        self.board.send_if_modified(|status| {
            let providers = self.all().iter().map(|backend| backend.status()).collect();
            std::mem::replace(&mut status.providers, providers) != status.providers
        });
    }
}

fn reported(state: BackendState) -> ReportedStatus {
    match state {
        BackendState::Ready => ReportedStatus::Active,
        BackendState::Asleep | BackendState::Waking => ReportedStatus::Hibernating,
        BackendState::Unknown | BackendState::Down | BackendState::Rejected => {
            ReportedStatus::Inactive
        }
    }
}

/// `initialStatus` knows no `inactive`: a backend that is down for good is corrected by the
/// heartbeat that follows every register.
fn declare(provider: &ProviderConfig, state: BackendState) -> Provider {
    let hibernating = reported(state) == ReportedStatus::Hibernating;
    Provider {
        name: provider.name.clone(),
        kind: provider.kind.as_str().to_owned(),
        model: provider.model.clone(),
        tier: provider.tier.clone(),
        description: provider.description.clone(),
        initial_status: Some(if hibernating { "hibernating" } else { "active" }.into()),
        pool: provider.pool.clone(),
        share_name: provider.share_name.clone(),
        max_concurrency: Some(provider.max_concurrency),
        context_length: provider.context_length,
        wake_max_wait_seconds: provider.wake.as_ref().map(|wake| wake.max_wait.as_secs()),
    }
}
