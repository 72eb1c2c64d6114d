//! Publishing: register, session, heartbeats, reconnects, withdrawal.

use crate::{Setup, chat_body, with_keys};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use testkit::agent::{Agent, Home, provider};
use testkit::caller::{counted, read_stream};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use testkit::protocol1_peer::Protocol1Peer;

#[tokio::test]
async fn a_published_model_is_called_through_mcpd_streamed_and_whole() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let streamed = read_stream(setup.scripted_chat(json!({"do": "count", "n": 40})).await).await;
    assert_eq!((streamed.text.as_str(), streamed.done), (counted(40).as_str(), true));
    let response = setup.chat(&chat_body()).await;
    assert_eq!(response.status(), 200);
    let response: serde_json::Value = response.json().await.unwrap();
    assert_eq!(response["choices"][0]["message"]["content"], "whole");
}

#[tokio::test]
async fn without_a_published_model_the_agent_connects_to_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let private = with_keys(provider("qwen", "http://127.0.0.1:9"), &json!({"publish": false}));
    let home = Home::with_config(&url, &[private]);
    let _agent = Agent::start(&home, "t");
    home.until_status("idle", |s| s["connection"]["state"] == "idle").await;
    let call = tokio::time::timeout(std::time::Duration::from_millis(500), listener.accept());
    assert!(call.await.is_err(), "the agent connected");

    home.configure(&url, &[provider("qwen", "http://127.0.0.1:9")]);
    let call = tokio::time::timeout(testkit::TIMEOUT, listener.accept()).await;
    call.expect("the agent connects once a model is published").unwrap();
}

#[tokio::test]
async fn the_session_is_stored_in_a_private_file_and_keeps_its_entries_after_a_restart() {
    let mut setup = Setup::new().await;
    let entry = setup.mcpd.until_active(&setup.caller, "qwen").await;
    let file = setup.home.file("provider-session");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let session = setup.home.read("provider-session");

    setup.agent.process.kill();
    setup.agent = Agent::start(&setup.home, &setup.publisher);
    setup.home.until_status("online", |s| s["connection"]["state"] == "online").await;
    let again = setup.mcpd.until_active(&setup.caller, "qwen").await;
    assert_eq!(again["id"], entry["id"]);
    assert_eq!(setup.home.read("provider-session"), session);
}

#[tokio::test]
async fn heartbeats_come_at_their_interval() {
    let (server, url) = Protocol1Peer::server().await;
    let backend = FakeBackend::awake().await;
    let home = Home::with_config(&url, &[provider("qwen", &backend.url)]);
    let _agent = Agent::start(&home, "t");
    // 30 s at a tenth, with 10 % of jitter either way.
    let times = testkit::until("four heartbeats", async || {
        let events = server.events();
        let heartbeats = events.iter().filter(|event| event["kind"] == "heartbeat");
        let times: Vec<u64> = heartbeats.map(|event| event["at"].as_u64().unwrap()).collect();
        (times.len() >= 4).then_some(times)
    })
    .await;
    let gaps: Vec<u64> = times.windows(2).map(|two| two[1] - two[0]).skip(1).collect();
    assert!(gaps.iter().all(|gap| (2_600..4_500).contains(gap)), "{gaps:?}");
}

#[tokio::test]
async fn a_refused_register_is_shown_with_its_cause_and_retried() {
    let (_server, url) = Protocol1Peer::server().await;
    let fault =
        |fault| reqwest::Client::new().post(format!("{url}/control/faults")).json(&fault).send();
    fault(json!({"register": 500})).await.unwrap();
    let home = Home::with_config(&url, &[provider("qwen", "http://127.0.0.1:9")]);
    let _agent = Agent::start(&home, "t");
    let status =
        home.until_status("reconnecting", |s| s["connection"]["state"] == "reconnecting").await;
    let message = status["connection"]["message"].as_str().unwrap();
    assert!(message.contains("500") && message.contains("the server is unwell"), "{message}");
    fault(json!({})).await.unwrap();
    home.until_status("online", |s| s["connection"]["state"] == "online").await;
}

#[tokio::test]
async fn a_refused_token_stops_the_agent_with_the_reason_and_a_new_one_starts_it_again() {
    let mcpd = Mcpd::start().await;
    let backend = FakeBackend::awake().await;
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let token = home.file("token");
    std::fs::write(&token, "mcp_publish_wrong").unwrap();
    let _agent = Agent::with_environment(&home, &[("MCPCTL_TOKEN_FILE", token.to_str().unwrap())]);
    let status = home.until_status("stopped", |s| s["connection"]["state"] == "stopped").await;
    let message = status["connection"]["message"].as_str().unwrap();
    assert!(message.contains("401"), "{message}");

    std::fs::write(&token, mcpd.token("mia", "publish")).unwrap();
    mcpd.until_active(&mcpd.token("tom", "infer"), "qwen").await;
}

