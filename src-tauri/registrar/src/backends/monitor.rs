//! Readiness: probes each backend every few seconds and records what it finds.

use super::{Backend, Backends};
use crate::config::ProviderConfig;
use crate::provider::{self, Unavailable};
use crate::status::BackendState;
use std::sync::Arc;
use tokio::time::Instant;

/// Monitors one backend until it is dropped.
pub(super) async fn run(backends: Arc<Backends>, backend: Arc<Backend>) {
    loop {
        backends.check_readiness(&backend).await;
        if let Some(sleep) = backend.due_sleep(Instant::now()) {
            backends.put_to_sleep(&backend, &sleep).await;
        }
        backends.recipes.truncate_output(backend.name()).await;
        backend.wait_for_check(backends.times.ready_every).await;
    }
}

impl Backends {
    /// Probes the backend's readiness endpoint and records the result. Skipped while a recipe runs.
    async fn check_readiness(&self, backend: &Backend) {
        let Ok(_no_recipe_running) = backend.recipe.try_lock() else {
            return;
        };
        self.client.close_idle_connections();
        let provider = backend.provider();
        let readiness = provider::probe(&self.http, &provider).await;
        self.record_readiness(backend, &provider, readiness);
    }

    /// Records the result of a probe.
    pub(super) fn record_readiness(
        &self,
        backend: &Backend,
        provider: &ProviderConfig,
        readiness: Result<(), Unavailable>,
    ) {
        let (state, message) = match readiness {
            Ok(()) => (BackendState::Ready, None),
            // Being asleep is no error; the cause of the last failed wake stays visible.
            Err(Unavailable::NotReady(_)) if provider.wake.is_some() => {
                (BackendState::Asleep, backend.wake_failure())
            }
            Err(cause) => (BackendState::Down, Some(cause.to_string())),
        };
        self.set_state(backend, state, message);
    }

    /// Sets the state; shows and reports it if it changed.
    pub(super) fn set_state(
        &self,
        backend: &Backend,
        state: BackendState,
        message: Option<String>,
    ) {
        if backend.set_state(state, message) {
            tracing::info!(llm = backend.name(), ?state, "the backend's state changed");
            self.show();
            self.heartbeat_now.notify_one();
        }
    }

    /// Marks the backend as down after a refused connection and schedules an immediate probe.
    pub(crate) fn mark_unreachable(&self, backend: &Backend, cause: String) {
        if backend.state() != BackendState::Waking {
            self.record_readiness(backend, &backend.provider(), Err(Unavailable::NotReady(cause)));
        }
        backend.schedule_check();
    }
}
