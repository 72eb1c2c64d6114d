//! Whether this desktop shows tray icons at all. Asked before the icon is made, because making it
//! waits for the panel on the main thread and for as long as the panel likes.

use crate::limits::BUS_CALL_MAX;
use futures_util::StreamExt as _;
use std::error::Error;

/// The panel's name on the session bus, its interface, and the object that it serves.
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const WATCHER_PATH: &str = "/StatusNotifierWatcher";

/// Succeeds when a panel is there to show an icon; otherwise says why none is.
pub(crate) async fn present() -> Result<(), String> {
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

/// Returns when the panel's name changes hands on the session bus; without a bus it never does.
pub(crate) async fn changed() {
    let followed: Result<(), zbus::Error> = async {
        let bus = zbus::connection::Builder::session()?.build().await?;
        let names = zbus::fdo::DBusProxy::new(&bus).await?;
        let mut changes = names.receive_name_owner_changed_with_args(&[(0, WATCHER)]).await?;
        changes.next().await;
        Ok(())
    }
    .await;
    if followed.is_err() {
        std::future::pending().await
    }
}
