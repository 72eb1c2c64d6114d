//! Desktops whose panel starts late, restarts or is missing, and one without a session bus.

use crate::{Setup, configure_hidden};
use testkit::agent::{Home, provider};
use testkit::desktop::panel::Panel;
use testkit::desktop::{App, Desktop};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;

const TITLE: &str = "mcplocal";

#[tokio::test]
async fn without_a_panel_the_window_opens_and_the_icon_appears_when_a_panel_starts() {
    let (desktop, mcpd, backend) =
        (Desktop::bare().await, Mcpd::scaled(0.1).await, FakeBackend::awake().await);
    let home = Home::default();
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &token)]);
    mcpd.until_active(&mcpd.token("tom", "infer"), "qwen").await;
    desktop.until_windows(TITLE, 1).await;
    let panel = Panel::start(&desktop.keyring.bus.address).await;
    let icon = panel.icon().await;
    icon.until_line("[x] qwen").await;
    testkit::until("the warning disappears", async || {
        let labels = icon.labels().await;
        (!labels.iter().any(|label| label.contains("no tray"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_panel_that_restarts_gets_the_icon_again() {
    let setup = Setup::new().await;
    let Setup { panel, desktop, home: _home, app: _app, mcpd: _mcpd, .. } = setup;
    panel.stop().await;
    let again = Panel::start(&desktop.keyring.bus.address).await;
    again.icon().await.until_line("[x] qwen").await;
}

#[tokio::test]
async fn without_a_panel_closing_the_window_quits_and_withdraws_the_models() {
    let (desktop, mcpd, backend) =
        (Desktop::bare().await, Mcpd::scaled(0.1).await, FakeBackend::awake().await);
    let home = Home::default();
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let mut app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &token)]);
    let caller = mcpd.token("tom", "infer");
    mcpd.until_active(&caller, "qwen").await;
    let window = desktop.until_windows(TITLE, 1).await.remove(0);
    desktop.close(&window).await;
    mcpd.until_gone(&caller, "qwen").await;
    let ended = testkit::until("the app exits", async || app.process.exit_status()).await;
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn without_a_session_bus_the_app_runs_in_its_window_and_only_once() {
    let (desktop, mcpd, backend) =
        (Desktop::bare().await, Mcpd::scaled(0.1).await, FakeBackend::awake().await);
    let home = Home::default();
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let nowhere = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    let more = [("MCPCTL_TOKEN", token.as_str()), nowhere, ("MCPCTL_KEYCHAIN", "off")];
    let mut app = App::at_login(&desktop, &home, &more);
    mcpd.until_active(&mcpd.token("tom", "infer"), "qwen").await;
    desktop.until_windows(TITLE, 1).await;
    let mut second = App::start(&desktop, &home, &[], &more);
    let ended =
        testkit::until("the second process exits", async || second.process.exit_status()).await;
    assert!(ended.success(), "{ended}");
    assert!(app.process.exit_status().is_none(), "the first process still runs");
}
