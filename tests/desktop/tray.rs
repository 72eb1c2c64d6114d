//! The tray icon's menu and picture, as the panel reads them.

use crate::{Setup, configure_hidden, with_keys};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::desktop::notifications::Notifications;
use testkit::desktop::panel::Icon;
use testkit::desktop::{App, Desktop};
use testkit::fake_backend::FakeBackend;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

#[tokio::test]
async fn a_click_on_a_model_changes_the_configuration_and_the_catalogue() {
    let setup = Setup::new().await;
    let mcpctl = Mcpctl::with(&setup.mcpd.url, &setup.caller);
    setup.icon.until_line("[x] qwen — ready").await;
    assert!(mcpctl.run(&["get", "llm"]).await.expect_success().contains("qwen"));

    setup.icon.click("qwen").await;
    testkit::until("the configuration has publish: false", async || {
        setup.home.read("config.json").contains("\"publish\": false").then_some(())
    })
    .await;
    setup.icon.until_line("[ ] qwen").await;
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
    assert!(!mcpctl.run(&["get", "llm"]).await.expect_success().contains("qwen"));

    setup.icon.click("qwen").await;
    setup.icon.until_line("[x] qwen — ready").await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    assert!(mcpctl.run(&["get", "llm"]).await.expect_success().contains("qwen"));
}

#[tokio::test]
async fn an_edit_of_the_configuration_changes_the_menu() {
    let setup = Setup::new().await;
    let off = json!({"publish": false});
    let models = [
        with_keys(provider("qwen", &setup.backend.url), &off),
        with_keys(provider("second", &setup.backend.url), &off),
    ];
    let written = tokio::time::Instant::now();
    setup.configure(&models);
    setup.icon.until_line("[ ] second").await;
    setup.icon.until_line("[ ] qwen").await;
    assert!(written.elapsed() < std::time::Duration::from_secs(3), "{:?}", written.elapsed());
    setup.home.write("{ \"llm\": [");
    setup.icon.until_line("config.json 1:").await;
    setup.icon.until_line("[ ] second").await;
}

#[tokio::test]
async fn the_first_line_shows_what_is_wrong() {
    let setup = Setup::new().await;
    setup.icon.until_line("● Online — 127.0.0.1").await;
    assert!(setup.icon.tooltip().await.contains("Online"), "the tooltip shows it too");
    let Setup { mut mcpd, icon, .. } = setup;
    mcpd.process.kill();
    icon.until_line("Reconnecting").await;
    icon.until_line("the server cannot be reached").await;
}

#[tokio::test]
async fn the_master_switch_and_a_pause_withdraw_everything() {
    let setup = Setup::new().await;
    setup.icon.until_line("[x] Publish to mcpd").await;
    setup.icon.click("Publish to mcpd").await;
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
    setup.icon.until_line("[ ] Publish to mcpd").await;
    setup.icon.until_line("Paused").await;
    setup.icon.until_line("[x] qwen — held back").await;
    setup.icon.click("Publish to mcpd").await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    setup.icon.click("For 1 hour").await;
    setup.icon.until_line("Paused until").await;
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
}

#[tokio::test]
async fn the_user_of_a_running_request_is_in_the_menu() {
    let setup = Setup::new().await;
    let response = setup.scripted_chat(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    setup.icon.until_line("tom is using qwen").await;
    setup.icon.until_line("[x] qwen — busy 1").await;
    drop(response);
    setup.icon.until_line("[x] qwen — ready").await;
    let labels = setup.icon.labels().await;
    assert!(!labels.iter().any(|label| label.contains("tom")), "{labels:?}");
}

#[tokio::test]
async fn a_taken_name_is_changed_by_one_click_in_the_menu() {
    let (mcpd, backend) = (Mcpd::scaled(0.1).await, FakeBackend::awake().await);
    let caller = mcpd.token("eve", "infer");
    let toms = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let _tom = Agent::start(&toms, &mcpd.token("tom", "publish"));
    mcpd.until_active(&caller, "qwen").await;
    let (desktop, panel) = Desktop::with_panel().await;
    let home = Home::default();
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &mcpd.token("mia", "publish"))]);
    let icon = panel.icon().await;
    icon.until_line("[x] qwen — name taken: the name qwen belongs to another user").await;
    until_picture(&icon, "partial").await;
    icon.click("Publish as qwen-mia").await;
    icon.until_line("[x] qwen-mia — ready").await;
    mcpd.until_active(&caller, "qwen-mia").await;
    let labels = icon.labels().await;
    assert!(!labels.iter().any(|label| label.starts_with("Publish as")), "{labels:?}");
}

#[tokio::test]
async fn a_request_for_a_name_is_notified_once_and_is_in_the_menu_until_it_is_decided() {
    let (mcpd, backend) = (Mcpd::scaled(0.1).await, FakeBackend::awake().await);
    let caller = mcpd.token("eve", "infer");
    let (desktop, panel) = Desktop::with_panel().await;
    let notifications = Notifications::start(&desktop.keyring.bus.address).await;
    let home = Home::default();
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &mcpd.token("mia", "publish"))]);
    let icon = panel.icon().await;
    mcpd.until_active(&caller, "qwen").await;
    let toms = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let _tom = Agent::start(&toms, &mcpd.token("tom", "publish"));
    let (_, title, _) = notifications.until_shown("tom would like to publish qwen too").await;
    assert!(!title.is_empty());
    icon.until_line("tom would like to publish qwen too…").await;
    icon.click("tom would like to publish qwen too").await;
    desktop.until_windows("mcplocal", 1).await;
    home.run(&["share", "qwen", "--with", "tom"]).await.expect_success();
    let ready = |s: &Value| s["providers"][0]["state"] == "ready";
    toms.until_status("tom may publish", ready).await;
    testkit::until("the request disappears from the menu", async || {
        let labels = icon.labels().await;
        (!labels.iter().any(|label| label.contains("would like"))).then_some(())
    })
    .await;
}

/// Waits until the icon shows the picture of this state.
async fn until_picture(icon: &Icon, state: &str) {
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
    let setup = Setup::new().await;
    let entry = provider("qwen", &setup.backend.url);
    until_picture(&setup.icon, "online").await;
    let response = setup.scripted_chat(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    until_picture(&setup.icon, "busy").await;
    drop(response);
    until_picture(&setup.icon, "online").await;
    let down = provider("down", &format!("http://127.0.0.1:{}", testkit::free_port()));
    setup.configure(&[entry.clone(), down]);
    until_picture(&setup.icon, "partial").await;
    setup.configure(&[with_keys(entry, &json!({"publish": false}))]);
    until_picture(&setup.icon, "off").await;
    setup.configure(&[provider("qwen", &setup.backend.url)]);
    until_picture(&setup.icon, "online").await;
    let Setup { mut mcpd, icon, .. } = setup;
    mcpd.process.kill();
    until_picture(&icon, "connecting").await;
}

#[tokio::test]
async fn without_a_token_the_icon_shows_an_error() {
    let (desktop, panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) = (Mcpd::start().await, FakeBackend::awake().await, Home::default());
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let _app = App::at_login(&desktop, &home, &[]);
    let icon = panel.icon().await;
    until_picture(&icon, "error").await;
    icon.until_line("▲ Not set up").await;
}

#[test]
fn no_two_states_look_alike_even_without_colours() {
    let states = ["off", "connecting", "online", "busy", "partial", "error"];
    let grey = states.map(|state| {
        let file = testkit::repository().join(format!("icons/tray-{state}.png"));
        // As on a light panel without colours.
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
