//! Controls of the user who publishes: pauses, quiet hours, stopping a request, sign-in by a pairing
//! code; and what the status shows of past requests.

use crate::Setup;
use jiff::ToSpan as _;
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::caller::read_stream;
use testkit::fake_backend::FakeBackend;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

fn set_settings(setup: &Setup, settings: &Value) {
    let mut config: Value = serde_json::from_str(&setup.home.read("config.json")).unwrap();
    config["mcplocal"] = settings.clone();
    setup.home.write(&config.to_string());
}

#[tokio::test]
async fn a_pause_in_the_configuration_withdraws_everything_and_its_end_publishes_it_again() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    set_settings(&setup, &json!({"pausedUntil": "turnedOn"}));
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
    let held = setup.home.until_status("held back", |s| s["connection"]["state"] == "held").await;
    assert_eq!(held["connection"]["reason"], "paused");
    set_settings(&setup, &json!({}));
    setup.mcpd.until_active(&setup.caller, "qwen").await;
}

#[tokio::test]
async fn a_pause_until_a_time_ends_by_itself() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = jiff::Timestamp::from_second(now.as_secs().cast_signed() + 3).unwrap();
    set_settings(&setup, &json!({"pausedUntil": until.to_string()}));
    setup.home.until_status("held back", |s| s["connection"]["until"].as_u64().is_some()).await;
    setup.home.until_status("online", |s| s["connection"]["state"] == "online").await;
}

#[tokio::test]
async fn quiet_hours_withdraw_everything_until_they_are_over() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let now = jiff::Zoned::now();
    let at = |hours: i64| (&now + hours.hours()).strftime("%H:%M").to_string();
    set_settings(&setup, &json!({"quietHours": {"from": at(-1), "to": at(1)}}));
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
    let held = setup.home.until_status("held back", |s| s["connection"]["state"] == "held").await;
    assert_eq!(held["connection"]["reason"], "quietHours");
    set_settings(&setup, &json!({"quietHours": {"from": at(1), "to": at(2)}}));
    setup.mcpd.until_active(&setup.caller, "qwen").await;
}

#[tokio::test]
async fn a_pause_until_the_restart_ends_with_the_next_start() {
    let mut setup = Setup::new().await;
    set_settings(&setup, &json!({"pausedUntil": "restart", "theme": "dark"}));
    setup.home.until_status("held back", |s| s["connection"]["state"] == "held").await;
    setup.agent.process.stop().await;
    setup.agent = Agent::start(&setup.home, &setup.publisher);
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let config = setup.home.read("config.json");
    assert!(!config.contains("pausedUntil") && config.contains("dark"), "{config}");
}

#[tokio::test]
async fn a_running_request_is_shown_with_its_user_and_can_be_stopped_with_an_error_for_the_caller()
{
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let response = setup.scripted_chat(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    let status = setup.home.until_status("one running", |s| s["running"][0].is_object()).await;
    let running = &status["running"][0];
    assert_eq!((&running["user"], &running["llm"]), (&json!("tom"), &json!("qwen")));

    std::fs::create_dir_all(setup.home.file("requests")).unwrap();
    let stop = json!({"what": "stop", "task": running["taskId"]});
    // Written and renamed, as our programs do: a half-written request is discarded.
    std::fs::write(setup.home.file("requests/1.new"), stop.to_string()).unwrap();
    let [new, request] = ["requests/1.new", "requests/1.json"].map(|name| setup.home.file(name));
    std::fs::rename(new, request).unwrap();
    let streamed = read_stream(response).await;
    assert_eq!(streamed.error.as_deref(), Some("stopped_by_owner"), "{streamed:?}");
    assert!(!streamed.done, "{streamed:?}");
    setup.backend.until_open_responses(0).await;
    let status = setup.home.until_status("the ended request", |s| s["recent"][0].is_object()).await;
    let ended = &status["recent"][0];
    assert_eq!((&ended["outcome"], &ended["user"]), (&json!("stopped_by_owner"), &json!("tom")));
    assert_eq!(status["running"], json!([]));
}

#[tokio::test]
async fn a_finished_request_is_listed_with_its_tokens_and_without_its_content() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let body = json!({"secret": "a canary", "usage": {"completion_tokens": 42}}).to_string();
    let script = json!({"do": "status", "status": 200, "body": body});
    let chat = json!({"model": "qwen", "messages": [], "x_script": script});
    assert_eq!(setup.chat(&chat).await.status(), 200);
    let status = setup.home.until_status("the ended request", |s| s["recent"][0].is_object()).await;
    let ended = &status["recent"][0];
    assert_eq!((&ended["tokens"], &ended["outcome"]), (&json!(42), &json!("done")));
    assert_eq!(ended["path"], "/v1/chat/completions");
    assert!(!status.to_string().contains("canary"));
}

#[tokio::test]
async fn a_pairing_code_signs_in_and_a_sign_out_withdraws_what_is_published() {
    let mcpd = Mcpd::start().await;
    let backend = FakeBackend::awake().await;
    let home = Home::default();
    home.write(&json!({"llm": {"providers": [provider("qwen", &backend.url)]}}).to_string());
    let _agent = Agent::with_environment(&home, &[]);
    home.until_status("not configured", |s| s["connection"]["state"] == "notConfigured").await;

    let admin = Mcpctl::with(&mcpd.url, &mcpd.token("root", "admin"));
    let pair = ["token", "pair", "--user", "mia", "--scope", "publish"];
    let code = admin.run(&pair).await.expect_success();
    let login = ["login", "--url", &mcpd.url, "--insecure-storage", "--code", code.trim()];
    home.run(&login).await.expect_success();
    let caller = mcpd.token("tom", "infer");
    mcpd.until_active(&caller, "qwen").await;
    let again = home.run(&login).await.expect_failure();
    assert!(again.contains("pairing code"), "{again}");

    home.run(&["logout"]).await.expect_success();
    mcpd.until_gone(&caller, "qwen").await;
    home.until_status("not configured", |s| s["connection"]["state"] == "notConfigured").await;
}
