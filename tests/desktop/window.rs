//! The settings window of the real app, driven by WebDriver: page, Rust, configuration, keyring, a real
//! server and a real recipe together.

use crate::{configure_hidden, with_keys};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::desktop::Desktop;
use testkit::desktop::window::Window;
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

fn config(home: &Home) -> Value {
    serde_json::from_str(&home.read("config.json")).unwrap()
}

#[tokio::test]
async fn a_switch_on_the_page_publishes_and_the_rest_of_the_file_is_unchanged() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) =
        (Mcpd::scaled(0.1).await, FakeBackend::awake().await, Home::default());
    let entry = with_keys(provider("qwen", &backend.url), &json!({"publish": false, "x": 1}));
    let text = json!({"mcpdUrl": mcpd.url, "llm": {"providers": [entry]}, "theirs": [1.0],
                      "mcplocal": {"startHidden": true}});
    home.write(&format!("// mine\n{text}\n"));
    let token = mcpd.token("mia", "publish");
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", &token)]).await;
    window.click("Models").await;
    assert!(!window.is_on("Publish qwen").await);
    window.click("Publish qwen").await;
    mcpd.until_active(&mcpd.token("tom", "infer"), "qwen").await;
    let now = home.read("config.json");
    assert_eq!(now, format!("// mine\n{text}\n").replace("\"publish\":false", "\"publish\":true"));
    window.until_text("ready").await;
    window.close().await;
}

#[tokio::test]
async fn a_wake_recipe_is_entered_confirmed_in_a_dialog_saved_and_tested() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (backend, home) = (FakeBackend::asleep().await, Home::default());
    let entry = with_keys(provider("qwen", &backend.url), &json!({"publish": false}));
    configure_hidden(&home, "http://127.0.0.1:9", &[entry]);
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", "x")]).await;
    window.click("Models").await;
    window.click("qwen").await;
    window.choose_in("Wake", "Recipe", "command").await;
    window.fill_in("Wake", "Program", "touch").await;
    window.fill_in("Wake", "Arguments", backend.awake_file().to_str().unwrap()).await;
    window.click("Save and test wake").await;

    // The dialog belongs to the desktop and not to the page. Cancelling it keeps the file.
    let dialog = desktop.until_windows("Run this command", 1).await.remove(0);
    desktop.press(&dialog, &["Escape"]).await;
    window.until_text("The command was not allowed").await;
    assert!(config(&home)["llm"]["providers"][0]["wake"].is_null());
    assert!(!backend.awake_file().exists(), "nothing was run");

    window.click("Save and test wake").await;
    let dialog = desktop.until_windows("Run this command", 1).await.remove(0);
    desktop.press(&dialog, &["Return"]).await;
    window.until_text("the backend is ready").await;
    let wake = &config(&home)["llm"]["providers"][0]["wake"];
    assert_eq!(wake["command"], "touch", "{wake}");
    assert!(backend.awake_file().exists(), "the recipe has run");
    window.close().await;
}

#[tokio::test]
async fn commands_of_a_hostile_page_are_refused() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let home = Home::default();
    let entry = with_keys(provider("qwen", "http://127.0.0.1:9"), &json!({"publish": false}));
    configure_hidden(&home, "http://127.0.0.1:9", &[entry]);
    let before = home.read("config.json");
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", "canary-token")]).await;
    window.until_text("Overview").await;
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
        let result = invoke(command, args.clone()).await;
        assert!(result.starts_with("bad "), "{command} {args}: {result}");
    }
    assert_eq!(home.read("config.json"), before, "nothing was changed");
    for command in ["model_entry", "preview_bundle", "run_checks", "about"] {
        let result = invoke(command, json!({"name": "qwen"})).await;
        assert!(result.starts_with("good ") && !result.contains("canary"), "{command}: {result}");
    }
    let eval = "const done = arguments[arguments.length - 1];\
                fetch('https://example.com').then(() => done('good'), () => done('bad'))";
    assert_eq!(window.run(eval).await.unwrap(), "bad", "the page reaches no network");
    window.close().await;
}

