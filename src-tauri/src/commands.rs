//! What the page may ask for, a few lines each. Arguments are checked as if the page were hostile: by
//! the code that edits the file, by types that know nothing else, and by limits of length.

pub(crate) mod account;
pub(crate) mod diagnostics;
pub(crate) mod machine;
pub(crate) mod models;
pub(crate) mod names;

use crate::actions::paused;
use crate::limits::FIELD_CHARS_MAX;
use crate::menu::Pause;
use crate::window::{News, Window};
use registrar::config::edit::Edit;
use registrar::control_files::{self, ControlRequest};
use tauri::ipc::Channel;
use tauri::{AppHandle, State};
use tauri_plugin_clipboard_manager::ClipboardExt as _;

/// Sends how things are now and whenever that changes, until the window is closed.
#[tauri::command]
pub(crate) fn watch_status(app: State<'_, Window>, channel: Channel<News>) {
    app.show_to_page(channel);
}

/// Sets the publish switch of one model in config.json.
#[tauri::command]
pub(crate) async fn set_publish(
    app: State<'_, Window>,
    name: String,
    on: bool,
) -> Result<(), String> {
    app.click(Edit::SetPublish { name, on }).await
}

/// Pauses publishing, or goes on with it.
#[tauri::command]
pub(crate) async fn pause(app: State<'_, Window>, pause: Option<Pause>) -> Result<(), String> {
    app.click(paused(pause)).await
}

/// Stops a running request.
#[tauri::command]
pub(crate) fn stop_request(app: State<'_, Window>, task: String) -> Result<(), String> {
    let task = bounded(task)?;
    control_files::send(&app.home, &ControlRequest::Stop { task })
        .map_err(|error| error.to_string())
}

/// Puts a text into the clipboard.
#[tauri::command]
pub(crate) fn copy_text(handle: AppHandle, text: String) -> Result<(), String> {
    handle.clipboard().write_text(bounded(text)?).map_err(|error| error.to_string())
}

/// A text of bounded length.
fn bounded(text: String) -> Result<String, String> {
    if text.len() <= FIELD_CHARS_MAX { Ok(text) } else { Err(crate::words::say("error.tooLong")) }
}

#[cfg(test)]
mod tests;
