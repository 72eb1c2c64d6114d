//! Commands that run a model's wake recipe as a test, and show each step.

use crate::blocking;
use crate::i18n::{tr, tr_with};
use crate::limits::WAKE_STEPS_MAX;
use crate::window::state::WindowState;
use parking_lot::Mutex;
use registrar::config::{self, ProviderConfig, file};
use registrar::http_clients;
use registrar::wake::{Recipes, Step, WakeError};
use serde::Serialize;
use std::time::Duration;
use tauri::State;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The running wake test; managed by Tauri.
#[derive(Default)]
pub(crate) struct WakeTest(Mutex<Option<JoinHandle<()>>>);

impl WakeTest {
    /// Ends the test, and returns once its recipe's processes were signalled to end.
    pub(crate) async fn stop(&self) {
        let test = self.0.lock().take();
        if let Some(test) = test {
            test.abort();
            let _ = test.await;
        }
    }
}

/// A step of a wake test.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct WakeTestStep {
    /// Milliseconds since the start.
    #[cfg_attr(test, ts(type = "number"))]
    pub at_ms: u64,
    /// The step, in words.
    pub text: String,
    /// The result, in the last step only: true if the backend is ready.
    pub succeeded: Option<bool>,
}

/// Runs the wake recipe in config.json and sends each step. A new test replaces a running one.
#[tauri::command]
pub(crate) async fn start_wake_test(
    window: State<'_, WindowState>,
    test: State<'_, WakeTest>,
    name: String,
    channel: Channel<WakeTestStep>,
) -> Result<(), String> {
    // Reads the file, because the watcher may not have seen yet what was saved a moment ago.
    let path = window.home.config();
    let text = blocking::run(move || file::read(&path)).await?;
    let parsed = config::parse(&text).map_err(|problem| problem.message)?;
    let provider = parsed.config.provider(&name).cloned();
    let provider = provider.ok_or_else(|| tr("error.noModel"))?;
    let run = tauri::async_runtime::spawn(run(window.recipes.clone(), provider, channel));
    if let Some(before) = test.0.lock().replace(run) {
        before.abort();
    }
    Ok(())
}

/// Ends the test and its recipe's processes.
#[tauri::command]
pub(crate) async fn stop_wake_test(test: State<'_, WakeTest>) -> Result<(), String> {
    test.stop().await;
    Ok(())
}

async fn run(recipes: Recipes, provider: ProviderConfig, channel: Channel<WakeTestStep>) {
    let started = Instant::now();
    let send = |text: String, succeeded: Option<bool>| {
        let at_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let _ = channel.send(WakeTestStep { at_ms, text, succeeded });
    };
    let http = match http_clients::backend_client() {
        Ok(http) => http,
        Err(error) => return send(error, Some(false)),
    };
    let (sender, mut steps) = mpsc::channel(WAKE_STEPS_MAX);
    let waking = recipes.wake(&http, &provider, |step| {
        let _ = sender.try_send(step);
    });
    let mut waking = std::pin::pin!(waking);
    let woken: Result<Duration, WakeError> = loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => send(step_text(step), None),
            woken = &mut waking => break woken,
        }
    };
    while let Ok(step) = steps.try_recv() {
        send(step_text(step), None);
    }
    match woken {
        Ok(_) => send(tr("wake.awake"), Some(true)),
        Err(error) => send(error.detail, Some(false)),
    }
}

fn step_text(step: Step) -> String {
    match step {
        Step::Recipe(recipe) => tr_with("wake.recipe", &[("recipe", &recipe)]),
        Step::Done(output) if output.is_empty() => tr("wake.done"),
        Step::Done(output) => tr_with("wake.doneOutput", &[("output", &output)]),
        Step::NotReady(cause) => tr_with("wake.notReady", &[("cause", &cause)]),
        Step::Ready => tr("wake.ready"),
    }
}
