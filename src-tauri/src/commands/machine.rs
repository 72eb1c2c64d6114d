//! The page's settings of this machine: keys of our own in config.json, and the start at login,
//! which is the desktop's truth and nobody else's.

use crate::edits::edit_for_page;
use crate::window::Window;
use crate::words::say;
use registrar::config::edit::Edit;
use serde::Serialize;
use serde_json::{Map, Value};
use tauri::{AppHandle, State};
use tauri_plugin_autostart::ManagerExt as _;

/// Whether this program starts at login.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct Login {
    /// It does.
    pub on: bool,
    /// Why this cannot be known or changed here.
    pub problem: Option<String>,
}

/// Changes settings; `null` takes one away. Only keys that the file's reader knows, with values that
/// it takes.
#[tauri::command]
pub(crate) async fn change_settings(
    handle: AppHandle,
    app: State<'_, Window>,
    keys: Map<String, Value>,
) -> Result<(), String> {
    let known = serde_json::to_value(app.settings()).unwrap_or_default();
    if keys.keys().any(|key| known.get(key).is_none()) {
        return Err(say("error.unknownSetting"));
    }
    edit_for_page(&handle, &app.home, Edit::ChangeSettings(keys)).await.map(drop)
}

/// Whether the desktop starts this program at login.
#[tauri::command]
pub(crate) async fn starts_at_login(handle: AppHandle) -> Login {
    match handle.autolaunch().is_enabled() {
        Ok(on) => Login { on, problem: None },
        Err(error) => Login { on: false, problem: Some(error.to_string()) },
    }
}

/// Tells the desktop to start this program at login, or not to.
#[tauri::command]
pub(crate) async fn start_at_login(handle: AppHandle, on: bool) -> Result<Login, String> {
    let login = handle.autolaunch();
    let changed = if on { login.enable() } else { login.disable() };
    changed.map_err(|error| error.to_string())?;
    Ok(starts_at_login(handle.clone()).await)
}
