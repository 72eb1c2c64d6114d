//! The page's look at what is wrong, and what can be sent to whoever helps.

use crate::edits::on_a_thread;
use crate::view::About;
use crate::window::Window;
use crate::words::say;
use registrar::diagnostics::{self, Entry};
use registrar::doctor::{self, Finding, Verdict};
use serde::Serialize;
use tauri::{AppHandle, State};
use tauri_plugin_dialog::DialogExt as _;
use tauri_plugin_opener::OpenerExt as _;
use tokio::sync::oneshot;

/// What this program is.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct AboutUs {
    /// Its version.
    pub version: String,
    /// The file that it edits.
    pub config: String,
    /// Where its logs are.
    pub logs: String,
}

/// Looks for what could be wrong.
#[tauri::command]
pub(crate) async fn examine(app: State<'_, Window>) -> Result<Vec<Finding>, String> {
    let mut findings = doctor::examine(&app.home, &app.keychain).await;
    findings.push(tray(&app));
    Ok(findings)
}

/// Whether the panel shows our icon.
fn tray(app: &Window) -> Finding {
    let missing = app.view().notices.into_iter().find(|notice| notice.about == About::Tray);
    let (verdict, found, fix) = match missing {
        None => (Verdict::Good, say("check.trayGood"), None),
        Some(notice) => (Verdict::Notice, notice.text, Some(say("check.trayFix"))),
    };
    Finding { about: say("check.tray"), verdict, found, fix }
}

/// Everything that a bundle would hold.
#[tauri::command]
pub(crate) async fn bundle(app: State<'_, Window>) -> Result<Vec<Entry>, String> {
    Ok(diagnostics::collect(&app.home, &app.keychain).await)
}

/// Asks where, and writes the bundle there; where that is, or nothing when the person decided
/// against it.
#[tauri::command]
pub(crate) async fn save_bundle(
    handle: AppHandle,
    app: State<'_, Window>,
) -> Result<Option<String>, String> {
    let (answer, answered) = oneshot::channel();
    handle.dialog().file().set_file_name("mcplocal-diagnostics.zip").save_file(move |path| {
        let _ = answer.send(path);
    });
    let Some(path) = answered.await.ok().flatten() else { return Ok(None) };
    let path = path.into_path().map_err(|error| error.to_string())?;
    let entries = diagnostics::collect(&app.home, &app.keychain).await;
    let place = path.display().to_string();
    on_a_thread(move || diagnostics::write(&entries, &path)).await?;
    Ok(Some(place))
}

/// Shows the folder with the logs.
#[tauri::command]
pub(crate) fn open_logs(handle: AppHandle, app: State<'_, Window>) -> Result<(), String> {
    let place = app.home.logs().display().to_string();
    handle.opener().open_path(place, None::<&str>).map_err(|error| error.to_string())
}

/// What this program is.
#[tauri::command]
pub(crate) fn about(app: State<'_, Window>) -> AboutUs {
    AboutUs {
        version: env!("CARGO_PKG_VERSION").into(),
        config: app.home.config().display().to_string(),
        logs: app.home.logs().display().to_string(),
    }
}
