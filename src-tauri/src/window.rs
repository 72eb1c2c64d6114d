//! The settings window: made when somebody wants it, destroyed when closed, because a hidden one
//! costs as much memory as an open one.

use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder};

/// The only window; the capability file names it too.
pub(crate) const MAIN: &str = "main";

/// Brings the window to the front, making it if there is none.
pub(crate) fn show(app: &AppHandle) {
    let app = app.clone();
    // Not inside of the event that asked for it: on Windows that would deadlock.
    tauri::async_runtime::spawn(async move {
        if let Err(error) = show_or_make(&app) {
            tracing::warn!(%error, "the window could not be shown: {error}");
        }
    });
}

fn show_or_make(app: &AppHandle) -> tauri::Result<()> {
    if let Some(window) = app.get_webview_window(MAIN) {
        window.unminimize()?;
        window.show()?;
        return window.set_focus();
    }
    WebviewWindowBuilder::new(app, MAIN, WebviewUrl::default())
        .title("mcplocal")
        .inner_size(720.0, 560.0)
        .min_inner_size(360.0, 320.0)
        .build()?;
    Ok(())
}
