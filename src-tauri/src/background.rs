//! Work that follows the status beside showing it: notifications, keeping the machine awake, and the
//! log's level.

use crate::events::EventSender;
use crate::keep_awake::{self, AwakeLock};
use crate::limits::REFRESH_EVERY;
use crate::notifications::{self, policy::Policy};
use registrar::clock::unix_ms;
use registrar::config_watch::Snapshot;
use registrar::logging::Level;
use registrar::status::{ConnectionState, Status};
use std::sync::Arc;
use tauri::AppHandle;
use tokio::sync::watch;

/// Runs until the status ends.
pub(crate) async fn run(
    app: AppHandle,
    events: EventSender,
    mut status: watch::Receiver<Status>,
    mut config: watch::Receiver<Arc<Snapshot>>,
    mut level: Level,
) {
    notifications::open_window_on_click(&app, events);
    let mut policy = Policy::default();
    let mut awake = AwakeLock::default();
    loop {
        let now = status.borrow_and_update().clone();
        let settings = config.borrow_and_update().config.settings.clone();
        for notification in policy.due(&now, settings.notifications, unix_ms()) {
            notifications::show(&app, &notification);
        }
        awake.set(keep_awake::is_needed(&settings, &now)).await;
        level.set(settings.log_level);
        let offline = matches!(now.connection, ConnectionState::Reconnecting { .. });
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            changed = config.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(REFRESH_EVERY), if offline => {}
        }
    }
}
