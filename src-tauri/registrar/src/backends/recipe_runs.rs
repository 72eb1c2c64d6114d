//! Waking backends and putting them to sleep: when a recipe may run, and what its result means.
//! [`crate::wake`] runs it.

use super::{Backend, Backends};
use crate::config::{ProviderConfig, Sleep};
use crate::provider::{self, Unavailable};
use crate::status::BackendState;
use crate::wake::{self, Step, WakeError};
use std::time::Duration;
use tokio::time::Instant;

impl Backends {
    /// Wakes the backend; concurrent callers share one run. Returns at once if it is ready.
    ///
    /// # Errors
    /// The recipe failed or timed out, the backend did not become ready within `maxWaitSeconds`, its
    /// key is not set, or the hourly limit of recipe runs is reached.
    pub(crate) async fn wake(&self, backend: &Backend) -> Result<Duration, WakeError> {
        let requested = Instant::now();
        let mut last = backend.recipe.lock().await;
        if let Some((ended, result)) = &*last
            && *ended >= requested
        {
            return result.clone();
        }
        let provider = backend.provider();
        let probed = provider::probe(&self.http, &provider).await;
        let result = match &probed {
            Ok(()) => Ok(requested.elapsed()),
            Err(Unavailable::KeyNotSet(cause)) => Err(WakeError::not_ready(cause)),
            Err(_) if !backend.count_recipe_run(Instant::now()) => Err(WakeError::too_often()),
            Err(_) => self.run_wake(backend, &provider).await,
        };
        backend.set_wake_failure(result.as_ref().err().map(ToString::to_string));
        let readiness = match (&result, probed) {
            (Ok(_), _) => Ok(()),
            (Err(_), Err(cause @ Unavailable::KeyNotSet(_))) => Err(cause),
            (Err(error), _) => Err(Unavailable::NotReady(error.to_string())),
        };
        self.record_readiness(backend, &provider, readiness);
        *last = Some((Instant::now(), result.clone()));
        result
    }

    async fn run_wake(
        &self,
        backend: &Backend,
        provider: &ProviderConfig,
    ) -> Result<Duration, WakeError> {
        self.set_state(backend, BackendState::Waking, None);
        let name = backend.name();
        let on_step = |step| match step {
            // The recipe itself is not logged: it may hold secrets.
            Step::Recipe(_) => tracing::debug!(llm = name, "the wake recipe begins"),
            Step::NotReady(_) => self.heartbeat_now.notify_one(),
            Step::Done(_) | Step::Ready => {}
        };
        let result = if let Some(_entry) = self.journal.begin(name) {
            let result = self.recipes.wake(&self.http, provider, on_step).await;
            tracing::debug!(llm = name, "the wake ends");
            result
        } else {
            let max_wait = provider.wake.as_ref().map(|wake| wake.max_wait).unwrap_or_default();
            wake::wait_until_ready(&self.http, provider, Instant::now(), max_wait, on_step).await
        };
        match &result {
            Ok(duration) => {
                self.journal.record_awake(name);
                tracing::info!(llm = name, ms = duration.as_millis(), "awake");
            }
            // The cause may quote the recipe's output: for the publisher's screen, not for a log.
            Err(error) => tracing::warn!(llm = name, code = error.code.as_str(), "the wake failed"),
        }
        result
    }

    /// Runs the sleep recipe, unless a request began meanwhile or it ran too often.
    pub(super) async fn put_to_sleep(&self, backend: &Backend, sleep: &Sleep) {
        let _no_other_recipe = backend.recipe.lock().await;
        let Some(_no_request_begins) = backend.begin_sleep() else { return };
        let now = Instant::now();
        if !backend.count_recipe_run(now) {
            return;
        }
        backend.mark_unused(now);
        if backend.provider().wake.is_some() {
            // Reported before the recipe runs: from now on the server sends a wake before a request.
            self.set_state(backend, BackendState::Asleep, None);
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
}
