//! The settings window of the real app, driven as a browser's page is: the page, Rust, the file, the
//! keyring, a real server and a real recipe together.

use crate::{and, hidden};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::desktop::Desktop;
use testkit::desktop::window::Window;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

fn config(home: &Home) -> Value {
    serde_json::from_str(&home.read("config.json")).unwrap()
}

#[tokio::test]
async fn a_switch_on_the_page_publishes_and_the_file_keeps_what_is_not_ours() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) = (Mcpd::scaled(0.1).await, Backend::awake().await, Home::default());
    let entry = and(provider("qwen", &backend.url), &json!({"publish": false, "x": 1}));
    let text = json!({"mcpdUrl": mcpd.url, "llm": {"providers": [entry]}, "theirs": [1.0],
                      "mcplocal": {"startHidden": true}});
    home.write(&format!("// mine\n{text}\n"));
    let token = mcpd.token("mia", "publish");
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", &token)]).await;
    window.click("Models").await;
    assert!(!window.is_on("Publish qwen").await);
    window.click("Publish qwen").await;
    mcpd.active(&mcpd.token("tom", "infer"), "qwen").await;
    let now = home.read("config.json");
    assert_eq!(now, format!("// mine\n{text}\n").replace("\"publish\":false", "\"publish\":true"));
    window.says("ready").await;
    window.close().await;
}

#[tokio::test]
async fn a_wake_recipe_is_entered_allowed_by_the_person_saved_and_tried() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (backend, home) = (Backend::asleep().await, Home::default());
    let entry = and(provider("qwen", &backend.url), &json!({"publish": false}));
    hidden(&home, "http://127.0.0.1:9", &[entry]);
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", "x")]).await;
    window.click("Models").await;
    window.click("qwen").await;
    window.choose_in("Wake", "Recipe", "command").await;
    window.fill_in("Wake", "Program", "touch").await;
    window.fill_in("Wake", "Arguments", backend.flag().to_str().unwrap()).await;
    window.click("Save and test wake").await;

    // The desktop itself asks, and a person who does not want it keeps their file.
    let question = desktop.until_windows("Run this command", 1).await.remove(0);
    desktop.press(&question, &["Escape"]).await;
    window.says("The command was not allowed").await;
    assert!(config(&home)["llm"]["providers"][0]["wake"].is_null());
    assert!(!backend.flag().exists(), "nothing was run");

    window.click("Save and test wake").await;
    let question = desktop.until_windows("Run this command", 1).await.remove(0);
    desktop.press(&question, &["Return"]).await;
    window.says("the backend is ready").await;
    let wake = &config(&home)["llm"]["providers"][0]["wake"];
    assert_eq!(wake["command"], "touch", "{wake}");
    assert!(backend.flag().exists(), "the recipe has run");
    window.close().await;
}

#[tokio::test]
async fn what_the_page_sends_is_checked_as_if_the_page_were_hostile() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let home = Home::default();
    let entry = and(provider("qwen", "http://127.0.0.1:9"), &json!({"publish": false}));
    hidden(&home, "http://127.0.0.1:9", &[entry]);
    let before = home.read("config.json");
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", "canary-token")]).await;
    window.says("Overview").await;
    let invoke = async |command: &str, args: Value| -> String {
        let script = format!(
            "const done = arguments[arguments.length - 1];\
             window.__TAURI_INTERNALS__.invoke('{command}', {args})\
               .then((it) => done('good ' + JSON.stringify(it)), (it) => done('bad ' + it))"
        );
        window.run(&script).await.unwrap().as_str().unwrap_or_default().to_owned()
    };
    for (command, args) in [
        ("plugin:fs|read_text_file", json!({"path": "/etc/passwd"})),
        ("plugin:shell|open", json!({"path": "https://example.com"})),
        ("plugin:opener|open_path", json!({"path": "/etc/passwd"})),
        ("plugin:dialog|message", json!({"message": "x"})),
        ("plugin:autostart|enable", json!({})),
        ("plugin:clipboard-manager|read_text", json!({})),
        ("plugin:window|close", json!({})),
        ("change_settings", json!({"keys": {"evil": 1}})),
        ("change_settings", json!({"keys": {"theme": "pink"}})),
        ("save_model", json!({"name": "qwen", "keys": {"url": "file:///etc/passwd"}})),
        ("save_model", json!({"name": null, "keys": {"name": "qwen", "type": "vllm"}})),
        ("save_model", json!({"name": "qwen", "keys": {"description": "x".repeat(20_000)}})),
        ("set_publish", json!({"name": "nobody", "on": true})),
        ("publish_as", json!({"name": "qwen", "new": "a b"})),
        ("share_name", json!({"name": "qwen", "with": "a\nb", "on": true})),
        ("decline_name", json!({"name": "qwen", "user": "*", "on": true})),
        ("stop_request", json!({"task": "x".repeat(20_000)})),
    ] {
        let said = invoke(command, args.clone()).await;
        assert!(said.starts_with("bad "), "{command} {args}: {said}");
    }
    assert_eq!(home.read("config.json"), before, "nothing was changed");
    for command in ["model_entry", "preview_bundle", "run_checks", "about"] {
        let said = invoke(command, json!({"name": "qwen"})).await;
        assert!(said.starts_with("good ") && !said.contains("canary"), "{command}: {said}");
    }
    let eval = "const done = arguments[arguments.length - 1];\
                fetch('https://example.com').then(() => done('good'), () => done('bad'))";
    assert_eq!(window.run(eval).await.unwrap(), "bad", "the page reaches no network");
    window.close().await;
}

