//! The page's models: entries of config.json, checked by the code that reads the file.

use super::bounded;
use crate::edits::{edit, edit_for_page, on_a_thread};
use crate::limits::WAKE_STEPS_MAX;
use crate::window::Window;
use crate::words::say;
use parking_lot::Mutex;
use registrar::config::edit::Edit;
use registrar::config::file::{self, Change};
use registrar::config::{self, FieldError, ProviderConfig};
use registrar::discover::{self, Found};
use registrar::http_clients;
use registrar::provider;
use registrar::wake::{Recipes, Step, WakeError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tauri::{AppHandle, State};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What the models' page remembers between two calls.
#[derive(Default)]
pub(crate) struct Models {
    /// The last removal, which can be taken back.
    removed: Mutex<Option<(Change, Map<String, Value>)>>,
    /// The wake that is being tried.
    test: Mutex<Option<JoinHandle<()>>>,
}

/// A step of a wake test.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct WakeLine {
    /// Since the start, in milliseconds.
    #[cfg_attr(test, ts(type = "number"))]
    pub at: u64,
    /// What happened, in words.
    pub text: String,
    /// The end: whether the backend answers.
    pub ended: Option<bool>,
}

/// One provider as it stands in the file, all of its keys.
#[tauri::command]
pub(crate) async fn model_entry(app: State<'_, Window>, name: String) -> Result<Value, String> {
    let path = app.home.config();
    let text = on_a_thread(move || file::read(&path)).await?;
    let root = config::value(&text).map_err(|problem| problem.message)?;
    entry(&root, &name).cloned().ok_or_else(|| say("error.noModel"))
}

fn entry<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    let list = root.pointer("/llm/providers")?.as_array()?;
    let named =
        |entry: &&Value| entry["name"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(name));
    list.iter().find(named)
}

/// What is wrong with an entry while a person types it.
#[tauri::command]
pub(crate) fn check_model(
    app: State<'_, Window>,
    entry: Map<String, Value>,
    own: Option<String>,
) -> Vec<FieldError> {
    let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut wrong = config::check(&Value::Object(entry));
    let is_own = own.is_some_and(|own| own.eq_ignore_ascii_case(&name));
    if !is_own && app.config().provider(&name).is_some() {
        wrong.push(FieldError { field: "name".into(), message: say("error.nameTaken") });
    }
    wrong
}

/// Changes keys of a provider; `null` takes one away. Without a name it is a new provider.
#[tauri::command]
pub(crate) async fn save_model(
    handle: AppHandle,
    app: State<'_, Window>,
    name: Option<String>,
    keys: Map<String, Value>,
) -> Result<(), String> {
    bounded(Value::Object(keys.clone()).to_string())?;
    let edit = match name {
        Some(name) => Edit::ChangeProvider { name, keys },
        None => Edit::AddProvider(keys),
    };
    edit_for_page(&handle, &app.home, edit).await.map(drop)
}

/// Takes a provider out of the file; [`undo_removal`] puts it back.
#[tauri::command]
pub(crate) async fn remove_model(
    app: State<'_, Window>,
    models: State<'_, Models>,
    name: String,
) -> Result<(), String> {
    let change = edit(&app.home, Edit::RemoveProvider(name.clone())).await?;
    let before = config::value(&change.before).map_err(|problem| problem.message)?;
    let removed = entry(&before, &name).and_then(Value::as_object).cloned();
    *models.removed.lock() = removed.map(|removed| (change, removed));
    Ok(())
}

/// Puts back what was removed last, byte for byte where the file allows it.
#[tauri::command]
pub(crate) async fn undo_removal(
    app: State<'_, Window>,
    models: State<'_, Models>,
) -> Result<(), String> {
    let removed = models.removed.lock().take();
    let Some((change, entry)) = removed else { return Err(say("error.nothingToUndo")) };
    let home = app.home.clone();
    on_a_thread(move || file::undo(&home, &change, &Edit::AddProvider(entry))).await.map(drop)
}

