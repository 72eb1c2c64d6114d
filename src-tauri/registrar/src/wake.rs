//! Wakes a backend by its publisher's recipe, and puts it to sleep again.
//!
//! A recipe comes from config.json only: nothing here takes an argument that a server could have
//! sent.

mod command;
mod http;
mod output;
mod wake_journal;
mod wake_on_lan;

pub(crate) use wake_journal::WakeJournal;

use crate::config::{ProviderConfig, Recipe, Sleep};
use crate::home::Home;
use crate::limits;
use crate::provider::{self, Unavailable};
use output::Output;
use reqwest::Client;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::publisher::FailureCode;

/// Purposes of recipes, which begin the names of their output files.
const WAKE: &str = "wake";
const SLEEP: &str = "sleep";
/// Comes before a recipe's output in the detail of a [`WakeError`].
pub(crate) const IT_SAID: &str = "; it said: ";

/// A step of a wake, for people who watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The recipe starts; its description.
    Recipe(String),
    /// The recipe has succeeded; the end of its output, for the publisher only.
    Done(String),
    /// The backend is not ready yet; the cause.
    NotReady(String),
    /// The backend is ready.
    Ready,
}

/// Why a wake or a recipe failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct WakeError {
    /// Sent to the server.
    pub code: FailureCode,
    /// The full cause, for the publisher only: it may quote the recipe and its output.
    pub detail: String,
}

impl WakeError {
    fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(crate) fn not_ready(detail: impl Into<String>) -> Self {
        Self::new(FailureCode::NotReady, detail)
    }

    pub(crate) fn too_often() -> Self {
        let max = limits::RECIPE_RUNS_PER_HOUR;
        let detail = format!("the recipe ran {max} times within an hour; wait");
        Self::new(FailureCode::RecipeLimit, detail)
    }
}

/// Runs recipes, and ends those that still run when this process ends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recipes {
    home: Home,
    running: TaskTracker,
    /// Ends what runs.
    end: CancellationToken,
}

impl Recipes {
    /// Recipes whose output goes into this folder.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        let (running, end) = <_>::default();
        Self { home: home.clone(), running, end }
    }

    /// Runs the wake recipe and waits until the backend is ready. Returns at once if it is ready.
    ///
    /// # Errors
    /// The backend has no recipe or no key, the recipe failed or timed out, or the backend did not
    /// become ready in time.
    pub async fn wake(
        &self,
        http: &Client,
        provider: &ProviderConfig,
        mut on_step: impl FnMut(Step) + Send,
    ) -> Result<Duration, WakeError> {
        let began = Instant::now();
        match provider::probe(http, provider).await {
            Ok(()) => {
                on_step(Step::Ready);
                return Ok(began.elapsed());
            }
            Err(Unavailable::KeyNotSet(cause)) => return Err(WakeError::not_ready(cause)),
            Err(Unavailable::NotReady(_)) => {}
        }
        let Some(wake) = &provider.wake else {
            return Err(WakeError::not_ready("the backend is down and has no wake recipe"));
        };
        on_step(Step::Recipe(wake.recipe.describe()));
        let output = self.run(WAKE, &provider.name, &wake.recipe, wake.max_wait).await?;
        on_step(Step::Done(output));
        wait_until_ready(http, provider, began, wake.max_wait, on_step).await
    }

    /// Runs the recipe that puts a backend to sleep.
    ///
    /// # Errors
    /// The recipe failed or timed out.
    pub(crate) async fn sleep(&self, name: &str, sleep: &Sleep) -> Result<(), WakeError> {
        self.run(SLEEP, name, &sleep.recipe, limits::RECIPE_HTTP).await.map(drop)
    }

    /// Runs a recipe; returns the end of its output, for the publisher only.
    async fn run(
        &self,
        purpose: &str,
        name: &str,
        recipe: &Recipe,
        max_wait: Duration,
    ) -> Result<String, WakeError> {
        match recipe {
            Recipe::Command(command) => {
                command::run(self, self.output(purpose, name), command, max_wait).await
            }
            Recipe::Http(http) => http::run(http, max_wait).await,
            Recipe::Wol(wol) => wake_on_lan::run(wol).await,
        }
    }

    fn output(&self, purpose: &str, name: &str) -> Output {
        Output::new(&self.home, purpose, name)
    }

    /// Truncates the output of a provider's recipes, and of the backends that they left in the
    /// background.
    pub(crate) async fn truncate_output(&self, name: &str) {
        for purpose in [WAKE, SLEEP] {
            self.output(purpose, name).truncate().await;
        }
    }

    /// Ends the recipes that run, and waits for their processes: at most [`limits::RECIPE_KILL`] and
    /// [`limits::RECIPE_REAP`]. None begins after that.
    pub async fn finish(&self) {
        self.end.cancel();
        self.running.close();
        let max = limits::RECIPE_KILL + limits::RECIPE_REAP;
        let _ = tokio::time::timeout(max, self.running.wait()).await;
    }
}

/// Waits for a backend that a recipe of this process, or of an earlier one, is waking.
///
/// # Errors
/// It is not ready within `max_wait` of `began`.
pub(crate) async fn wait_until_ready(
    http: &Client,
    provider: &ProviderConfig,
    began: Instant,
    max_wait: Duration,
    mut on_step: impl FnMut(Step) + Send,
) -> Result<Duration, WakeError> {
    let mut pause = limits::WAKE_FIRST;
    loop {
        let Err(cause) = provider::probe(http, provider).await else {
            on_step(Step::Ready);
            return Ok(began.elapsed());
        };
        on_step(Step::NotReady(cause.to_string()));
        if began.elapsed() >= max_wait {
            let secs = max_wait.as_secs();
            return Err(WakeError::not_ready(format!(
                "the recipe ran, but the backend was not ready within {secs} s: {cause}"
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(limits::WAKE_EVERY);
    }
}
