//! Commands for diagnostics: checks, the bundle for support, logs and version.

use crate::blocking;
use crate::i18n::tr;
use crate::view::NoticeKind;
use crate::window::state::WindowState;
use registrar::diagnostics::{self, Entry};
use registrar::doctor::{self, Finding, Verdict};
use serde::Serialize;
use tauri::{AppHandle, State};
use tauri_plugin_dialog::DialogExt as _;
use tauri_plugin_opener::OpenerExt as _;
use tokio::sync::oneshot;

/// Version and files of this program.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct AboutInfo {
    /// The version.
    pub version: String,
    /// The path of config.json.
    pub config: String,
    /// The folder with the log files.
    pub logs: String,
}

/// Runs the doctor's checks and one of the tray icon.
#[tauri::command]
pub(crate) async fn run_checks(window: State<'_, WindowState>) -> Result<Vec<Finding>, String> {
    let mut findings = doctor::examine(&window.home, &window.keychain).await;
    findings.push(check_tray(&window));
    Ok(findings)
}

/// Checks that a panel shows the icon.
fn check_tray(window: &WindowState) -> Finding {
    let missing = window.view().notices.into_iter().find(|notice| notice.kind == NoticeKind::Tray);
    let (verdict, found, fix) = match missing {
        None => (Verdict::Good, tr("check.trayGood"), None),
        Some(notice) => (Verdict::Notice, notice.text, Some(tr("check.trayFix"))),
    };
    Finding { about: tr("check.tray"), verdict, found, fix }
}

/// Returns the files that a bundle would contain.
#[tauri::command]
pub(crate) async fn preview_bundle(window: State<'_, WindowState>) -> Result<Vec<Entry>, String> {
    Ok(diagnostics::collect(&window.home, &window.keychain).await)
}

/// Saves the bundle where the person chooses. Returns its path; `None` if the person cancels.
#[tauri::command]
pub(crate) async fn save_bundle(
    app: AppHandle,
    window: State<'_, WindowState>,
) -> Result<Option<String>, String> {
    let (chosen, choice) = oneshot::channel();
    app.dialog().file().set_file_name("mcplocal-diagnostics.zip").save_file(move |path| {
        let _ = chosen.send(path);
    });
    let Some(path) = choice.await.ok().flatten() else { return Ok(None) };
    let path = path.into_path().map_err(|error| error.to_string())?;
    let entries = diagnostics::collect(&window.home, &window.keychain).await;
    let saved = path.display().to_string();
    blocking::run(move || diagnostics::write(&entries, &path)).await?;
    Ok(Some(saved))
}

/// Opens the folder with the log files.
#[tauri::command]
pub(crate) fn open_logs(app: AppHandle, window: State<'_, WindowState>) -> Result<(), String> {
    let folder = window.home.logs().display().to_string();
    app.opener().open_path(folder, None::<&str>).map_err(|error| error.to_string())
}

/// Returns the version and the files of this program.
#[tauri::command]
pub(crate) fn about(window: State<'_, WindowState>) -> AboutInfo {
    AboutInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        config: window.home.config().display().to_string(),
        logs: window.home.logs().display().to_string(),
    }
}
