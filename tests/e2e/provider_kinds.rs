//! Each kind of provider has its own readiness check. The real servers cannot be installed here (except
//! llama.cpp, see `real_model`): these doubles follow the documented APIs. They are not the fake backend
//! of `testkit`, because each of them must lack the paths of the other kinds.

use crate::{chat_body, with_keys};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::FutureExt as _;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use tokio::net::TcpListener;

/// A double of one kind. While it is ready, its readiness `path` responds with `body`; chats are always
/// answered, and the requested model is recorded.
struct Double {
    url: String,
    ready: Arc<AtomicBool>,
    model: Arc<Mutex<Option<Value>>>,
}

impl Double {
    async fn start(path: &'static str, body: Value) -> Self {
        let (ready, model) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (is_ready, requested) = (Arc::clone(&ready), Arc::clone(&model));
        let readiness = move || async move {
            let ready = is_ready.load(Ordering::SeqCst);
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(body))
        };
        let chat = move |Json(request): Json<Value>| async move {
            *requested.lock() = Some(request["model"].clone());
            Json(json!({"choices": [{"message": {"content": "whole"}}]}))
        };
        let app =
            Router::new().route(path, get(readiness)).route("/v1/chat/completions", post(chat));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, ready, model }
    }
}

#[tokio::test]
async fn each_kind_of_backend_is_checked_at_its_own_readiness_endpoint() {
    let tags = json!({"models": [{"name": "m:latest", "model": "m:latest", "size": 1}]});
    let models = json!({"object": "list", "data": [{"id": "m", "object": "model"}]});
    let kinds = [
        ("ollama", "/api/tags", tags),
        ("vllm", "/health", Value::Null),
        ("llamacpp", "/health", json!({"status": "ok"})),
        ("lmstudio", "/v1/models", models.clone()),
        ("openai", "/v1/models", models),
    ];
    let mcpd = Mcpd::start().await;
    let (mut doubles, mut entries) = (Vec::new(), Vec::new());
    for (kind, path, body) in kinds {
        let double = Double::start(path, body).await;
        let base = if kind == "openai" { "/v1" } else { "" };
        entries.push(json!({
            "name": format!("a-{kind}"), "type": kind, "url": format!("{}{base}", double.url),
            "model": "m", "publish": true,
        }));
        doubles.push((kind, double));
    }
    let home = Home::with_config(&mcpd.url, &entries);
    let _agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    let caller = mcpd.token("tom", "infer");
    for (kind, double) in doubles {
        let name = format!("a-{kind}");
        mcpd.until_entry(&caller, &name, |entry| entry["status"] == "inactive").await;
        double.ready.store(true, Ordering::SeqCst);
        let entry = mcpd.until_active(&caller, &name).await;
        assert_eq!(entry["type"], kind);
        let body = with_keys(chat_body(), &json!({"model": name}));
        let response = mcpd.post("/v1/chat/completions", &caller).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{kind}");
        assert_eq!(*double.model.lock(), Some(json!("m")), "{kind}: the backend's own name");
    }
}

#[tokio::test]
async fn a_backend_whose_api_key_is_not_set_is_down_with_the_reason_and_gets_no_request() {
    const KEY: &str = "MCPCTL_TEST_BACKEND_KEY";
    let (mcpd, backend) = (Mcpd::start().await, FakeBackend::awake().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let keys = json!({"apiKeyEnv": KEY, "wake": backend.wake_command()});
    let entries = [
        with_keys(provider("qwen", &backend.url), &keys),
        with_keys(provider("silent", &silent), &keys),
    ];
    let home = Home::with_config(&mcpd.url, &entries);
    let token = mcpd.token("mia", "publish");
    let mut agent = Agent::start(&home, &token);
    let status = home
        .until_status("both down", |s| (0..2).all(|at| s["providers"][at]["state"] == "down"))
        .await;
    let message = status["providers"][0]["message"].as_str().unwrap();
    assert!(message.contains(KEY), "{message}");
    let caller = mcpd.token("tom", "infer");
    mcpd.until_entry(&caller, "qwen", |entry| entry["status"] == "inactive").await;
    let call = || mcpd.post("/v1/chat/completions", &caller).json(&chat_body()).send();
    assert_eq!(call().await.unwrap().status(), 503);
    assert!(listener.accept().now_or_never().is_none(), "it was checked without its API key");
    assert_eq!((backend.requests().len(), backend.recipe_runs()), (0, 0));
    let doctor = home.run_with(&["doctor"], "", &[("MCPCTL_TOKEN", &token)]).await.stdout;
    assert!(doctor.contains("FAIL  backend qwen") && doctor.contains(KEY), "{doctor}");

    agent.process.stop().await;
    let _agent = Agent::with_environment(&home, &[("MCPCTL_TOKEN", &token), (KEY, "its-key")]);
    mcpd.until_active(&caller, "qwen").await;
    assert_eq!(call().await.unwrap().status(), 200);
    assert_eq!(backend.requests()[0].headers["authorization"], "Bearer its-key");
}
