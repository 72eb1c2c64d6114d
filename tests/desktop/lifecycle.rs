//! Start, second start, opening and closing the window, quit, running beside an agent, notifications.

use crate::{Setup, configure_hidden};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::desktop::logind::Logind;
use testkit::desktop::notifications::Notifications;
use testkit::desktop::{App, Desktop};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;

const TITLE: &str = "mcplocal";

#[tokio::test]
async fn a_click_opens_the_window_and_closing_destroys_it_while_publishing_continues() {
    let setup = Setup::new().await;
    assert_eq!(setup.desktop.windows(TITLE).await.len(), 0, "at login it starts hidden");
    setup.icon.activate().await;
    let window = setup.desktop.until_windows(TITLE, 1).await.remove(0);
    setup.desktop.close(&window).await;
    setup.desktop.until_windows(TITLE, 0).await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    setup.icon.click("Open settings").await;
    setup.desktop.until_windows(TITLE, 1).await;
}

#[tokio::test]
async fn a_second_start_shows_the_window_of_the_first_and_exits() {
    let mut setup = Setup::new().await;
    let mut second = App::start(&setup.desktop, &setup.home, &[], &[]);
    let ended =
        testkit::until("the second process exits", async || second.process.exit_status()).await;
    assert!(ended.success(), "{ended}");
    setup.desktop.until_windows(TITLE, 1).await;
    assert!(setup.app.process.exit_status().is_none());
}

#[tokio::test]
async fn a_start_by_hand_opens_the_window() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let home = Home::default();
    configure_hidden(&home, "http://127.0.0.1:9", &[]);
    let _app = App::start(&desktop, &home, &[], &[]);
    desktop.until_windows(TITLE, 1).await;
}

#[tokio::test]
async fn quit_withdraws_the_models_and_removes_the_status() {
    let mut setup = Setup::new().await;
    setup.icon.click("Quit").await;
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
    let ended = testkit::until("the app exits", async || setup.app.process.exit_status()).await;
    assert!(ended.success(), "{ended}");
    assert!(!setup.home.file("status.json").exists());
}

#[tokio::test]
async fn a_pause_is_still_in_force_after_a_restart() {
    let mut setup = Setup::new().await;
    setup.icon.click("Publish to mcpd").await;
    setup.icon.until_line("Paused").await;
    setup.app.process.stop().await;
    let token = [("MCPCTL_TOKEN", setup.publisher.as_str())];
    let _again = App::at_login(&setup.desktop, &setup.home, &token);
    let registered_before = setup.icon;
    drop(registered_before);
    let icon = testkit::until("the new icon", async || {
        let icon = setup.panel.icon().await;
        icon.labels_or_none().await.map(|_| icon)
    })
    .await;
    icon.until_line("[ ] Publish to mcpd").await;
    icon.until_line("Paused").await;
    icon.click("Publish to mcpd").await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
}

#[tokio::test]
async fn the_machine_is_kept_awake_while_a_request_runs_if_so_configured() {
    let setup = Setup::new().await;
    let logind = Logind::start(&setup.desktop.keyring.bus.address).await;
    let mut config: Value = serde_json::from_str(&setup.home.read("config.json")).unwrap();
    config["mcplocal"]["keepAwake"] = json!("answering");
    setup.home.write(&config.to_string());
    let response = setup.scripted_chat(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    logind.until_held(&["mcplocal: idle: block", "mcplocal: sleep: block"]).await;
    drop(response);
    logind.until_held(&[]).await;
}

#[tokio::test]
async fn beside_an_agent_it_shows_the_agents_status_edits_the_same_file_and_takes_over() {
    let (mcpd, backend) = (Mcpd::start().await, FakeBackend::awake().await);
    let (desktop, panel) = Desktop::with_panel().await;
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let home = Home::default();
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let mut agent = Agent::start(&home, &publisher);
    mcpd.until_active(&caller, "qwen").await;

    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &publisher)]);
    let icon = panel.icon().await;
    icon.until_line("Published by mcplocal-agent").await;
    icon.until_line("[x] qwen — ready").await;
    icon.click("qwen").await;
    mcpd.until_gone(&caller, "qwen").await;
    icon.click("qwen").await;
    mcpd.until_active(&caller, "qwen").await;

    agent.process.stop().await;
    testkit::until("the tray app publishes", async || {
        (home.status()["program"] == "mcplocal").then_some(())
    })
    .await;
    mcpd.until_active(&caller, "qwen").await;
    icon.until_line("● Online").await;
}

#[tokio::test]
async fn a_refused_token_is_shown_as_a_notification_and_a_click_on_it_opens_the_window() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let notifications = Notifications::start(&desktop.keyring.bus.address).await;
    let (mcpd, backend, home) = (Mcpd::start().await, FakeBackend::awake().await, Home::default());
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", "mcp_publish_wrong")]);
    let (number, title, body) = notifications.until_shown("401").await;
    assert!(title.contains("refused your token") && !body.contains("mcp_publish"), "{body}");
    notifications.click(number).await;
    let window = desktop.until_windows(TITLE, 1).await.remove(0);
    desktop.close(&window).await;
    notifications.until_shown("still running").await;
}

#[tokio::test]
async fn the_app_listens_on_no_port_and_logs_neither_tokens_nor_prompts() {
    let setup = Setup::new().await;
    let script = json!({"do": "count", "n": 3, "note": "canary-prompt"});
    testkit::caller::read_stream(setup.scripted_chat(script).await).await;
    setup.icon.click("Open settings").await;
    setup.desktop.until_windows(TITLE, 1).await;
    assert_eq!(setup.app.process.listening_sockets(), 0);
    let logs = std::fs::read_dir(setup.home.file("logs")).unwrap();
    let mut read = setup.app.process.stderr() + &setup.home.read("status.json");
    for file in logs {
        read += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    assert!(read.contains("registered"), "the log has events");
    assert!(!read.contains(&setup.publisher) && !read.contains("canary-prompt"));
}
