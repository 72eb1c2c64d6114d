//! Registration, control channel, catalogue.

use crate::server::Server;
use serde_json::{Value, json};
use testkit::fake_publisher::FakePublisher;

#[tokio::test]
async fn a_register_returns_201_with_session_epoch_and_entries() {
    let server = Server::start().await;
    let token = server.token("mia", &["publish"]).await;
    let wish = json!({
        "protocol": 2,
        "instance": {"id": "i1", "name": "mia-laptop"},
        "providers": [
            {"name": "Qwen3:8B", "type": "ollama", "model": "qwen3:8b", "pool": "qwen"},
            {"name": "no good"},
        ],
    });
    let mut publisher = FakePublisher::connect(&server.url, &token, &wish).await;
    let answer = &mut publisher.registered;
    for field in ["id", "since", "created"] {
        answer["llms"][0][field] = json!("…");
    }
    assert_eq!(answer["providerSessionId"].as_str().unwrap().len(), 32);
    answer["providerSessionId"] = json!("…");
    insta::assert_json_snapshot!(answer, @r#"
    {
      "cancel": [],
      "epoch": 1,
      "heartbeatSeconds": 30,
      "llms": [
        {
          "connected": false,
          "created": "…",
          "id": "…",
          "inFlight": 0,
          "instance": "mia-laptop",
          "kind": "virtual",
          "maxConcurrency": 1,
          "model": "qwen3:8b",
          "name": "qwen3:8b",
          "owner": "mia",
          "pool": "qwen",
          "queued": 0,
          "since": "…",
          "status": "active",
          "type": "ollama",
          "waking": false
        }
      ],
      "protocol": 2,
      "providerSessionId": "…",
      "rejected": [
        {
          "code": "llm_name_invalid",
          "detail": "the name is not usable: a name has letters, digits and . _ : / - only, not ' '",
          "name": "no good"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_malformed_register_is_refused_with_the_reason() {
    let server = Server::start().await;
    let token = server.token("mia", &["publish"]).await;
    let refused = async |body: &'static str| {
        let answer = server.post(wire::paths::REGISTER, &token).body(body).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], 400);
        problem["detail"].as_str().unwrap().to_owned()
    };
    assert!(refused("{\"providers\": [").await.contains("line 1"));
    assert!(refused("{}").await.contains("providers"));
    let asleep = "{\"providers\": [{\"name\": \"a\", \"initialStatus\": \"asleep\"}]}";
    assert!(refused(asleep).await.contains("initialStatus"));
}

#[tokio::test]
async fn catalogue_entries_keep_their_ids_over_reconnects_and_restarts_of_the_server() {
    let server = Server::start().await;
    let token = server.token("mia", &["publish"]).await;
    let mut wish = json!({"protocol": 2, "providers": [{"name": "qwen"}]});
    let mut first = FakePublisher::connect(&server.url, &token, &wish).await;
    wish["providerSessionId"] = json!(first.session);
    let second = FakePublisher::connect(&server.url, &token, &wish).await;
    assert_eq!(first.event().await.0, "superseded");
    assert_eq!(first.event_or_end().await, None);
    assert_eq!(second.registered["llms"][0]["id"], first.registered["llms"][0]["id"]);
    assert_eq!(second.registered["epoch"], 2);

    let server = Server::start_in(server.stop().await, 1.0).await;
    let third = FakePublisher::connect(&server.url, &token, &wish).await;
    assert_eq!(third.session, first.session);
    assert_eq!(third.registered["llms"][0]["id"], first.registered["llms"][0]["id"]);
    assert_eq!(third.registered["epoch"], 3);
    let eve = server.token("eve", &["publish"]).await;
    let stolen = server.post(wire::paths::REGISTER, &eve).json(&wish).send().await.unwrap();
    assert_eq!(stolen.status(), 409);
}

#[tokio::test]
async fn a_poll_returns_tasks_and_a_probe_is_confirmed_on_the_channel() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("mia/qwen").await;
    let probe = publisher.post(wire::paths::PROBE).header("x-mcpctl-probe-id", "p1");
    assert_eq!(probe.body("x").send().await.unwrap().status(), 204);
    assert_eq!(publisher.event().await, ("probe".into(), json!({"id": "p1"})));

    let body = json!({"messages": []});
    let infer = server.post("/api/v1/llms/mia/qwen/infer", &caller).json(&body).send();
    let poll = async || {
        let poll = server.get(&format!("{}?wait=5", wire::paths::POLL), &publisher.token);
        let poll = poll.header(wire::headers::SESSION, &publisher.session).send().await;
        poll.unwrap().json::<Value>().await.unwrap()
    };
    let answered = async {
        let frames = poll().await;
        assert_eq!((&frames[0]["event"], &frames[1]["event"]), (&json!("hello"), &json!("task")));
        let task: Value = serde_json::from_str(frames[1]["data"].as_str().unwrap()).unwrap();
        let id = task["taskId"].as_str().unwrap();
        publisher.answer_json(id, 200, &json!({"a": 1})).await;
    };
    // The poll's channel takes the stream's place before the request comes.
    let (infer, ()) = tokio::join!(
        async {
            server.entry_where(&caller, "mia/qwen", |entry| entry["connected"] == true).await;
            infer.await
        },
        answered
    );
    assert_eq!(infer.unwrap().text().await.unwrap(), "{\"a\":1}");
}

#[tokio::test]
async fn the_catalogue_shows_each_key_only_what_it_may_see() {
    let server = Server::start().await;
    let _publisher = server.publisher("qwen").await;
    let names = async |user: &str, scope: &str| {
        let token = server.token(user, &[scope]).await;
        let list: Value =
            server.get(wire::paths::LLMS, &token).send().await.unwrap().json().await.unwrap();
        let rows = list["llms"].as_array().unwrap().iter();
        rows.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (user, scope, sees) in [
        ("ann", "infer", true),
        ("ann", "infer:qwen", true),
        ("ann", "infer:other", false),
        ("mia", "publish", true),
        ("eve", "publish", false),
        ("root", "admin", true),
    ] {
        assert_eq!(names(user, scope).await == ["qwen"], sees, "{user} with {scope}");
    }
    let token = server.token("ann", &["infer"]).await;
    let models = server.get("/v1/models", &token).send().await.unwrap();
    let models: Value = models.json().await.unwrap();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("qwen")));
    let model = server.get("/v1/models/nope", &token).send().await.unwrap();
    assert_eq!(model.status(), 404);
}
