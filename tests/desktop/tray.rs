//! The tray's menu and picture, as the panel reads them.

use crate::{World, and, hidden};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::desktop::notifications::Notifications;
use testkit::desktop::panel::Icon;
use testkit::desktop::{App, Desktop};
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

#[tokio::test]
async fn a_click_on_a_model_changes_the_file_and_the_teams_catalogue() {
    let world = World::new().await;
    let mcpctl = Mcpctl::with(&world.mcpd.url, &world.caller);
    world.icon.says("[x] qwen — ready").await;
    assert!(mcpctl.run(&["get", "llm"]).await.good().contains("qwen"));

    world.icon.click("qwen").await;
    testkit::until("the file says it", async || {
        world.home.read("config.json").contains("\"publish\": false").then_some(())
    })
    .await;
    world.icon.says("[ ] qwen").await;
    world.mcpd.gone(&world.caller, "qwen").await;
    assert!(!mcpctl.run(&["get", "llm"]).await.good().contains("qwen"));

    world.icon.click("qwen").await;
    world.icon.says("[x] qwen — ready").await;
    world.mcpd.active(&world.caller, "qwen").await;
    assert!(mcpctl.run(&["get", "llm"]).await.good().contains("qwen"));
}

#[tokio::test]
async fn an_edit_of_the_file_by_anybody_changes_the_menu() {
    let world = World::new().await;
    let off = json!({"publish": false});
    let models = [
        and(provider("qwen", &world.backend.url), &off),
        and(provider("second", &world.backend.url), &off),
    ];
    let written = tokio::time::Instant::now();
    world.configure(&models);
    world.icon.says("[ ] second").await;
    world.icon.says("[ ] qwen").await;
    assert!(written.elapsed() < std::time::Duration::from_secs(3), "{:?}", written.elapsed());
    world.home.write("{ \"llm\": [");
    world.icon.says("config.json 1:").await;
    world.icon.says("[ ] second").await;
}

#[tokio::test]
async fn the_first_line_says_what_is_wrong_and_counts_down() {
    let world = World::new().await;
    world.icon.says("● Online — 127.0.0.1").await;
    assert!(world.icon.tooltip().await.contains("Online"), "the tooltip says it too");
    let World { mut mcpd, icon, .. } = world;
    mcpd.process.kill();
    icon.says("Reconnecting").await;
    icon.says("the server cannot be reached").await;
}

#[tokio::test]
async fn the_master_switch_and_the_pause_hold_everything_back() {
    let world = World::new().await;
    world.icon.says("[x] Publish to mcpd").await;
    world.icon.click("Publish to mcpd").await;
    world.mcpd.gone(&world.caller, "qwen").await;
    world.icon.says("[ ] Publish to mcpd").await;
    world.icon.says("Paused").await;
    world.icon.says("[x] qwen — held back").await;
    world.icon.click("Publish to mcpd").await;
    world.mcpd.active(&world.caller, "qwen").await;
    world.icon.click("For 1 hour").await;
    world.icon.says("Paused until").await;
    world.mcpd.gone(&world.caller, "qwen").await;
}

#[tokio::test]
async fn who_uses_the_machine_is_in_the_menu_while_they_do() {
    let world = World::new().await;
    let answer = world.scripted(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    world.icon.says("tom is using qwen").await;
    world.icon.says("[x] qwen — busy 1").await;
    drop(answer);
    world.icon.says("[x] qwen — ready").await;
    let labels = world.icon.labels().await;
    assert!(!labels.iter().any(|label| label.contains("tom")), "{labels:?}");
}

#[tokio::test]
async fn a_taken_name_is_left_behind_by_one_click_in_the_menu() {
    let (mcpd, backend) = (Mcpd::scaled(0.1).await, Backend::awake().await);
    let caller = mcpd.token("eve", "infer");
    let toms = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let _tom = Agent::start(&toms, &mcpd.token("tom", "publish"));
    mcpd.active(&caller, "qwen").await;
    let (desktop, panel) = Desktop::with_panel().await;
    let home = Home::default();
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &mcpd.token("mia", "publish"))]);
    let icon = panel.icon().await;
    icon.says("[x] qwen — name taken: the name qwen belongs to another user").await;
    shows(&icon, "partial").await;
    icon.click("Publish as qwen-mia").await;
    icon.says("[x] qwen-mia — ready").await;
    mcpd.active(&caller, "qwen-mia").await;
    let labels = icon.labels().await;
    assert!(!labels.iter().any(|label| label.starts_with("Publish as")), "{labels:?}");
}

