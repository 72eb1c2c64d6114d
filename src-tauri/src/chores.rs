//! What follows from the status beside what is shown: notifications, a machine that stays awake, how
//! much is logged.

use crate::app::App;
use crate::page::Page;
use crate::tell::{Teller, Told};
use registrar::clock::unix_ms;
use registrar::config::settings::{KeepAwake, Settings};
use registrar::config_watch::Snapshot;
use registrar::logging::Level;
use registrar::status::{ConnectionState, Status};
use std::sync::Arc;
use tauri::{AppHandle, Manager};
use tauri_plugin_notification::NotificationExt as _;
use tokio::sync::watch;

/// Does them until the status ends.
pub(crate) async fn keep_doing(
    app: AppHandle,
    mut status: watch::Receiver<Status>,
    mut config: watch::Receiver<Arc<Snapshot>>,
    mut level: Level,
) {
    follow_clicks(&app);
    let mut teller = Teller::default();
    let mut awake = Awake::default();
    loop {
        let now = status.borrow_and_update().clone();
        let settings = config.borrow_and_update().config.settings.clone();
        for told in teller.next(&now, settings.notifications, unix_ms()) {
            notify(&app, &told);
        }
        awake.keep(wants_awake(&settings, &now)).await;
        level.set(settings.log_level);
        let offline = matches!(now.connection, ConnectionState::Reconnecting { .. });
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            changed = config.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(crate::limits::PAINT_EVERY), if offline => {}
        }
    }
}

/// Has the desktop tell it.
pub(crate) fn notify(app: &AppHandle, told: &Told) {
    // The number says where a click leads.
    let number = Page::ALL.iter().position(|page| *page == told.page);
    let number = number.and_then(|at| i32::try_from(at).ok()).unwrap_or_default();
    let builder = app.notification().builder().id(number);
    if let Err(error) = builder.title(&told.title).body(&told.body).show() {
        tracing::debug!(%error, "no notification can be shown");
    }
}

/// A click on a notification shows the page that it is about.
fn follow_clicks(app: &AppHandle) {
    let window = app.clone();
    let followed = app.notification().on_action(move |action| {
        let number = action.notification().map(|notification| notification.id());
        let page = number.and_then(|number| Page::ALL.get(usize::try_from(number).ok()?));
        let page = page.copied().unwrap_or(Page::Overview);
        window.state::<App>().opener.show(&window, Some(page.into()));
    });
    if let Err(error) = followed {
        tracing::debug!(%error, "clicks on notifications are not followed");
    }
}

fn wants_awake(settings: &Settings, status: &Status) -> bool {
    match settings.keep_awake {
        KeepAwake::Never => false,
        KeepAwake::Answering => !status.running.is_empty(),
        KeepAwake::Publishing => matches!(status.connection, ConnectionState::Online { .. }),
    }
}

/// Holds the machine awake while it has a value. The desktop is asked on a thread that may block.
#[derive(Default)]
struct Awake {
    wanted: bool,
    held: Option<keepawake::KeepAwake>,
}

impl Awake {
    async fn keep(&mut self, wanted: bool) {
        if std::mem::replace(&mut self.wanted, wanted) == wanted {
            return;
        }
        let held = self.held.take();
        let asked = tokio::task::spawn_blocking(move || {
            drop(held);
            wanted.then(hold)
        });
        match asked.await {
            Ok(Some(Ok(held))) => self.held = Some(held),
            Ok(Some(Err(error))) => tracing::warn!(%error, "this machine cannot be kept awake"),
            Ok(None) | Err(_) => {}
        }
    }
}

fn hold() -> keepawake::Result<keepawake::KeepAwake> {
    keepawake::Builder::default()
        .idle(true)
        .sleep(true)
        .reason("a language model on this machine is shared")
        .app_name("mcplocal")
        .app_reverse_domain("dev.mcpctl.mcplocal")
        .create()
}
