//! Waking a backend by its owner's recipe, and putting it to sleep again.
//!
//! A recipe comes from config.json and from nowhere else: nothing here takes an argument that a
//! server could have sent.

mod command;
mod http;
mod output;
mod wake_journal;
mod wake_on_lan;

pub(crate) use wake_journal::WakeJournal;

use crate::config::{ProviderConfig, Recipe, Sleep};
use crate::home::Home;
use crate::{limits, provider};
use output::Output;
use reqwest::Client;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::publisher::FailureCode;

/// Begins the name of the file with a wake recipe's output.
const WAKE: &str = "wake";
/// The same for a sleep recipe.
const SLEEP: &str = "sleep";
/// Comes before a recipe's last words in a [`WakeError`].
pub(crate) const IT_SAID: &str = "; it said: ";

/// What happens during a wake, for people who watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The recipe starts; what it is, in words.
    Recipe(String),
    /// The recipe is done; what it said last, for its owner only.
    Done(String),
    /// The backend is not ready yet, and why.
    NotReady(String),
    /// It answers.
    Ready,
}

/// Why a wake or a recipe failed. `code` goes to mcpd, `detail` stays with the owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct WakeError {
    /// The cause's kind.
    pub code: FailureCode,
    /// The full cause.
    pub detail: String,
}

impl WakeError {
    pub(crate) fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(crate) fn too_often() -> Self {
        let most = limits::RECIPE_RUNS_PER_HOUR;
        Self::new(
            FailureCode::RecipeLimit,
            format!("the recipe ran {most} times within an hour; wait"),
        )
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
    /// With their output in this folder's `logs`.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        let (running, end) = <_>::default();
        Self { home: home.clone(), running, end }
    }

    /// Runs the recipe and waits until the backend is ready. An awake backend is left alone.
    ///
    /// # Errors
    /// [`WakeError`]; also when the provider has no recipe.
    pub async fn wake(
        &self,
        http: &Client,
        provider: &ProviderConfig,
        mut watch: impl FnMut(Step) + Send,
    ) -> Result<Duration, WakeError> {
        let began = Instant::now();
        if provider::probe(http, provider).await.is_ok() {
            watch(Step::Ready);
            return Ok(began.elapsed());
        }
        provider::key(provider).map_err(|why| WakeError::new(FailureCode::NotReady, why))?;
        let Some(wake) = &provider.wake else {
            return Err(WakeError::new(
                FailureCode::NotReady,
                "the backend is down and has no wake recipe",
            ));
        };
        watch(Step::Recipe(wake.recipe.describe()));
        let said = self.run(WAKE, &provider.name, &wake.recipe, wake.max_wait).await?;
        watch(Step::Done(said));
        until_ready(http, provider, began, wake.max_wait, watch).await
    }

    /// Runs the recipe that puts a backend to sleep.
    ///
    /// # Errors
    /// [`WakeError`].
    pub(crate) async fn sleep(&self, name: &str, sleep: &Sleep) -> Result<(), WakeError> {
        self.run(SLEEP, name, &sleep.recipe, limits::RECIPE_HTTP).await.map(drop)
    }

    /// Runs a recipe; what it said last, for its owner only.
    async fn run(
        &self,
        what: &str,
        name: &str,
        recipe: &Recipe,
        max_wait: Duration,
    ) -> Result<String, WakeError> {
        match recipe {
            Recipe::Command(command) => {
                command::run(self, self.output(what, name), command, max_wait).await
            }
            Recipe::Http(http) => http::run(http, max_wait).await,
            Recipe::Wol(wol) => wake_on_lan::run(wol).await,
        }
    }

    fn output(&self, what: &str, name: &str) -> Output {
        Output::of(&self.home, what, name)
    }

    /// Cuts what a provider's recipes, and the backends that they left in the background, have
    /// printed.
    pub(crate) async fn bound_output(&self, name: &str) {
        for what in [WAKE, SLEEP] {
            self.output(what, name).bound().await;
        }
    }

    /// Ends the recipes that run, and waits until they have gone: at most [`limits::RECIPE_KILL`] and
    /// a moment. None begins after that.
    pub async fn finish(&self) {
        self.end.cancel();
        self.running.close();
        let at_most = limits::RECIPE_KILL + limits::RECIPE_REAP;
        let _ = tokio::time::timeout(at_most, self.running.wait()).await;
    }
}

/// Waits for a backend that a recipe is waking, or was when its registrar was killed.
///
/// # Errors
/// [`WakeError`], when it is not ready within `max_wait` of `began`.
pub(crate) async fn until_ready(
    http: &Client,
    provider: &ProviderConfig,
    began: Instant,
    max_wait: Duration,
    mut watch: impl FnMut(Step) + Send,
) -> Result<Duration, WakeError> {
    let mut pause = limits::WAKE_FIRST;
    loop {
        let why = match provider::probe(http, provider).await {
            Ok(()) => {
                watch(Step::Ready);
                return Ok(began.elapsed());
            }
            Err(why) => why,
        };
        watch(Step::NotReady(why.clone()));
        if began.elapsed() >= max_wait {
            let secs = max_wait.as_secs();
            let detail =
                format!("the recipe ran, but the backend was not ready within {secs} s: {why}");
            return Err(WakeError::new(FailureCode::NotReady, detail));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(limits::WAKE_EVERY);
    }
}
