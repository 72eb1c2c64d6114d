//! The commands that the page may call.
//!
//! Arguments are checked as if the page were hostile: by the code that edits config.json, by types,
//! and by limits of length. Errors are sentences for people.

pub(crate) mod account;
pub(crate) mod diagnostics;
pub(crate) mod models;
pub(crate) mod names;
pub(crate) mod settings;
pub(crate) mod wake_test;

use super::state::{WindowState, WindowUpdate};
use crate::i18n::tr;
use crate::limits::FIELD_BYTES_MAX;
use crate::pause::{self, Pause};
use registrar::config::edit::Edit;
use registrar::control_files::{self, ControlRequest};
use tauri::ipc::Channel;
use tauri::{AppHandle, State};
use tauri_plugin_clipboard_manager::ClipboardExt as _;

/// Sends the view now and whenever it changes, and every page that the tray requests.
#[tauri::command]
pub(crate) fn watch_view(window: State<'_, WindowState>, channel: Channel<WindowUpdate>) {
    window.push_updates(channel);
}

/// Sets the publish switch of one model.
#[tauri::command]
pub(crate) async fn set_publish(
    window: State<'_, WindowState>,
    name: String,
    on: bool,
) -> Result<(), String> {
    window.edit(Edit::SetPublish { name, on }).await
}

/// Pauses publishing, or resumes it without a length.
#[tauri::command]
pub(crate) async fn pause(
    window: State<'_, WindowState>,
    pause: Option<Pause>,
) -> Result<(), String> {
    window.edit(pause::edit(pause)).await
}

/// Stops a running request.
#[tauri::command]
pub(crate) fn stop_request(window: State<'_, WindowState>, task: String) -> Result<(), String> {
    let task = bounded(task)?;
    control_files::send(&window.home, &ControlRequest::Stop { task })
        .map_err(|error| error.to_string())
}

/// Copies a text to the clipboard.
#[tauri::command]
pub(crate) fn copy_text(app: AppHandle, text: String) -> Result<(), String> {
    app.clipboard().write_text(bounded(text)?).map_err(|error| error.to_string())
}

/// Refuses a text that is too long.
fn bounded(text: String) -> Result<String, String> {
    if text.len() <= FIELD_BYTES_MAX { Ok(text) } else { Err(tr("error.tooLong")) }
}

#[cfg(test)]
mod tests;
