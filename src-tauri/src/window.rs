//! The settings window: made when somebody wants it, destroyed when closed, because a hidden one
//! costs as much memory as an open one.

use crate::app::App;
use crate::words::say;
use registrar::config::settings::Theme;
use serde::Serialize;
use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder};

/// The only window; the capability file names it too.
pub(crate) const MAIN: &str = "main";

/// The pages that something outside of the window can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum Page {
    /// How things are.
    Overview,
    /// The list of models.
    Models,
    /// Server and token.
    Connection,
    /// Who used the models.
    Activity,
}

impl Page {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Overview, Self::Models, Self::Connection, Self::Activity];
}

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

/// As [`show`], at this page.
pub(crate) fn show_page(app: &AppHandle, page: Page) {
    app.state::<App>().want_page(page);
    show(app);
}

/// The window's own colours; the page follows by itself.
pub(crate) fn set_theme(app: &AppHandle, theme: Theme) {
    if let Some(window) = app.get_webview_window(MAIN)
        && let Err(error) = window.set_theme(native(theme))
    {
        tracing::debug!(%error, "the window's theme could not be set");
    }
}

fn native(theme: Theme) -> Option<tauri::Theme> {
    match theme {
        Theme::System => None,
        Theme::Light => Some(tauri::Theme::Light),
        Theme::Dark => Some(tauri::Theme::Dark),
    }
}

fn show_or_make(app: &AppHandle) -> tauri::Result<()> {
    if let Some(window) = app.get_webview_window(MAIN) {
        window.unminimize()?;
        window.show()?;
        return window.set_focus();
    }
    let theme = app.state::<App>().settings().theme;
    let mut window = WebviewWindowBuilder::new(app, MAIN, WebviewUrl::default())
        .title(say("window.title"))
        // Keeps nothing, and its network process ends with it.
        .incognito(true)
        .theme(native(theme))
        .inner_size(940.0, 660.0)
        .min_inner_size(360.0, 320.0);
    if let Some(icon) = app.default_window_icon() {
        window = window.icon(icon.clone())?;
    }
    window.build()?;
    Ok(())
}
