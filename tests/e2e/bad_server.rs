//! A server that turned bad: what it sends reaches neither other models than the published ones nor
//! other endpoints, and what goes wrong is said with its cause.

use crate::and;
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::hostile::{Hostile, Reply, task, task_id};

/// A hostile server, an agent that publishes `qwen` to it, and its backend.
struct Publisher {
    server: Hostile,
    backend: Backend,
    home: Home,
    agent: Agent,
}

impl Publisher {
    async fn new() -> Self {
        let (server, backend) = (Hostile::start().await, Backend::awake().await);
        let entry = and(provider("qwen", &backend.url), &json!({"maxConcurrency": 1}));
        let home = Home::with(&server.url, &[entry]);
        let agent = Agent::start(&home, "t");
        home.shows("online", |s| s["connection"]["state"] == "online").await;
        Self { server, backend, home, agent }
    }

    /// A task that a good server could send is answered.
    async fn answers(&self, number: usize) {
        let id = task_id(number);
        self.server.event("task", &task(&id, &json!({"model": "qwen", "messages": []}))).await;
        self.server.until_asked("response", |asked| asked.path.contains(&id)).await;
    }
}

#[tokio::test]
async fn an_event_that_is_too_long_fails_its_task_soon_and_the_channel_goes_on() {
    let world = Publisher::new().await;
    let long = |id: &str, text: &str| task(id, &json!({"model": "qwen", "text": text}));
    let of = |id: &str, begins: &str| format!("{{\"kind\":\"infer\",\"taskId\":\"{id}\"{begins}");
    // One line of 200 KB.
    let line = of(&task_id(1), &format!(",\"x\":\"{}\"}}", "x".repeat(200 << 10)));
    world.server.write(format!("event: task\ndata: {line}\n\n")).await;
    let failed = world.server.result(&task_id(1)).await;
    assert_eq!(failed["error"]["code"], "request_too_large", "{failed}");
    // Many lines of 60 KB, 1.2 MB together.
    let lines = format!("\ndata: {}", "x".repeat(60 << 10)).repeat(20);
    world.server.write(format!("event: task\ndata: {}{lines}\n\n", of(&task_id(2), ","))).await;
    let failed = world.server.result(&task_id(2)).await;
    assert_eq!(failed["error"]["code"], "request_too_large", "{failed}");
    // One whose task nobody can tell, and one that is no task.
    let nameless = json!({"a": "x".repeat(200 << 10), "taskId": task_id(3)});
    world.server.event("task", &nameless).await;
    world.server.event("cancel", &long(&task_id(4), &"x".repeat(200 << 10))).await;

    world.answers(5).await;
    assert_eq!(world.server.asked("stream").len(), 1, "the channel was kept");
    assert_eq!(world.server.asked("result").len(), 2, "nothing is said of the others");
    assert_eq!(world.backend.seen().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_rewritten_and_what_is_no_relayed_post_never_reaches_the_backend() {
    let world = Publisher::new().await;
    let (good, chat) = (r#"{"model": "qwen", "messages": []}"#, "/v1/chat/completions");
    let cases = [
        ("POST", chat, r#"{"model": "qwen", "model": "unpublished"}"#),
        ("POST", chat, r#"{"model": "qwen", "mod\u0065l": "unpublished"}"#),
        ("POST", chat, r#"{"model": "qwen", "MODEL": "unpublished"}"#),
        ("POST", chat, r#"{"model": "qwen", "Stream": true}"#),
        ("POST", chat, r#"[{"model": "unpublished"}]"#),
        ("POST", chat, r#""model: unpublished""#),
        ("POST", chat, "5"),
        ("GET", chat, good),
        ("DELETE", chat, good),
        ("post", chat, good),
        ("POST", "/v1/models", good),
        ("POST", "/api/generate", good),
        ("POST", "/v1/../api/delete", good),
        ("POST", "/v1/chat/completions/../../../api/delete", good),
        ("POST", "/v1/chat/completions?model=unpublished", good),
        ("POST", "/v1/chat/completions#x", good),
        ("POST", "//v1/chat/completions", good),
        ("POST", "http://127.0.0.1:9/v1/chat/completions", good),
    ];
    for (number, (method, path, body)) in cases.iter().enumerate() {
        let id = task_id(number);
        let frame = format!(
            r#"{{"kind":"infer","taskId":"{id}","llmName":"qwen","method":"{method}","path":"{path}","request":{body}}}"#
        );
        world.server.write(format!("event: task\ndata: {frame}\n\n")).await;
        let failed = world.server.result(&id).await;
        assert_eq!(failed["error"]["code"], "invalid_request", "{frame}: {failed}");
    }
    // The same of a body that is fetched, and of one that is not there.
    world.server.set("request", Reply::Says(200, Vec::new(), "model=unpublished".into()));
    for (number, by_reference) in [(100, true), (101, false)] {
        let fetched = json!({"kind": "infer", "taskId": task_id(number), "llmName": "qwen",
                             "bodyRef": by_reference});
        world.server.event("task", &fetched).await;
        let failed = world.server.result(&task_id(number)).await;
        assert_eq!(failed["error"]["code"], "invalid_request", "{failed}");
    }
    assert_eq!(world.backend.seen().len(), 0);
    world.answers(102).await;
    let seen: Value = serde_json::from_slice(&world.backend.seen()[0].body).unwrap();
    assert_eq!(seen["model"], "the-backends-own-name");
}

#[tokio::test]
async fn no_server_makes_more_requests_run_at_once_than_the_owner_allows() {
    const TASKS: usize = 200;
    let world = Publisher::new().await;
    let endless = json!({"model": "qwen", "x_script": {"do": "never"}});
    for number in 0..TASKS {
        world.server.event("task", &task(&task_id(number), &endless)).await;
    }
    // One runs. One waits for a while, and the others hear at once that there is no room.
    testkit::until("all others are refused", async || {
        (world.server.asked("result").len() == TASKS - 1).then_some(())
    })
    .await;
    for asked in world.server.asked("result") {
        assert_eq!(asked.body["error"]["code"], "queue_full", "{asked:?}");
    }
    assert_eq!((world.backend.open(), world.backend.seen().len()), (1, 1));
    world.server.event("cancel", &json!({"taskId": task_id(0)})).await;
    world.answers(TASKS).await;
    assert_eq!(world.backend.seen().len(), 2);
}

#[tokio::test]
async fn a_tasks_id_that_is_none_is_ignored_and_leads_to_no_other_endpoint() {
    let world = Publisher::new().await;
    let body = json!({"model": "qwen", "messages": []});
    for id in ["../../../../api/v1/pairings?x=", "", "a/b", &task_id(1).replace('0', "%2f")] {
        world.server.event("task", &task(id, &body)).await;
        let wake = json!({"kind": "wake", "taskId": id, "llmName": "qwen"});
        world.server.event("task", &wake).await;
    }
    world.answers(2).await;
    let prefix = "/api/v1/llms/_provider-";
    for endpoint in ["ack", "result", "response", "request", "pairings"] {
        for asked in world.server.asked(endpoint) {
            let ours = asked.path.contains(&task_id(2)) && asked.path.starts_with(prefix);
            assert!(ours, "{}", asked.path);
        }
    }
    assert_eq!(world.backend.seen().len(), 1);
    assert!(world.agent.process.err().contains("its id is no task's id"));
}

#[tokio::test]
async fn an_answer_that_does_not_arrive_is_remembered_with_its_cause() {
    let world = Publisher::new().await;
    world.server.set("response", Reply::Says(507, Vec::new(), "{}".into()));
    let body = json!({"model": "qwen", "messages": []});
    world.server.event("task", &task(&task_id(1), &body)).await;
    let status = world.home.shows("it ended", |s| s["recent"][0].is_object()).await;
    let ended = &status["recent"][0];
    assert_eq!(ended["outcome"], "publisher_lost");
    assert!(ended["cause"].as_str().unwrap().contains("507"), "{ended}");
    let log = world.agent.process.err();
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("507")), "{log}");
}
