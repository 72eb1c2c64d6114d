//! What the owner of the machine decides: pause, stop one request, sign in by a pairing code; and
//! what they see of who used it.

use crate::World;
use jiff::ToSpan as _;
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::read;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

fn settings(world: &World, settings: &Value) {
    let mut config: Value = serde_json::from_str(&world.home.read("config.json")).unwrap();
    config["mcplocal"] = settings.clone();
    world.home.write(&config.to_string());
}

#[tokio::test]
async fn a_pause_in_the_file_withdraws_everything_and_its_end_publishes_it_again() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    settings(&world, &json!({"pausedUntil": "turnedOn"}));
    world.mcpd.gone(&world.caller, "qwen").await;
    let held = world.home.shows("held back", |s| s["connection"]["state"] == "held").await;
    assert_eq!(held["connection"]["reason"], "paused");
    settings(&world, &json!({}));
    world.mcpd.active(&world.caller, "qwen").await;
}

#[tokio::test]
async fn a_pause_until_a_time_ends_by_itself() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = jiff::Timestamp::from_second(now.as_secs().cast_signed() + 3).unwrap();
    settings(&world, &json!({"pausedUntil": until.to_string()}));
    world.home.shows("held back", |s| s["connection"]["until"].as_u64().is_some()).await;
    world.home.shows("online", |s| s["connection"]["state"] == "online").await;
}

#[tokio::test]
async fn quiet_hours_hold_everything_back_until_they_are_over() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let now = jiff::Zoned::now();
    let at = |hours: i64| (&now + hours.hours()).strftime("%H:%M").to_string();
    settings(&world, &json!({"quietHours": {"from": at(-1), "to": at(1)}}));
    world.mcpd.gone(&world.caller, "qwen").await;
    let held = world.home.shows("held back", |s| s["connection"]["state"] == "held").await;
    assert_eq!(held["connection"]["reason"], "quietHours");
    settings(&world, &json!({"quietHours": {"from": at(1), "to": at(2)}}));
    world.mcpd.active(&world.caller, "qwen").await;
}

#[tokio::test]
async fn a_pause_until_the_restart_is_gone_with_the_next_start() {
    let mut world = World::new().await;
    settings(&world, &json!({"pausedUntil": "restart", "theme": "dark"}));
    world.home.shows("held back", |s| s["connection"]["state"] == "held").await;
    world.agent.process.stop().await;
    world.agent = Agent::start(&world.home, &world.publisher);
    world.mcpd.active(&world.caller, "qwen").await;
    let config = world.home.read("config.json");
    assert!(!config.contains("pausedUntil") && config.contains("dark"), "{config}");
}

#[tokio::test]
async fn the_owner_sees_who_asks_and_stops_it_and_the_caller_is_told_why() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let answer = world.scripted(json!({"do": "count", "n": 9, "stallAt": 3})).await;
    let status = world.home.shows("one running", |s| s["running"][0].is_object()).await;
    let running = &status["running"][0];
    assert_eq!((&running["user"], &running["llm"]), (&json!("tom"), &json!("qwen")));

    std::fs::create_dir_all(world.home.file("requests")).unwrap();
    let stop = json!({"what": "stop", "task": running["taskId"]});
    // In one step, as our programs do: a half-written request is rubbish and taken away.
    std::fs::write(world.home.file("requests/1.new"), stop.to_string()).unwrap();
    let [new, request] = ["requests/1.new", "requests/1.json"].map(|name| world.home.file(name));
    std::fs::rename(new, request).unwrap();
    let streamed = read(answer).await;
    assert_eq!(streamed.error.as_deref(), Some("stopped_by_owner"), "{streamed:?}");
    assert!(!streamed.done, "{streamed:?}");
    world.backend.until_open(0).await;
    let status = world.home.shows("it ended", |s| s["recent"][0].is_object()).await;
    let ended = &status["recent"][0];
    assert_eq!((&ended["outcome"], &ended["user"]), (&json!("stopped_by_owner"), &json!("tom")));
    assert_eq!(status["running"], json!([]));
}

#[tokio::test]
async fn what_ran_is_remembered_with_its_tokens_and_without_a_word_of_it() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let body = json!({"secret": "a canary", "usage": {"completion_tokens": 42}}).to_string();
    let script = json!({"do": "status", "status": 200, "body": body});
    let chat = json!({"model": "qwen", "messages": [], "x_script": script});
    assert_eq!(world.chat(&chat).await.status(), 200);
    let status = world.home.shows("it ended", |s| s["recent"][0].is_object()).await;
    let ended = &status["recent"][0];
    assert_eq!((&ended["tokens"], &ended["outcome"]), (&json!(42), &json!("done")));
    assert_eq!(ended["path"], "/v1/chat/completions");
    assert!(!status.to_string().contains("canary"));
}

#[tokio::test]
async fn a_pairing_code_signs_in_and_a_sign_out_withdraws_what_is_published() {
    let mcpd = Mcpd::start().await;
    let backend = Backend::awake().await;
    let home = Home::default();
    home.write(&json!({"llm": {"providers": [provider("qwen", &backend.url)]}}).to_string());
    let _agent = Agent::with(&home, &[]);
    home.shows("not set up", |s| s["connection"]["state"] == "notConfigured").await;

    let admin = Mcpctl::with(&mcpd.url, &mcpd.token("root", "admin"));
    let pair = ["token", "pair", "--user", "mia", "--scope", "publish"];
    let code = admin.run(&pair).await.good();
    let login = ["login", "--url", &mcpd.url, "--insecure-storage", "--code", code.trim()];
    home.run(&login).await.good();
    let caller = mcpd.token("tom", "infer");
    mcpd.active(&caller, "qwen").await;
    let again = home.run(&login).await.bad();
    assert!(again.contains("pairing code"), "{again}");

    home.run(&["logout"]).await.good();
    mcpd.gone(&caller, "qwen").await;
    home.shows("not set up", |s| s["connection"]["state"] == "notConfigured").await;
}