#[tokio::test]
async fn another_user_is_allowed_a_name_on_the_models_page_and_it_is_taken_back() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) = (Mcpd::scaled(0.1).await, Backend::awake().await, Home::default());
    let caller = mcpd.token("eve", "infer");
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", &token)]).await;
    mcpd.active(&caller, "qwen").await;
    let toms = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let _tom = Agent::start(&toms, &mcpd.token("tom", "publish"));
    let state = |is: &'static str| toms.shows(is, move |s| s["providers"][0]["state"] == is);
    state("rejected").await;
    window.click("Models").await;
    window.says("tom would like to publish qwen too").await;
    window.click("decide").await;
    window.click("Allow tom").await;
    window.says("tom can publish qwen too").await;
    state("ready").await;
    assert_eq!(config(&home)["llm"]["providers"][0]["shareName"], json!(["tom"]));
    window.fill("Share this name with", "group:").await;
    window.click("Share").await;
    window.says("shareName: a group must have a name").await;
    window.click("Stop sharing with tom").await;
    state("rejected").await;
    window.click("Not now, tom").await;
    window.says("The request from tom is hidden").await;
    home.shows("nobody asks", |s| s["nameRequests"] == json!([])).await;
    assert_eq!(config(&home)["llm"]["providers"][0]["declineName"], json!(["tom"]));
    window.close().await;
}

#[tokio::test]
async fn a_locked_keyring_is_said_and_publishing_begins_when_it_is_unlocked() {
    let (mut desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) = (Mcpd::scaled(0.1).await, Backend::awake().await, Home::default());
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let login = ["login", "--url", &mcpd.url];
    let token = mcpd.token("mia", "publish");
    home.run_with(&login, &token, &desktop.keyring.environment()).await.good();
    desktop.keyring.lock();
    let window = Window::open(&desktop, &home, &[]).await;
    window.says("Waiting for you to unlock the keyring").await;
    desktop.keyring.unlock();
    mcpd.active(&mcpd.token("tom", "infer"), "qwen").await;
    window.says("Online").await;
    window.click("Connection").await;
    window.says("in the keychain").await;
    window.click("Sign out").await;
    window.click("Sign out").await;
    mcpd.gone(&mcpd.token("tom", "infer"), "qwen").await;
    window.close().await;
}

#[tokio::test]
async fn the_seeds_token_file_is_offered_a_move_into_the_keyring() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) = (Mcpd::scaled(0.1).await, Backend::awake().await, Home::default());
    hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let file = json!({"mcpdUrl": mcpd.url, "token": token});
    std::fs::write(home.file("credentials"), file.to_string()).unwrap();
    let window = Window::open(&desktop, &home, &[]).await;
    window.says("The token is stored in a file").await;
    window.click("Move it to the keychain").await;
    window.says("The token is in the keychain now").await;
    assert!(!home.file("credentials").exists());
    home.shows("it comes from the keychain", |s| s["credentials"] == "keychain").await;
    mcpd.active(&mcpd.token("tom", "infer"), "qwen").await;
    window.close().await;
}

#[tokio::test]
async fn a_broken_file_is_said_with_its_place_and_is_not_touched() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let home = Home::default();
    hidden(&home, "http://127.0.0.1:9", &[provider("qwen", "http://127.0.0.1:9")]);
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", "x")]).await;
    window.click("Models").await;
    window.says("qwen").await;
    home.write("{\n  \"llm\": {,}\n}");
    window.says("config.json 2:").await;
    window.click("Publish qwen").await;
    window.says("cannot be changed while it is broken").await;
    assert_eq!(home.read("config.json"), "{\n  \"llm\": {,}\n}");
    window.close().await;
}
