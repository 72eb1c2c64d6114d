//! What the seed system did, and still is done: register, session, heartbeat, reconnect, goodbye.

use crate::{World, and, whole};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::{counted, read};
use testkit::mcpd::Mcpd;
use testkit::peer::Peer;
use testkit::process::CommandLine as _;

#[tokio::test]
async fn a_published_model_is_called_through_mcpd_streamed_and_whole() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let streamed = read(world.scripted(json!({"do": "count", "n": 40})).await).await;
    assert_eq!((streamed.text.as_str(), streamed.done), (counted(40).as_str(), true));
    let answer = world.chat(&whole()).await;
    assert_eq!(answer.status(), 200);
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "whole");
}

#[tokio::test]
async fn nothing_opted_in_means_no_call_at_all_until_somebody_opts_in() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let private = and(provider("qwen", "http://127.0.0.1:9"), &json!({"publish": false}));
    let home = Home::with(&url, &[private]);
    let _agent = Agent::start(&home, "t");
    home.shows("that nothing is published", |s| s["connection"]["state"] == "idle").await;
    let call = tokio::time::timeout(std::time::Duration::from_millis(500), server.accept());
    assert!(call.await.is_err(), "a call was made");

    home.configure(&url, &[provider("qwen", "http://127.0.0.1:9")]);
    let call = tokio::time::timeout(testkit::PATIENCE, server.accept()).await;
    call.expect("opted in, a call is made").unwrap();
}

#[tokio::test]
async fn the_session_is_kept_in_a_private_file_and_gets_the_same_rows_after_a_restart() {
    let mut world = World::new().await;
    let row = world.mcpd.active(&world.caller, "qwen").await;
    let file = world.home.file("provider-session");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let session = world.home.read("provider-session");

    world.agent.process.kill();
    world.agent = Agent::start(&world.home, &world.publisher);
    world.home.shows("online", |s| s["connection"]["state"] == "online").await;
    let again = world.mcpd.active(&world.caller, "qwen").await;
    assert_eq!(again["id"], row["id"]);
    assert_eq!(world.home.read("provider-session"), session);
}

#[tokio::test]
async fn heartbeats_come_at_their_interval() {
    let seed = Peer::start("seed-mcpd.mjs", &[]);
    let url = seed.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
    let backend = Backend::awake().await;
    let home = Home::with(&url, &[provider("qwen", &backend.url)]);
    let _agent = Agent::start(&home, "t");
    // 30 s at a tenth, and 10 % of jitter either way.
    let beats = testkit::until("four heartbeats", async || {
        let told = seed.told();
        let at: Vec<u64> = told
            .iter()
            .filter(|told| told["kind"] == "heartbeat")
            .map(|told| told["at"].as_u64().unwrap())
            .collect();
        (at.len() >= 4).then_some(at)
    })
    .await;
    let gaps: Vec<u64> = beats.windows(2).map(|two| two[1] - two[0]).skip(1).collect();
    assert!(gaps.iter().all(|gap| (2_600..4_500).contains(gap)), "{gaps:?}");
}

#[tokio::test]
async fn an_error_of_register_is_shown_with_its_cause_and_tried_again() {
    let seed = Peer::start("seed-mcpd.mjs", &[]);
    let url = seed.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
    let fault =
        |fault| reqwest::Client::new().post(format!("{url}/control/faults")).json(&fault).send();
    fault(json!({"register": 500})).await.unwrap();
    let home = Home::with(&url, &[provider("qwen", "http://127.0.0.1:9")]);
    let _agent = Agent::start(&home, "t");
    let status = home.shows("reconnecting", |s| s["connection"]["state"] == "reconnecting").await;
    let message = status["connection"]["message"].as_str().unwrap();
    assert!(message.contains("500") && message.contains("the seed is unwell"), "{message}");
    fault(json!({})).await.unwrap();
    home.shows("online", |s| s["connection"]["state"] == "online").await;
}

#[tokio::test]
async fn a_refused_token_stops_with_the_reason_and_a_new_one_goes_on() {
    let mcpd = Mcpd::start().await;
    let backend = Backend::awake().await;
    let home = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let token = home.file("token");
    std::fs::write(&token, "mcp_publish_wrong").unwrap();
    let _agent = Agent::with(&home, &[("MCPCTL_TOKEN_FILE", token.to_str().unwrap())]);
    let status = home.shows("stopped", |s| s["connection"]["state"] == "stopped").await;
    let message = status["connection"]["message"].as_str().unwrap();
    assert!(message.contains("401"), "{message}");

    std::fs::write(&token, mcpd.token("mia", "publish")).unwrap();
    mcpd.active(&mcpd.token("tom", "infer"), "qwen").await;
}