#[tokio::test]
async fn who_would_like_a_name_is_told_once_and_stands_in_the_menu_until_it_is_decided() {
    let (mcpd, backend) = (Mcpd::scaled(0.1).await, Backend::awake().await);
    let caller = mcpd.token("eve", "infer");
    let (desktop, panel) = Desktop::with_panel().await;
    let told = Notifications::start(&desktop.keyring.bus.address).await;
    let home = Home::default();
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &mcpd.token("mia", "publish"))]);
    let icon = panel.icon().await;
    mcpd.active(&caller, "qwen").await;
    let toms = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let _tom = Agent::start(&toms, &mcpd.token("tom", "publish"));
    let (_, title, _) = told.says("tom would like to publish qwen too").await;
    assert!(!title.is_empty());
    icon.says("tom would like to publish qwen too…").await;
    icon.click("tom would like to publish qwen too").await;
    desktop.until_windows("mcplocal", 1).await;
    home.run(&["share", "qwen", "--with", "tom"]).await.good();
    let ready = |s: &Value| s["providers"][0]["state"] == "ready";
    toms.shows("tom may publish", ready).await;
    testkit::until("nobody asks any more", async || {
        let labels = icon.labels().await;
        (!labels.iter().any(|label| label.contains("would like"))).then_some(())
    })
    .await;
}

/// The icon's picture is this file's.
async fn shows(icon: &Icon, state: &str) {
    let file = testkit::repository().join(format!("icons/tray-{state}.png"));
    let wanted = image::open(file).unwrap().to_rgba8();
    let argb: Vec<u8> = wanted.pixels().flat_map(|p| [p[3], p[0], p[1], p[2]]).collect();
    testkit::until(&format!("the icon is {state}"), async || {
        let (width, bytes) = icon.picture().await;
        (width.cast_unsigned() == wanted.width() && bytes == argb).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_state_has_its_own_picture() {
    let world = World::new().await;
    let entry = provider("qwen", &world.backend.url);
    shows(&world.icon, "online").await;
    let answer = world.scripted(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    shows(&world.icon, "busy").await;
    drop(answer);
    shows(&world.icon, "online").await;
    let down = provider("down", &format!("http://127.0.0.1:{}", testkit::free_port()));
    world.configure(&[entry.clone(), down]);
    shows(&world.icon, "partial").await;
    world.configure(&[and(entry, &json!({"publish": false}))]);
    shows(&world.icon, "off").await;
    world.configure(&[provider("qwen", &world.backend.url)]);
    shows(&world.icon, "online").await;
    let World { mut mcpd, icon, .. } = world;
    mcpd.process.kill();
    shows(&icon, "connecting").await;
}

#[tokio::test]
async fn without_a_token_the_icon_says_that_only_a_person_can_help() {
    let (desktop, panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) = (Mcpd::start().await, Backend::awake().await, Home::default());
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[]);
    let icon = panel.icon().await;
    shows(&icon, "error").await;
    icon.says("▲ Not set up").await;
}

#[test]
fn no_two_states_look_alike_even_without_colours() {
    let states = ["off", "connecting", "online", "busy", "partial", "error"];
    let grey = states.map(|state| {
        let file = testkit::repository().join(format!("icons/tray-{state}.png"));
        // As on a light panel that knows no colours.
        let picture = image::open(file).unwrap().to_rgba8();
        let shape = |p: &image::Rgba<u8>| {
            let light =
                (u32::from(p[0]) * 299 + u32::from(p[1]) * 587 + u32::from(p[2]) * 114) / 1000;
            let alpha = u32::from(p[3]);
            u8::try_from((light * alpha + 255 * (255 - alpha)) / 255).unwrap()
        };
        picture.pixels().map(shape).collect::<Vec<_>>()
    });
    for (at, one) in grey.iter().enumerate() {
        for (other_at, other) in grey.iter().enumerate().skip(at + 1) {
            let differing = one.iter().zip(other).filter(|(a, b)| a.abs_diff(**b) > 40).count();
            let names = (states[at], states[other_at]);
            assert!(differing * 50 > one.len(), "{names:?} differ in {differing} pixels only");
        }
    }
}
