//! Start, second start, windows that come and go, quit; beside an agent; what a person is told.

use crate::{World, hidden};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::desktop::logind::Logind;
use testkit::desktop::notifications::Notifications;
use testkit::desktop::{App, Desktop};
use testkit::mcpd::Mcpd;

const TITLE: &str = "mcplocal";

#[tokio::test]
async fn the_window_is_made_by_a_click_and_destroyed_by_closing_and_publishing_goes_on() {
    let world = World::new().await;
    assert_eq!(world.desktop.windows(TITLE).await.len(), 0, "at login it starts hidden");
    world.icon.activate().await;
    let window = world.desktop.until_windows(TITLE, 1).await.remove(0);
    world.desktop.close(&window).await;
    world.desktop.until_windows(TITLE, 0).await;
    world.mcpd.active(&world.caller, "qwen").await;
    world.icon.click("Open settings").await;
    world.desktop.until_windows(TITLE, 1).await;
}

#[tokio::test]
async fn a_second_start_shows_the_window_of_the_first_and_ends() {
    let mut world = World::new().await;
    let mut second = App::start(&world.desktop, &world.home, &[], &[]);
    let ended = testkit::until("the second ends", async || second.process.ended()).await;
    assert!(ended.success(), "{ended}");
    world.desktop.until_windows(TITLE, 1).await;
    assert!(world.app.process.ended().is_none());
}

#[tokio::test]
async fn a_start_by_hand_opens_the_window() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let home = Home::default();
    hidden(&home, "http://127.0.0.1:9", &[]);
    let _app = App::start(&desktop, &home, &[], &[]);
    desktop.until_windows(TITLE, 1).await;
}

#[tokio::test]
async fn quit_withdraws_what_is_published_and_leaves_nothing() {
    let mut world = World::new().await;
    world.icon.click("Quit").await;
    world.mcpd.gone(&world.caller, "qwen").await;
    let ended = testkit::until("it ends", async || world.app.process.ended()).await;
    assert!(ended.success(), "{ended}");
    assert!(!world.home.file("status.json").exists());
}

#[tokio::test]
async fn the_last_state_is_there_again_after_a_restart() {
    let mut world = World::new().await;
    world.icon.click("Publish to mcpd").await;
    world.icon.says("Paused").await;
    world.app.process.stop().await;
    let token = [("MCPCTL_TOKEN", world.publisher.as_str())];
    let _again = App::at_login(&world.desktop, &world.home, &token);
    let registered_before = world.icon;
    drop(registered_before);
    let icon = testkit::until("the new icon", async || {
        let icon = world.panel.icon().await;
        icon.labels_or_none().await.map(|_| icon)
    })
    .await;
    icon.says("[ ] Publish to mcpd").await;
    icon.says("Paused").await;
    icon.click("Publish to mcpd").await;
    world.mcpd.active(&world.caller, "qwen").await;
}

#[tokio::test]
async fn the_machine_is_kept_awake_while_somebody_is_answered_when_so_chosen() {
    let world = World::new().await;
    let logind = Logind::start(&world.desktop.keyring.bus.address).await;
    let mut config: Value = serde_json::from_str(&world.home.read("config.json")).unwrap();
    config["mcplocal"]["keepAwake"] = json!("answering");
    world.home.write(&config.to_string());
    let answer = world.scripted(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    logind.until_held(&["mcplocal: idle: block", "mcplocal: sleep: block"]).await;
    drop(answer);
    logind.until_held(&[]).await;
}

#[tokio::test]
async fn beside_an_agent_it_shows_the_agents_status_edits_the_same_file_and_takes_over() {
    let (mcpd, backend) = (Mcpd::start().await, Backend::awake().await);
    let (desktop, panel) = Desktop::with_panel().await;
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let home = Home::default();
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let mut agent = Agent::start(&home, &publisher);
    mcpd.active(&caller, "qwen").await;

    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &publisher)]);
    let icon = panel.icon().await;
    icon.says("Published by mcplocal-agent").await;
    icon.says("[x] qwen — ready").await;
    icon.click("qwen").await;
    mcpd.gone(&caller, "qwen").await;
    icon.click("qwen").await;
    mcpd.active(&caller, "qwen").await;

    agent.process.stop().await;
    testkit::until("the tray app publishes", async || {
        (home.status()["program"] == "mcplocal").then_some(())
    })
    .await;
    mcpd.active(&caller, "qwen").await;
    icon.says("● Online").await;
}

#[tokio::test]
async fn a_refused_token_is_told_by_the_desktop_and_a_click_leads_to_the_window() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let told = Notifications::start(&desktop.keyring.bus.address).await;
    let (mcpd, backend, home) = (Mcpd::start().await, Backend::awake().await, Home::default());
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", "mcp_publish_wrong")]);
    let (number, title, body) = told.says("401").await;
    assert!(title.contains("refused your token") && !body.contains("mcp_publish"), "{body}");
    told.click(number).await;
    let window = desktop.until_windows(TITLE, 1).await.remove(0);
    desktop.close(&window).await;
    told.says("still running").await;
}

#[tokio::test]
async fn nothing_listens_and_no_log_holds_a_token_or_a_question() {
    let world = World::new().await;
    let script = json!({"do": "count", "n": 3, "note": "canary-question"});
    testkit::caller::read(world.scripted(script).await).await;
    world.icon.click("Open settings").await;
    world.desktop.until_windows(TITLE, 1).await;
    assert_eq!(world.app.process.listening(), 0);
    let logs = std::fs::read_dir(world.home.file("logs")).unwrap();
    let mut read = world.app.process.err() + &world.home.read("status.json");
    for file in logs {
        read += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    assert!(read.contains("registered"), "the log says what happens");
    assert!(!read.contains(&world.publisher) && !read.contains("canary-question"));
}
