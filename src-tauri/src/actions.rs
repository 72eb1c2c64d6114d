//! What a click on the tray's menu does.

use crate::app::{self, App};
use crate::limits::PAUSE;
use crate::menu::{Action, Pause};
use crate::window::Page;
use jiff::Timestamp;
use registrar::config::edit::Edit;
use registrar::config::settings::PausedUntil;
use serde_json::{Value, json};
use tauri::{AppHandle, Manager};
use tauri_plugin_clipboard_manager::ClipboardExt as _;

/// Does what a menu line asks for.
pub(crate) fn act(app: &AppHandle, action: Action) {
    let state = app.state::<App>();
    match action {
        Action::OpenSettings => state.opener.show(app, None),
        Action::OpenActivity => state.opener.show(app, Some(Page::Activity)),
        Action::CopyUrl => copy_url(app),
        Action::Quit => app::quit(app),
        Action::TogglePublishing if state.view().publishing => {
            click(app, paused(Some(Pause::TurnedOn)));
        }
        Action::TogglePublishing => click(app, paused(None)),
        Action::Pause(pause) => click(app, paused(Some(pause))),
        Action::Toggle(name) => {
            let on = !state.config().provider(&name).is_some_and(|provider| provider.publish);
            click(app, Edit::SetPublish { name, on });
        }
    }
}

/// The edit that pauses publishing, or goes on with it.
pub(crate) fn paused(pause: Option<Pause>) -> Edit {
    let until = pause.map(|pause| match pause {
        Pause::Hour => {
            let end = Timestamp::now().checked_add(PAUSE).unwrap_or(Timestamp::MAX);
            PausedUntil::At(Timestamp::from_second(end.as_second()).unwrap_or(end))
        }
        Pause::Restart => PausedUntil::Restart,
        Pause::TurnedOn => PausedUntil::TurnedOn,
    });
    let until: Value = json!(until);
    Edit::ChangeSettings([("pausedUntil".to_owned(), until)].into_iter().collect())
}

fn click(app: &AppHandle, edit: Edit) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move { app.state::<App>().click(edit).await });
}

fn copy_url(app: &AppHandle) {
    let Some(url) = app.state::<App>().view().call_url else { return };
    if let Err(error) = app.clipboard().write_text(url) {
        tracing::warn!(%error, "the clipboard cannot be written");
    }
}