#[tokio::test]
async fn missing_credentials_are_said_and_looked_for_again_and_never_a_failed_start() {
    let mcpd = Mcpd::start().await;
    let backend = Backend::awake().await;
    let home = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let mut agent = Agent::with(&home, &[]);
    let status =
        home.shows("not configured", |s| s["connection"]["state"] == "notConfigured").await;
    assert!(status["connection"]["message"].as_str().unwrap().contains("login"));
    assert!(agent.process.ended().is_none());
    // The seed system's file, which it still understands.
    let file = json!({"mcpdUrl": mcpd.url, "token": mcpd.token("mia", "publish")});
    std::fs::write(home.file("credentials"), file.to_string()).unwrap();
    let online = home.shows("online", |s| s["connection"]["state"] == "online").await;
    assert_eq!(online["credentials"], "file");
}

#[tokio::test]
async fn a_backend_that_is_down_hibernates_only_when_a_recipe_can_wake_it() {
    let mcpd = Mcpd::start().await;
    let (up, asleep) = (Backend::awake().await, Backend::asleep().await);
    let down = format!("http://127.0.0.1:{}", testkit::free_port());
    let wake = json!({"wake": asleep.wake_command()});
    let providers = [
        and(provider("up", &up.url), &wake),
        and(provider("asleep", &asleep.url), &wake),
        and(provider("off", &down), &wake),
        provider("gone", &down),
    ];
    let home = Home::with(&mcpd.url, &providers);
    let _agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    let caller = mcpd.token("tom", "infer");
    for (name, status) in
        [("up", "active"), ("asleep", "hibernating"), ("off", "hibernating"), ("gone", "inactive")]
    {
        mcpd.row(&caller, name, |row| row["status"] == status).await;
    }
}

#[tokio::test]
async fn a_restart_of_the_server_revives_the_same_rows_with_the_same_ids() {
    let mut world = World::new().await;
    let before = world.mcpd.active(&world.caller, "qwen").await;
    world.mcpd = world.mcpd.restart().await;
    let after = world.mcpd.active(&world.caller, "qwen").await;
    assert_eq!(after["id"], before["id"]);
    let streamed = read(world.scripted(json!({"do": "count", "n": 3})).await).await;
    assert!(streamed.done);
}

#[tokio::test]
async fn a_stop_withdraws_closes_the_channel_and_leaves_nothing() {
    let mut world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    assert!(world.agent.process.stop().await.success());
    // Acknowledged before the process ended: no waiting for a lease.
    let answer = world.mcpd.get("/api/v1/llms/qwen", &world.caller).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(!world.home.file("status.json").exists());
    assert_eq!(world.home.run(&["status"]).await.code, Some(3), "nobody publishes");
}

#[tokio::test]
async fn a_request_that_runs_when_the_agent_is_stopped_may_end() {
    let mut world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let answer = world.scripted(json!({"do": "count", "n": 20, "pauseMs": 50})).await;
    world.agent.process.signal("TERM");
    let streamed = read(answer).await;
    assert_eq!((streamed.text, streamed.done), (counted(20), true));
    testkit::until("the agent ends", async || world.agent.process.ended()).await;
}

#[tokio::test]
async fn an_unknown_session_is_registered_again_at_once() {
    let seed = Peer::start("seed-mcpd.mjs", &[]);
    let url = seed.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
    let backend = Backend::awake().await;
    let home = Home::with(&url, &[provider("qwen", &backend.url)]);
    let _agent = Agent::start(&home, "t");
    seed.tells("channel", |_| true).await;
    let control = |path: &str| reqwest::Client::new().post(format!("{url}/control/{path}")).send();
    control("forget").await.unwrap();
    control("close").await.unwrap();
    testkit::until("it registers again and is back", async || {
        let count = |kind| seed.told().iter().filter(|told| told["kind"] == kind).count();
        (count("register") >= 2 && count("channel") >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_publishing_process_listens_on_nothing_and_carries_no_desktop() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    assert_eq!(world.chat(&whole()).await.status(), 200);
    assert_eq!(world.agent.process.listening(), 0, "the agent listens");
    assert_eq!(world.mcpd.process.listening(), 1, "a server can be seen to listen");
    let libraries = world.agent.process.libraries();
    assert!(libraries.contains("libc"), "they can be seen");
    for desktop in ["gtk", "webkit", "libX11", "wayland"] {
        assert!(!libraries.contains(desktop), "the agent carries {desktop}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_tried_again_after_pauses_within_their_bounds() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let backend = Backend::awake().await;
    let home = Home::with(&url, &[provider("qwen", &backend.url)]);
    let _agent = Agent::start(&home, "t");
    let mut calls = Vec::new();
    for _ in 0..5 {
        drop(server.accept().await.unwrap());
        calls.push(tokio::time::Instant::now());
    }
    let pauses: Vec<_> = calls.windows(2).map(|two| (two[1] - two[0]).as_millis()).collect();
    // At a tenth: from 50 ms to half a second, which doubles with each try; plus a busy machine.
    for (at, pause) in pauses.iter().enumerate() {
        assert!((50..(500 << at) + 1_000).contains(pause), "{pauses:?}");
    }
}