#[tokio::test]
async fn a_name_is_shared_with_another_user_on_the_models_page_and_the_share_is_revoked() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) =
        (Mcpd::scaled(0.1).await, FakeBackend::awake().await, Home::default());
    let caller = mcpd.token("eve", "infer");
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", &token)]).await;
    mcpd.until_active(&caller, "qwen").await;
    let toms = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let _tom = Agent::start(&toms, &mcpd.token("tom", "publish"));
    let state = |is: &'static str| toms.until_status(is, move |s| s["providers"][0]["state"] == is);
    state("rejected").await;
    window.click("Models").await;
    window.until_text("tom would like to publish qwen too").await;
    window.click("decide").await;
    window.click("Allow tom").await;
    window.until_text("tom can publish qwen too").await;
    state("ready").await;
    assert_eq!(config(&home)["llm"]["providers"][0]["shareName"], json!(["tom"]));
    window.fill("Share this name with", "group:").await;
    window.click("Share").await;
    window.until_text("shareName: a group must have a name").await;
    window.click("Stop sharing with tom").await;
    state("rejected").await;
    window.click("Not now, tom").await;
    window.until_text("The request from tom is hidden").await;
    home.until_status("no request", |s| s["nameRequests"] == json!([])).await;
    assert_eq!(config(&home)["llm"]["providers"][0]["declineName"], json!(["tom"]));
    window.close().await;
}

#[tokio::test]
async fn a_locked_keyring_is_shown_and_publishing_begins_when_it_is_unlocked() {
    let (mut desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) =
        (Mcpd::scaled(0.1).await, FakeBackend::awake().await, Home::default());
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let login = ["login", "--url", &mcpd.url];
    let token = mcpd.token("mia", "publish");
    home.run_with(&login, &token, &desktop.keyring.environment()).await.expect_success();
    desktop.keyring.lock();
    let window = Window::open(&desktop, &home, &[]).await;
    window.until_text("Waiting for you to unlock the keyring").await;
    desktop.keyring.unlock();
    mcpd.until_active(&mcpd.token("tom", "infer"), "qwen").await;
    window.until_text("Online").await;
    window.click("Connection").await;
    window.until_text("in the keychain").await;
    window.click("Sign out").await;
    window.click("Sign out").await;
    mcpd.until_gone(&mcpd.token("tom", "infer"), "qwen").await;
    window.close().await;
}

#[tokio::test]
async fn a_token_in_a_file_is_moved_into_the_keyring_on_request() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let (mcpd, backend, home) =
        (Mcpd::scaled(0.1).await, FakeBackend::awake().await, Home::default());
    configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    let file = json!({"mcpdUrl": mcpd.url, "token": token});
    std::fs::write(home.file("credentials"), file.to_string()).unwrap();
    let window = Window::open(&desktop, &home, &[]).await;
    window.until_text("The token is stored in a file").await;
    window.click("Move it to the keychain").await;
    window.until_text("The token is in the keychain now").await;
    assert!(!home.file("credentials").exists());
    home.until_status("it comes from the keychain", |s| s["credentials"] == "keychain").await;
    mcpd.until_active(&mcpd.token("tom", "infer"), "qwen").await;
    window.close().await;
}

#[tokio::test]
async fn a_broken_configuration_is_shown_with_its_position_and_is_not_changed() {
    let (desktop, _panel) = Desktop::with_panel().await;
    let home = Home::default();
    configure_hidden(&home, "http://127.0.0.1:9", &[provider("qwen", "http://127.0.0.1:9")]);
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", "x")]).await;
    window.click("Models").await;
    window.until_text("qwen").await;
    home.write("{\n  \"llm\": {,}\n}");
    window.until_text("config.json 2:").await;
    window.click("Publish qwen").await;
    window.until_text("cannot be changed while it is broken").await;
    assert_eq!(home.read("config.json"), "{\n  \"llm\": {,}\n}");
    window.close().await;
}
