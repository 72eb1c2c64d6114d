//! A sleeping backend is woken first.

use crate::{World, and, whole};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::{code, read};
use testkit::mcpd::Mcpd;
use testkit::peer::Peer;
use testkit::process::gone;

async fn asleep(wake: impl FnOnce(&Backend) -> Value) -> World {
    let backend = Backend::asleep().await;
    let wake = wake(&backend);
    World::on(Mcpd::start().await, backend, |entry| and(entry, &json!({"wake": wake}))).await
}

#[tokio::test]
async fn a_command_wakes_it_once_for_all_who_wait() {
    let world = asleep(Backend::wake_command).await;
    let row = |status: &'static str| move |row: &Value| row["status"] == status;
    world.mcpd.row(&world.caller, "qwen", row("hibernating")).await;
    let calls = (0..20).map(|_| async { world.chat(&whole()).await.status() });
    let answered = futures_util::future::join_all(calls).await;
    assert!(answered.iter().all(|status| *status == 200), "{answered:?}");
    assert_eq!(world.backend.recipe_runs(), 1);
    let row = world.mcpd.row(&world.caller, "qwen", row("active")).await;
    assert!(row["wakeMs"].as_u64().is_some(), "{row}");
}

#[tokio::test]
async fn an_http_request_wakes_it() {
    let http = |backend: &Backend| json!({"type": "http", "url": format!("{}/wake", backend.url)});
    let world = asleep(http).await;
    let streamed = read(world.scripted(json!({"do": "count", "n": 3})).await).await;
    assert!(streamed.done);
    assert_eq!(world.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn a_recipe_that_fails_tells_its_cause_to_the_owner_and_only_a_code_to_the_caller() {
    let script = "echo secret detail >&2; exit 7";
    let world =
        asleep(|_| json!({"type": "command", "command": "sh", "args": ["-c", script]})).await;
    let answer = world.chat(&whole()).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let text = answer.text().await.unwrap();
    assert!(text.contains("llm_wake_failed") && text.contains("recipe_exit"), "{text}");
    assert!(!text.contains("secret detail"), "{text}");
    let status = world
        .home
        .shows("why", |s| s["providers"][0]["message"].as_str().is_some_and(|m| m.contains("exit")))
        .await;
    let message = status["providers"][0]["message"].as_str().unwrap();
    assert!(message.contains("exit code 7") && message.contains("secret detail"), "{message}");
}

#[tokio::test]
async fn a_recipe_that_hangs_is_stopped_with_its_children() {
    let world = asleep(|backend| {
        let pid = backend.flag().with_file_name("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        json!({"type": "command", "command": "sh", "args": ["-c", script], "maxWaitSeconds": 1})
    })
    .await;
    let answer = world.chat(&whole()).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("recipe_timeout"), "{text}");
    let pid = std::fs::read_to_string(world.backend.flag().with_file_name("pid")).unwrap();
    gone(&pid).await;
}

#[tokio::test]
async fn a_recipe_that_is_at_work_when_the_agent_is_stopped_ends_with_it() {
    let mut world = asleep(|backend| {
        let pid = backend.flag().with_file_name("pid");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    })
    .await;
    let pid = world.backend.flag().with_file_name("pid");
    let body = whole();
    tokio::select! {
        _ = world.chat(&body) => unreachable!("the recipe never ends"),
        () = testkit::until("the recipe begins", async || pid.exists().then_some(())) => {}
    }
    assert!(world.agent.process.stop().await.success());
    gone(&std::fs::read_to_string(pid).unwrap()).await;
}

#[tokio::test]
async fn a_recipe_that_works_for_a_backend_that_never_comes_is_reported_as_not_ready() {
    let world =
        asleep(|_| json!({"type": "command", "command": "true", "maxWaitSeconds": 1})).await;
    let answer = world.chat(&whole()).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("not_ready"));
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_stop_the_wake_of_those_who_stay() {
    let world = asleep(|backend| {
        let begun = backend.flag().with_file_name("begun");
        let script = format!(
            "touch {}; sleep 1; touch {}; echo ran >> {}",
            begun.display(),
            backend.flag().display(),
            backend.flag().with_file_name("recipe.log").display(),
        );
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    })
    .await;
    let begun = world.backend.flag().with_file_name("begun");
    let body = whole();
    let first = async {
        let leave = testkit::until("the recipe begins", async || begun.exists().then_some(()));
        tokio::select! {
            _ = world.chat(&body) => unreachable!("it takes a second at least"),
            () = leave => {}
        }
    };
    let (second, ()) = tokio::join!(world.chat(&body), first);
    assert_eq!(second.status(), 200);
    assert_eq!(world.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn heartbeats_go_on_while_it_wakes() {
    let seed = Peer::start("seed-mcpd.mjs", &[]);
    let url = seed.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
    let backend = Backend::asleep().await;
    let flag = backend.flag();
    let wake = json!({"wake": {"type": "command", "command": "true", "maxWaitSeconds": 60}});
    let home = Home::with(&url, &[and(provider("qwen", &backend.url), &wake)]);
    let _agent = Agent::start(&home, "t");
    seed.tells("heartbeat", |_| true).await;
    let id = testkit::hostile::task_id(1);
    let task = json!({"kind": "wake", "taskId": id, "llmName": "qwen", "maxWaitSeconds": 60});
    let post = reqwest::Client::new().post(format!("{url}/control/task")).json(&task).send();
    post.await.unwrap();
    home.shows("waking", |s| s["providers"][0]["state"] == "waking").await;
    let beats = || seed.told().iter().filter(|told| told["kind"] == "heartbeat").count();
    let before = beats();
    testkit::until("three more heartbeats", async || (beats() >= before + 3).then_some(())).await;
    std::fs::write(flag, "").unwrap();
    let result = seed.tells("result", |_| true).await;
    assert_eq!(result["result"]["ok"], true, "{result}");
}

#[tokio::test]
async fn an_idle_backend_is_put_to_sleep_and_woken_again_by_the_next_request() {
    let backend = Backend::awake().await;
    let flag = backend.flag().to_str().unwrap().to_owned();
    let more = json!({
        "wake": backend.wake_command(),
        "sleep": {"type": "command", "command": "rm", "args": [flag], "idleSeconds": 1},
    });
    let world = World::on(Mcpd::start().await, backend, |entry| and(entry, &more)).await;
    // Longer than the idle time: a request that runs keeps it awake.
    let streamed =
        read(world.scripted(json!({"do": "count", "n": 15, "pauseMs": 100})).await).await;
    assert!(streamed.done);
    world.mcpd.row(&world.caller, "qwen", |row| row["status"] == "hibernating").await;
    assert_eq!(world.chat(&whole()).await.status(), 200);
    assert_eq!(world.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn looking_at_the_catalogue_wakes_nothing() {
    let world = asleep(Backend::wake_command).await;
    for path in ["/v1/models", "/v1/models/qwen", "/api/v1/llms", "/api/v1/llms/qwen"] {
        let answer = world.mcpd.get(path, &world.caller).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    assert_eq!(world.backend.recipe_runs(), 0);
}

#[tokio::test]
async fn a_failed_wake_cools_down_before_the_recipe_runs_again() {
    let world = asleep(|backend| {
        let log = backend.flag().with_file_name("recipe.log");
        let script = format!("echo ran >> {}; exit 1", log.display());
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    })
    .await;
    for _ in 0..3 {
        assert_eq!(code(world.chat(&whole()).await).await, "llm_wake_failed");
    }
    assert_eq!(world.backend.recipe_runs(), 1);
}
