//! What a click on the tray's menu does.

use crate::app::{self, App};
use crate::limits::PAUSE;
use crate::menu::{Action, Pause};
use crate::page::{Page, Place};
use jiff::{Timestamp, Zoned};
use registrar::config::Config;
use registrar::config::edit::Edit;
use registrar::config::settings::PausedUntil;
use registrar::publish_gate::{self, HoldReason};
use serde_json::{Value, json};
use tauri::{AppHandle, Manager};
use tauri_plugin_clipboard_manager::ClipboardExt as _;

/// Does what a menu line asks for.
pub(crate) fn act(app: &AppHandle, action: Action) {
    let state = app.state::<App>();
    match action {
        Action::OpenSettings => state.opener.show(app, None),
        Action::OpenActivity => state.opener.show(app, Some(Page::Activity.into())),
        Action::OpenModels => state.opener.show(app, Some(Page::Models.into())),
        Action::OpenModel(name) => state.opener.show(app, Some(Place::of_model(name))),
        Action::CopyUrl => copy_url(app),
        Action::Quit => app::quit(app),
        Action::TogglePublishing => click(app, |config| {
            let held = publish_gate::check(&config.settings, &Zoned::now(), false);
            let is_paused = held.is_some_and(|held| held.reason == HoldReason::Paused);
            paused((!is_paused).then_some(Pause::TurnedOn))
        }),
        Action::Pause(pause) => click(app, move |_| paused(Some(pause))),
        Action::Toggle(name) => click(app, |config| {
            let on = !config.provider(&name).is_some_and(|provider| provider.publish);
            Edit::SetPublish { name, on }
        }),
        Action::PublishAs { name, new } => click(app, |_| Edit::PublishAs { name, new }),
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

/// The opposite of what stands in the file now, and not of what was seen of it last: that may be
/// older than the check mark which the person clicked.
fn click(app: &AppHandle, edit: impl FnOnce(&Config) -> Edit + Send + 'static) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let state = app.state::<App>();
        state.click(edit).await;
    });
}

fn copy_url(app: &AppHandle) {
    let Some(url) = app.state::<App>().view().call_url else { return };
    if let Err(error) = app.clipboard().write_text(url) {
        tracing::warn!(%error, "the clipboard cannot be written");
    }
}
