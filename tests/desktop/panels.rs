//! Panels that come late, come back, or never come; and a desktop without a session bus.

use crate::{World, hidden};
use testkit::agent::{Home, provider};
use testkit::backend::Backend;
use testkit::desktop::panel::Panel;
use testkit::desktop::{App, Desktop};
use testkit::mcpd::Mcpd;

const TITLE: &str = "mcplocal";

#[tokio::test]
async fn without_a_panel_the_window_opens_and_when_the_panel_comes_the_icon_does_too() {
    let (desktop, mcpd, backend) =
        (Desktop::bare().await, Mcpd::scaled(0.1).await, Backend::awake().await);
    let home = Home::default();
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &token)]);
    mcpd.active(&mcpd.token("tom", "infer"), "qwen").await;
    desktop.until_windows(TITLE, 1).await;
    let panel = Panel::start(&desktop.keyring.bus.address).await;
    let icon = panel.icon().await;
    icon.says("[x] qwen").await;
    testkit::until("the warning goes", async || {
        let labels = icon.labels().await;
        (!labels.iter().any(|label| label.contains("no tray"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_panel_that_restarts_gets_the_icon_again() {
    let world = World::new().await;
    let World { panel, desktop, home: _home, app: _app, mcpd: _mcpd, .. } = world;
    panel.stop().await;
    let again = Panel::start(&desktop.keyring.bus.address).await;
    again.icon().await.says("[x] qwen").await;
}

#[tokio::test]
async fn without_a_panel_closing_the_window_quits_and_says_goodbye() {
    let (desktop, mcpd, backend) =
        (Desktop::bare().await, Mcpd::scaled(0.1).await, Backend::awake().await);
    let home = Home::default();
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let mut app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &token)]);
    let caller = mcpd.token("tom", "infer");
    mcpd.active(&caller, "qwen").await;
    let window = desktop.until_windows(TITLE, 1).await.remove(0);
    desktop.close(&window).await;
    mcpd.gone(&caller, "qwen").await;
    let ended = testkit::until("it ends", async || app.process.ended()).await;
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn without_a_session_bus_it_runs_in_its_window_and_is_still_the_only_one() {
    let (desktop, mcpd, backend) =
        (Desktop::bare().await, Mcpd::scaled(0.1).await, Backend::awake().await);
    let home = Home::default();
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let nowhere = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    let more = [("MCPCTL_TOKEN", token.as_str()), nowhere, ("MCPCTL_KEYCHAIN", "off")];
    let mut app = App::at_login(&desktop, &home, &more);
    mcpd.active(&mcpd.token("tom", "infer"), "qwen").await;
    desktop.until_windows(TITLE, 1).await;
    let mut second = App::start(&desktop, &home, &[], &more);
    let ended = testkit::until("the second ends", async || second.process.ended()).await;
    assert!(ended.success(), "{ended}");
    assert!(app.process.ended().is_none(), "the first goes on");
}