#[tokio::test]
async fn missing_credentials_are_reported_and_checked_again_and_do_not_fail_the_start() {
    let mcpd = Mcpd::start().await;
    let backend = FakeBackend::awake().await;
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let mut agent = Agent::with_environment(&home, &[]);
    let status =
        home.until_status("not configured", |s| s["connection"]["state"] == "notConfigured").await;
    assert!(status["connection"]["message"].as_str().unwrap().contains("login"));
    assert!(agent.process.exit_status().is_none());
    // The credentials file of the earlier system.
    let file = json!({"mcpdUrl": mcpd.url, "token": mcpd.token("mia", "publish")});
    std::fs::write(home.file("credentials"), file.to_string()).unwrap();
    let online = home.until_status("online", |s| s["connection"]["state"] == "online").await;
    assert_eq!(online["credentials"], "file");
}

#[tokio::test]
async fn a_backend_that_is_down_hibernates_only_when_a_recipe_can_wake_it() {
    let mcpd = Mcpd::start().await;
    let (up, asleep) = (FakeBackend::awake().await, FakeBackend::asleep().await);
    let down = format!("http://127.0.0.1:{}", testkit::free_port());
    let wake = json!({"wake": asleep.wake_command()});
    let providers = [
        with_keys(provider("up", &up.url), &wake),
        with_keys(provider("asleep", &asleep.url), &wake),
        with_keys(provider("off", &down), &wake),
        provider("gone", &down),
    ];
    let home = Home::with_config(&mcpd.url, &providers);
    let _agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    let caller = mcpd.token("tom", "infer");
    for (name, status) in
        [("up", "active"), ("asleep", "hibernating"), ("off", "hibernating"), ("gone", "inactive")]
    {
        mcpd.until_entry(&caller, name, |entry| entry["status"] == status).await;
    }
}

#[tokio::test]
async fn a_restart_of_the_server_keeps_the_ids_of_its_entries() {
    let mut setup = Setup::new().await;
    let before = setup.mcpd.until_active(&setup.caller, "qwen").await;
    setup.mcpd = setup.mcpd.restart().await;
    let after = setup.mcpd.until_active(&setup.caller, "qwen").await;
    assert_eq!(after["id"], before["id"]);
    let streamed = read_stream(setup.scripted_chat(json!({"do": "count", "n": 3})).await).await;
    assert!(streamed.done);
}

#[tokio::test]
async fn a_stopped_agent_withdraws_its_models_and_removes_its_status() {
    let mut setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    assert!(setup.agent.process.stop().await.success());
    // The withdrawal is acknowledged before the process exits: no wait for a lease.
    let response = setup.mcpd.get("/api/v1/llms/qwen", &setup.caller).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert!(!setup.home.file("status.json").exists());
    assert_eq!(setup.home.run(&["status"]).await.code, Some(3), "exit code of nothing publishes");
}

#[tokio::test]
async fn a_request_that_runs_when_the_agent_is_stopped_completes() {
    let mut setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let response = setup.scripted_chat(json!({"do": "count", "n": 20, "pauseMs": 50})).await;
    setup.agent.process.signal("TERM");
    let streamed = read_stream(response).await;
    assert_eq!((streamed.text, streamed.done), (counted(20), true));
    testkit::until("the agent exits", async || setup.agent.process.exit_status()).await;
}

#[tokio::test]
async fn an_agent_whose_session_is_unknown_registers_again_at_once() {
    let (server, url) = Protocol1Peer::server().await;
    let backend = FakeBackend::awake().await;
    let home = Home::with_config(&url, &[provider("qwen", &backend.url)]);
    let _agent = Agent::start(&home, "t");
    server.until_event("channel", |_| true).await;
    let control = |path: &str| reqwest::Client::new().post(format!("{url}/control/{path}")).send();
    control("forget").await.unwrap();
    control("close").await.unwrap();
    testkit::until("the agent registers again and opens a channel", async || {
        (server.count("register") >= 2 && server.count("channel") >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_agent_listens_on_no_port_and_loads_no_desktop_library() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    assert_eq!(setup.agent.process.listening_sockets(), 0, "the agent has no listening socket");
    assert_eq!(setup.mcpd.process.listening_sockets(), 1, "the check finds listening sockets");
    let libraries = setup.agent.process.libraries();
    assert!(libraries.contains("libc"), "the check finds loaded libraries");
    for desktop in ["gtk", "webkit", "libX11", "wayland"] {
        assert!(!libraries.contains(desktop), "the agent has loaded {desktop}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_retried_after_pauses_within_their_bounds() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let backend = FakeBackend::awake().await;
    let home = Home::with_config(&url, &[provider("qwen", &backend.url)]);
    let _agent = Agent::start(&home, "t");
    let mut connects = Vec::new();
    for _ in 0..5 {
        drop(listener.accept().await.unwrap());
        connects.push(tokio::time::Instant::now());
    }
    let pauses: Vec<_> = connects.windows(2).map(|two| (two[1] - two[0]).as_millis()).collect();
    // At this scale 50 ms to 500 ms, doubled with each attempt; a second more for a busy machine.
    for (at, pause) in pauses.iter().enumerate() {
        assert!((50..(500 << at) + 1_000).contains(pause), "{pauses:?}");
    }
}
