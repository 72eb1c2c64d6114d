//! Waking a backend by its owner's recipe, and putting it to sleep again.
//!
//! A recipe comes from config.json and from nowhere else: nothing here takes an argument that a
//! server could have sent.

mod command;
mod http;
mod under_way;
mod wol;

pub(crate) use under_way::UnderWay;

use crate::config::{ProviderConfig, Recipe};
use crate::{limits, provider};
use reqwest::Client;
use std::time::Duration;
use tokio::time::Instant;

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
    /// `recipe_exit`, `recipe_http_status`, `recipe_timeout`, `not_ready`, `recipe_limit`.
    pub code: &'static str,
    /// The full cause.
    pub detail: String,
}

impl WakeError {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(crate) fn too_often() -> Self {
        let most = limits::RECIPE_RUNS_PER_HOUR;
        Self::new("recipe_limit", format!("the recipe ran {most} times within an hour; wait"))
    }
}

/// Runs the recipe and waits until the backend is ready. An awake backend is left alone.
///
/// # Errors
/// [`WakeError`]; also when the provider has no recipe.
pub async fn wake(
    http: &Client,
    provider: &ProviderConfig,
    mut watch: impl FnMut(Step) + Send,
) -> Result<Duration, WakeError> {
    let began = Instant::now();
    if provider::ready(http, provider).await.is_ok() {
        watch(Step::Ready);
        return Ok(began.elapsed());
    }
    let Some(wake) = &provider.wake else {
        return Err(WakeError::new("not_ready", "the backend is down and has no wake recipe"));
    };
    watch(Step::Recipe(describe(&wake.recipe)));
    let said = run(&wake.recipe, wake.max_wait).await?;
    watch(Step::Done(said));
    until_ready(http, provider, began, wake.max_wait, watch).await
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
        let why = match provider::ready(http, provider).await {
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
            return Err(WakeError::new("not_ready", detail));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(limits::WAKE_EVERY);
    }
}

/// Runs a recipe; what it said last, for its owner only.
///
/// # Errors
/// [`WakeError`].
pub async fn run(recipe: &Recipe, max_wait: Duration) -> Result<String, WakeError> {
    match recipe {
        Recipe::Command(command) => command::run(command, max_wait).await,
        Recipe::Http(http) => http::run(http, max_wait).await,
        Recipe::Wol(wol) => wol::run(wol).await,
    }
}

fn describe(recipe: &Recipe) -> String {
    match recipe {
        Recipe::Command(command) => {
            format!("command {} {}", command.command, command.args.join(" "))
        }
        Recipe::Http(http) => format!("{} {}", http.method, http.url),
        Recipe::Wol(wol) => format!("magic packet to {}", wol.mac),
    }
}
