//! Wakes: a request to a sleeping backend runs its recipe first.

use crate::{Setup, chat_body, with_keys};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::caller::{error_code, read_stream};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::until_exited;
use testkit::protocol1_peer::Protocol1Peer;

async fn sleeping_setup(wake: impl FnOnce(&FakeBackend) -> Value) -> Setup {
    let backend = FakeBackend::asleep().await;
    let wake = wake(&backend);
    Setup::with_parts(Mcpd::start().await, backend, |entry| {
        with_keys(entry, &json!({"wake": wake}))
    })
    .await
}

#[tokio::test]
async fn a_command_recipe_runs_once_for_all_waiting_callers() {
    let setup = sleeping_setup(FakeBackend::wake_command).await;
    let has = |status: &'static str| move |entry: &Value| entry["status"] == status;
    setup.mcpd.until_entry(&setup.caller, "qwen", has("hibernating")).await;
    let calls = (0..20).map(|_| async { setup.chat(&chat_body()).await.status() });
    let statuses = futures_util::future::join_all(calls).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(setup.backend.recipe_runs(), 1);
    let entry = setup.mcpd.until_entry(&setup.caller, "qwen", has("active")).await;
    assert!(entry["wakeMs"].as_u64().is_some(), "{entry}");
}

#[tokio::test]
async fn an_http_recipe_wakes_the_backend() {
    let http =
        |backend: &FakeBackend| json!({"type": "http", "url": format!("{}/wake", backend.url)});
    let setup = sleeping_setup(http).await;
    let streamed = read_stream(setup.scripted_chat(json!({"do": "count", "n": 3})).await).await;
    assert!(streamed.done);
    assert_eq!(setup.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn a_failed_recipe_shows_its_cause_to_the_publisher_and_only_a_code_to_the_caller() {
    let script = "echo secret detail >&2; exit 7";
    let setup =
        sleeping_setup(|_| json!({"type": "command", "command": "sh", "args": ["-c", script]}))
            .await;
    let response = setup.chat(&chat_body()).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let text = response.text().await.unwrap();
    assert!(text.contains("llm_wake_failed") && text.contains("recipe_exit"), "{text}");
    assert!(!text.contains("secret detail"), "{text}");
    let status = setup
        .home
        .until_status("why", |s| {
            s["providers"][0]["message"].as_str().is_some_and(|m| m.contains("exit"))
        })
        .await;
    let message = status["providers"][0]["message"].as_str().unwrap();
    assert!(message.contains("exit code 7") && message.contains("secret detail"), "{message}");
}

#[tokio::test]
async fn a_recipe_that_hangs_is_stopped_with_its_children() {
    let setup = sleeping_setup(|backend| {
        let pid = backend.awake_file().with_file_name("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        json!({"type": "command", "command": "sh", "args": ["-c", script], "maxWaitSeconds": 1})
    })
    .await;
    let response = setup.chat(&chat_body()).await;
    let text = response.text().await.unwrap();
    assert!(text.contains("recipe_timeout"), "{text}");
    let pid = std::fs::read_to_string(setup.backend.awake_file().with_file_name("pid")).unwrap();
    until_exited(&pid).await;
}

#[tokio::test]
async fn a_recipe_that_runs_when_the_agent_is_stopped_ends_with_it() {
    let mut setup = sleeping_setup(|backend| {
        let pid = backend.awake_file().with_file_name("pid");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    })
    .await;
    let pid = setup.backend.awake_file().with_file_name("pid");
    let body = chat_body();
    tokio::select! {
        _ = setup.chat(&body) => unreachable!("the recipe never ends"),
        () = testkit::until("the recipe begins", async || pid.exists().then_some(())) => {}
    }
    assert!(setup.agent.process.stop().await.success());
    until_exited(&std::fs::read_to_string(pid).unwrap()).await;
}

#[tokio::test]
async fn a_recipe_that_succeeds_for_a_backend_that_never_becomes_ready_is_reported_as_not_ready() {
    let setup =
        sleeping_setup(|_| json!({"type": "command", "command": "true", "maxWaitSeconds": 1}))
            .await;
    let response = setup.chat(&chat_body()).await;
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("not_ready"));
}

#[tokio::test]
async fn a_caller_that_disconnects_does_not_stop_the_wake_of_the_others() {
    let setup = sleeping_setup(|backend| {
        let begun = backend.awake_file().with_file_name("begun");
        let script = format!(
            "touch {}; sleep 1; touch {}; echo ran >> {}",
            begun.display(),
            backend.awake_file().display(),
            backend.awake_file().with_file_name("recipe.log").display(),
        );
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    })
    .await;
    let begun = setup.backend.awake_file().with_file_name("begun");
    let body = chat_body();
    let first = async {
        let leave = testkit::until("the recipe begins", async || begun.exists().then_some(()));
        tokio::select! {
            _ = setup.chat(&body) => unreachable!("the recipe takes at least a second"),
            () = leave => {}
        }
    };
    let (second, ()) = tokio::join!(setup.chat(&body), first);
    assert_eq!(second.status(), 200);
    assert_eq!(setup.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn heartbeats_continue_during_a_wake() {
    let (server, url) = Protocol1Peer::server().await;
    let backend = FakeBackend::asleep().await;
    let flag = backend.awake_file();
    let wake = json!({"wake": {"type": "command", "command": "true", "maxWaitSeconds": 60}});
    let home = Home::with_config(&url, &[with_keys(provider("qwen", &backend.url), &wake)]);
    let _agent = Agent::scaled(&home, "t", 0.05);
    server.until_event("heartbeat", |_| true).await;
    let id = testkit::fake_server::task_id(1);
    let task = json!({"kind": "wake", "taskId": id, "llmName": "qwen", "maxWaitSeconds": 60});
    let post = reqwest::Client::new().post(format!("{url}/control/task")).json(&task).send();
    post.await.unwrap();
    home.until_status("waking", |s| s["providers"][0]["state"] == "waking").await;
    let before = server.count("heartbeat");
    let three_more = async || (server.count("heartbeat") >= before + 3).then_some(());
    testkit::until("three more heartbeats", three_more).await;
    std::fs::write(flag, "").unwrap();
    let result = server.until_event("result", |_| true).await;
    assert_eq!(result["result"]["ok"], true, "{result}");
}

#[tokio::test]
async fn an_idle_backend_is_put_to_sleep_and_woken_by_the_next_request() {
    let backend = FakeBackend::awake().await;
    let flag = backend.awake_file().to_str().unwrap().to_owned();
    let more = json!({
        "wake": backend.wake_command(),
        "sleep": {"type": "command", "command": "rm", "args": [flag], "idleSeconds": 1},
    });
    let setup =
        Setup::with_parts(Mcpd::start().await, backend, |entry| with_keys(entry, &more)).await;
    // Longer than the idle time: a running request keeps the backend awake.
    let streamed =
        read_stream(setup.scripted_chat(json!({"do": "count", "n": 15, "pauseMs": 100})).await)
            .await;
    assert!(streamed.done);
    setup.mcpd.until_entry(&setup.caller, "qwen", |entry| entry["status"] == "hibernating").await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    assert_eq!(setup.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn reading_the_catalogue_wakes_nothing() {
    let setup = sleeping_setup(FakeBackend::wake_command).await;
    for path in ["/v1/models", "/v1/models/qwen", "/api/v1/llms", "/api/v1/llms/qwen"] {
        let response = setup.mcpd.get(path, &setup.caller).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    assert_eq!(setup.backend.recipe_runs(), 0);
}

#[tokio::test]
async fn a_failed_wake_cools_down_before_the_recipe_runs_again() {
    let setup = sleeping_setup(|backend| {
        let log = backend.awake_file().with_file_name("recipe.log");
        let script = format!("echo ran >> {}; exit 1", log.display());
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    })
    .await;
    for _ in 0..3 {
        assert_eq!(error_code(setup.chat(&chat_body()).await).await, "llm_wake_failed");
    }
    assert_eq!(setup.backend.recipe_runs(), 1);
}
