//! Commands for this machine's settings: keys of config.json, and the start at login, whose state only
//! the desktop has.

use crate::config_edits;
use crate::i18n::tr;
use crate::window::state::WindowState;
use registrar::config::edit::Edit;
use serde::Serialize;
use serde_json::{Map, Value};
use tauri::{AppHandle, State};
use tauri_plugin_autostart::ManagerExt as _;

/// The start at login, as the desktop reports it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct Autostart {
    /// The program starts at login.
    pub enabled: bool,
    /// Why this cannot be read or changed.
    pub problem: Option<String>,
}

/// Changes settings; `null` resets one to its default. Refuses unknown keys and invalid values.
#[tauri::command]
pub(crate) async fn change_settings(
    app: AppHandle,
    window: State<'_, WindowState>,
    keys: Map<String, Value>,
) -> Result<(), String> {
    let known = serde_json::to_value(window.settings()).unwrap_or_default();
    if keys.keys().any(|key| known.get(key).is_none()) {
        return Err(tr("error.unknownSetting"));
    }
    config_edits::apply_from_page(&app, &window.home, Edit::ChangeSettings(keys)).await.map(drop)
}

/// Reads from the desktop if it starts this program at login.
#[tauri::command]
pub(crate) async fn autostart(app: AppHandle) -> Autostart {
    match app.autolaunch().is_enabled() {
        Ok(enabled) => Autostart { enabled, problem: None },
        Err(error) => Autostart { enabled: false, problem: Some(error.to_string()) },
    }
}

/// Makes the desktop start this program at login, or not.
#[tauri::command]
pub(crate) async fn set_autostart(app: AppHandle, enabled: bool) -> Result<Autostart, String> {
    let autolaunch = app.autolaunch();
    let changed = if enabled { autolaunch.enable() } else { autolaunch.disable() };
    changed.map_err(|error| error.to_string())?;
    Ok(autostart(app.clone()).await)
}
