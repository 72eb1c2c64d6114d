//! Commands for models: entries of config.json, checked by the code that reads that file.

use super::bounded;
use crate::blocking;
use crate::config_edits;
use crate::i18n::tr;
use crate::window::state::WindowState;
use parking_lot::Mutex;
use registrar::config::edit::Edit;
use registrar::config::file::{self, Change};
use registrar::config::{self, FieldError, ProviderConfig};
use registrar::discover::{self, Found};
use registrar::http_clients;
use registrar::provider;
use serde_json::{Map, Value, json};
use tauri::{AppHandle, State};

/// The last removal, which can be undone; managed by Tauri.
#[derive(Default)]
pub(crate) struct LastRemoval(Mutex<Option<(Change, Map<String, Value>)>>);

/// Returns one provider with all of its keys.
#[tauri::command]
pub(crate) async fn model_entry(
    window: State<'_, WindowState>,
    name: String,
) -> Result<Value, String> {
    let path = window.home.config();
    let text = blocking::run(move || file::read(&path)).await?;
    let root = config::value(&text).map_err(|problem| problem.message)?;
    entry(&root, &name).cloned().ok_or_else(|| tr("error.noModel"))
}

fn entry<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    let list = root.pointer("/llm/providers")?.as_array()?;
    let has_name =
        |entry: &&Value| entry["name"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(name));
    list.iter().find(has_name)
}

/// Returns the errors of an entry that is being edited. `current_name` is its name in the file.
#[tauri::command]
pub(crate) fn validate_model(
    window: State<'_, WindowState>,
    entry: Map<String, Value>,
    current_name: Option<String>,
) -> Vec<FieldError> {
    let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut errors = config::check(&Value::Object(entry));
    let is_unchanged = current_name.is_some_and(|current| current.eq_ignore_ascii_case(&name));
    if !is_unchanged && window.config().provider(&name).is_some() {
        errors.push(FieldError { field: "name".into(), message: tr("error.nameTaken") });
    }
    errors
}

/// Changes keys of a provider; `null` removes one. Without a name, adds a provider.
#[tauri::command]
pub(crate) async fn save_model(
    app: AppHandle,
    window: State<'_, WindowState>,
    name: Option<String>,
    keys: Map<String, Value>,
) -> Result<(), String> {
    bounded(Value::Object(keys.clone()).to_string())?;
    let edit = match name {
        Some(name) => Edit::ChangeProvider { name, keys },
        None => Edit::AddProvider(keys),
    };
    config_edits::apply_from_page(&app, &window.home, edit).await.map(drop)
}

/// Removes a provider; [`undo_remove_model`] puts it back.
#[tauri::command]
pub(crate) async fn remove_model(
    window: State<'_, WindowState>,
    last_removal: State<'_, LastRemoval>,
    name: String,
) -> Result<(), String> {
    let change = config_edits::apply(&window.home, Edit::RemoveProvider(name.clone())).await?;
    let before = config::value(&change.before).map_err(|problem| problem.message)?;
    let removed = entry(&before, &name).and_then(Value::as_object).cloned();
    *last_removal.0.lock() = removed.map(|removed| (change, removed));
    Ok(())
}

/// Puts the last removed provider back, byte for byte if the file was not changed since.
#[tauri::command]
pub(crate) async fn undo_remove_model(
    window: State<'_, WindowState>,
    last_removal: State<'_, LastRemoval>,
) -> Result<(), String> {
    let removed = last_removal.0.lock().take();
    let Some((change, entry)) = removed else { return Err(tr("error.nothingToUndo")) };
    let home = window.home.clone();
    blocking::run(move || file::undo(&home, &change, &Edit::AddProvider(entry))).await.map(drop)
}

/// Lists the models of a backend, whose entry may be unsaved.
#[tauri::command]
pub(crate) async fn list_backend_models(entry: Map<String, Value>) -> Result<Vec<String>, String> {
    let provider = parse_provider(entry)?;
    let http = http_clients::backend_client()?;
    let models = provider::models(&http, &provider).await;
    models.map_err(|unavailable| unavailable.to_string())
}

/// Parses an entry. Ignores its recipes, and its name, which may still be missing.
fn parse_provider(mut entry: Map<String, Value>) -> Result<ProviderConfig, String> {
    for key in ["wake", "sleep"] {
        entry.remove(key);
    }
    entry.insert("name".into(), "unnamed".into());
    let text = json!({"llm": {"providers": [entry]}}).to_string();
    let mut parsed = config::parse(&text).map_err(|problem| problem.message)?;
    let warning = parsed.warnings.first().map(|warning| warning.message.clone());
    parsed.config.providers.pop().ok_or_else(|| warning.unwrap_or_default())
}

/// Finds backends that run on this machine.
#[tauri::command]
pub(crate) async fn find_backends() -> Vec<Found> {
    discover::backends().await
}