/// Asks a backend, saved or not, for its models.
#[tauri::command]
pub(crate) async fn offered_models(entry: Map<String, Value>) -> Result<Vec<String>, String> {
    let provider = read(entry)?;
    let http = http_clients::backend_client()?;
    provider::models(&http, &provider).await
}

/// The entry as a provider; the recipes do not matter here.
fn read(mut entry: Map<String, Value>) -> Result<ProviderConfig, String> {
    for key in ["wake", "sleep"] {
        entry.remove(key);
    }
    entry.insert("name".into(), "asked".into());
    let text = json!({"llm": {"providers": [entry]}}).to_string();
    let mut parsed = config::parse(&text).map_err(|problem| problem.message)?;
    let why = parsed.warnings.first().map(|warning| warning.message.clone());
    parsed.config.providers.pop().ok_or_else(|| why.unwrap_or_default())
}

/// Backends that run on this machine now.
#[tauri::command]
pub(crate) async fn find_backends() -> Vec<Found> {
    discover::backends().await
}

/// Runs the wake recipe that stands in the file, step by step. One at a time.
#[tauri::command]
pub(crate) async fn test_wake(
    app: State<'_, Window>,
    models: State<'_, Models>,
    name: String,
    channel: Channel<WakeLine>,
) -> Result<(), String> {
    // Not what the watcher saw last: what was saved a moment ago is what is tried.
    let path = app.home.config();
    let text = on_a_thread(move || file::read(&path)).await?;
    let parsed = config::parse(&text).map_err(|problem| problem.message)?;
    let provider = parsed.config.provider(&name).cloned();
    let provider = provider.ok_or_else(|| say("error.noModel"))?;
    let test = tauri::async_runtime::spawn(run_test(app.recipes.clone(), provider, channel));
    if let Some(before) = models.test.lock().replace(test) {
        before.abort();
    }
    Ok(())
}

/// Ends the test; its recipe's processes end with it.
#[tauri::command]
pub(crate) async fn stop_test(models: State<'_, Models>) -> Result<(), String> {
    models.stop_test().await;
    Ok(())
}

impl Models {
    /// See [`stop_test`]. Returns when the recipe's processes have been told to end.
    pub(crate) async fn stop_test(&self) {
        let test = self.test.lock().take();
        if let Some(test) = test {
            test.abort();
            let _ = test.await;
        }
    }
}

async fn run_test(recipes: Recipes, provider: ProviderConfig, channel: Channel<WakeLine>) {
    let began = Instant::now();
    let tell = |text: String, ended: Option<bool>| {
        let at = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let _ = channel.send(WakeLine { at, text, ended });
    };
    let http = match http_clients::backend_client() {
        Ok(http) => http,
        Err(why) => return tell(why, Some(false)),
    };
    let (steps, mut stepped) = mpsc::channel(WAKE_STEPS_MAX);
    let waking = recipes.wake(&http, &provider, |step| {
        let _ = steps.try_send(step);
    });
    let mut waking = std::pin::pin!(waking);
    let woken: Result<Duration, WakeError> = loop {
        tokio::select! {
            biased;
            Some(step) = stepped.recv() => tell(words(step), None),
            woken = &mut waking => break woken,
        }
    };
    while let Ok(step) = stepped.try_recv() {
        tell(words(step), None);
    }
    match woken {
        Ok(_) => tell(say("wake.good"), Some(true)),
        Err(error) => tell(error.detail, Some(false)),
    }
}

fn words(step: Step) -> String {
    use crate::words::say_with;
    match step {
        Step::Recipe(what) => say_with("wake.recipe", &[("what", &what)]),
        Step::Done(said) if said.is_empty() => say("wake.done"),
        Step::Done(said) => say_with("wake.doneSaid", &[("said", &said)]),
        Step::NotReady(why) => say_with("wake.notReady", &[("why", &why)]),
        Step::Ready => say("wake.ready"),
    }
}
