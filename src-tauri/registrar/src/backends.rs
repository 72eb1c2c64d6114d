//! The published backends: their readiness, wakes, sleep and slots.
//!
//! Each backend has a monitor, a task of its own, which probes it every few seconds. A change of one
//! provider in the file affects that provider only; running requests go on as they began.

mod backend;
mod backend_client;
mod declaration;
mod monitor;
mod recipe_runs;
mod slots;
mod target;

pub(crate) use backend::Backend;
pub(crate) use backend_client::{BackendClient, BackendRequest, BackendResponse, SendError};
pub(crate) use slots::{NoSlot, Slot};
pub(crate) use target::Target;

use crate::config::{Config, ProviderConfig};
use crate::home::Home;
use crate::http_clients;
use crate::limits::{self, Times};
use crate::status::{BackendState, StatusSender};
use crate::wake::{Recipes, WakeJournal};
use parking_lot::Mutex;
use reqwest::Client;
use std::sync::Arc;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;
use wire::publisher::{LlmReport, Provider, Rejected};

const KIB: usize = 1024;

/// All backends of the registrar.
pub(crate) struct Backends {
    /// For readiness probes.
    http: Client,
    /// For the requests of tasks.
    client: BackendClient,
    recipes: Recipes,
    journal: WakeJournal,
    times: Times,
    status: StatusSender,
    /// Asks the driver for a heartbeat.
    heartbeat_now: Arc<Notify>,
    /// In the order of the file.
    monitored: Mutex<Vec<Monitored>>,
    /// KiB of request bodies that may be fetched.
    bodies: Arc<Semaphore>,
}

/// A backend and the task that monitors it.
struct Monitored {
    backend: Arc<Backend>,
    _monitor: AbortOnDropHandle<()>,
}

impl Backends {
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(
        home: &Home,
        times: Times,
        status: StatusSender,
        heartbeat_now: Arc<Notify>,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            http: http_clients::backend_client()?,
            client: BackendClient::new()?,
            recipes: Recipes::new(home),
            journal: WakeJournal::open(home, times.recipe_again),
            times,
            status,
            heartbeat_now,
            monitored: Mutex::default(),
            bodies: Arc::new(Semaphore::new(limits::BODIES / KIB)),
        }))
    }

    /// The client that sends requests to backends.
    pub(crate) fn client(&self) -> &BackendClient {
        &self.client
    }

    /// Applies the configuration in force: monitors new providers, drops those that are gone.
    pub(crate) fn update(self: &Arc<Self>, config: &Config) {
        {
            let mut monitored = self.monitored.lock();
            let mut before = std::mem::take(&mut *monitored);
            for provider in config.published() {
                let at = before.iter().position(|known| known.backend.name() == provider.name);
                monitored.push(match at {
                    Some(at) => {
                        let known = before.swap_remove(at);
                        known.backend.update(provider);
                        known
                    }
                    None => self.monitor(provider),
                });
            }
        }
        self.show();
    }

    fn monitor(self: &Arc<Self>, provider: &ProviderConfig) -> Monitored {
        let backend = Arc::new(Backend::new(provider.clone()));
        let monitor = tokio::spawn(monitor::run(Arc::clone(self), Arc::clone(&backend)));
        Monitored { backend, _monitor: AbortOnDropHandle::new(monitor) }
    }

    /// The published backend of that name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Backend>> {
        let monitored = self.monitored.lock();
        let known = monitored.iter().find(|known| known.backend.name() == name);
        known.map(|known| Arc::clone(&known.backend))
    }

    fn all(&self) -> Vec<Arc<Backend>> {
        self.monitored.lock().iter().map(|known| Arc::clone(&known.backend)).collect()
    }

    /// The providers as a register declares them. Waits until each backend was probed once.
    pub(crate) async fn declaration(&self) -> Vec<Provider> {
        let mut declared = Vec::new();
        for backend in self.all() {
            backend.wait_for_first_probe().await;
            let provider = backend.provider();
            if provider.kind.info().is_some() {
                declared.push(declaration::declare(&provider, backend.state()));
            }
        }
        declared
    }

    /// The backends' states as a heartbeat reports them.
    pub(crate) fn reports(&self) -> Vec<LlmReport> {
        let report = |backend: &Arc<Backend>| LlmReport {
            name: backend.name().to_owned(),
            status: declaration::reported(backend.state()),
            in_flight: backend.running(),
            queued: 0,
        };
        self.all().iter().filter(|b| b.state() != BackendState::Unknown).map(report).collect()
    }

    /// Marks exactly these backends as refused by the server.
    pub(crate) fn set_rejected(&self, rejected: &[Rejected]) {
        for backend in self.all() {
            let why = rejected.iter().find(|r| r.name.eq_ignore_ascii_case(backend.name()));
            backend.set_rejected(why);
        }
        self.show();
    }

    /// Waits for a slot of this backend; the request runs until the slot is dropped.
    ///
    /// # Errors
    /// Too many requests wait, none ended in time, or a sleep recipe runs.
    pub(crate) async fn begin(self: &Arc<Self>, backend: &Arc<Backend>) -> Result<Slot, NoSlot> {
        let slot = Slot::acquire(Arc::clone(self), Arc::clone(backend)).await?;
        self.show_running(backend);
        Ok(slot)
    }

    /// Waits until so many further bytes of request bodies may be fetched.
    pub(crate) async fn reserve_body(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).ok()?;
        Arc::clone(&self.bodies).acquire_many_owned(kib).await.ok()
    }

    /// Shows the number of running requests. Called for each request: it touches nothing else.
    fn show_running(&self, backend: &Backend) {
        self.status.send_if_modified(|status| {
            let mut providers = status.providers.iter_mut();
            let shown = providers.find(|shown| shown.name == backend.name());
            let running = backend.running();
            shown.is_some_and(|shown| std::mem::replace(&mut shown.running, running) != running)
        });
    }

    /// Shows the state of all backends. Reads them while it holds the status, so that the newest
    /// state is shown last.
    fn show(&self) {
        self.status.send_if_modified(|status| {
            let providers = self.all().iter().map(|backend| backend.status()).collect();
            std::mem::replace(&mut status.providers, providers) != status.providers
        });
    }
}
