//! Checks over D-Bus if a panel shows tray icons. Done before the icon is created, because creating
//! it blocks the main thread until the panel responds.

use crate::limits::BUS_CALL_MAX;
use futures_util::StreamExt as _;
use std::error::Error;

/// The panel's name on the session bus, its interface, and the object that it serves.
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const WATCHER_PATH: &str = "/StatusNotifierWatcher";

/// Checks that a panel is there to show an icon.
///
/// # Errors
/// The bus cannot be reached, does not respond, or has no panel that shows icons; in words.
pub(crate) async fn check() -> Result<(), String> {
    match tokio::time::timeout(BUS_CALL_MAX, has_host()).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("the panel shows no tray icons".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the session bus does not answer".into()),
    }
}

async fn has_host() -> Result<bool, Box<dyn Error + Send + Sync>> {
    let bus = zbus::connection::Builder::session()?.build().await?;
    let reply = bus
        .call_method(
            Some(WATCHER),
            WATCHER_PATH,
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &(WATCHER, "IsStatusNotifierHostRegistered"),
        )
        .await?;
    Ok(reply.body().deserialize::<zbus::zvariant::Value<'_>>()?.downcast_ref::<bool>()?)
}

/// Returns when the panel's name on the session bus changes its owner; never without a bus.
pub(crate) async fn changed() {
    let watched: Result<(), zbus::Error> = async {
        let bus = zbus::connection::Builder::session()?.build().await?;
        let names = zbus::fdo::DBusProxy::new(&bus).await?;
        let mut changes = names.receive_name_owner_changed_with_args(&[(0, WATCHER)]).await?;
        changes.next().await;
        Ok(())
    }
    .await;
    if watched.is_err() {
        std::future::pending().await
    }
}
