//! Each kind of backend is asked in its own way whether it can answer. Their servers cannot be had
//! here (but for llama.cpp, see `real_model`): these doubles answer as their documentation says,
//! and know no path of another kind.

use crate::{and, whole};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::FutureExt as _;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use tokio::net::TcpListener;

/// A double: while it is ready, `path` answers with `body`; it always answers a chat, and keeps the
/// model that it was asked for.
struct Double {
    url: String,
    ready: Arc<AtomicBool>,
    asked: Arc<Mutex<Option<Value>>>,
}

impl Double {
    async fn start(path: &'static str, body: Value) -> Self {
        let (ready, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (is_ready, asks) = (Arc::clone(&ready), Arc::clone(&asked));
        let look = move || async move {
            let ready = is_ready.load(Ordering::SeqCst);
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(body))
        };
        let chat = move |Json(request): Json<Value>| async move {
            *asks.lock() = Some(request["model"].clone());
            Json(json!({"choices": [{"message": {"content": "whole"}}]}))
        };
        let app = Router::new().route(path, get(look)).route("/v1/chat/completions", post(chat));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, ready, asked }
    }
}

#[tokio::test]
async fn each_kind_of_backend_is_asked_in_its_own_way_whether_it_can_answer() {
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
    let home = Home::with(&mcpd.url, &entries);
    let _agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    let caller = mcpd.token("tom", "infer");
    for (kind, double) in doubles {
        let name = format!("a-{kind}");
        mcpd.row(&caller, &name, |row| row["status"] == "inactive").await;
        double.ready.store(true, Ordering::SeqCst);
        let row = mcpd.active(&caller, &name).await;
        assert_eq!(row["type"], kind);
        let body = and(whole(), &json!({"model": name}));
        let answer = mcpd.post("/v1/chat/completions", &caller).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{kind}");
        assert_eq!(*double.asked.lock(), Some(json!("m")), "{kind}: the backend's own name");
    }
}

#[tokio::test]
async fn a_backend_whose_key_is_not_set_is_down_with_its_reason_and_is_sent_nothing() {
    const KEY: &str = "MCPCTL_TEST_BACKEND_KEY";
    let (mcpd, backend) = (Mcpd::start().await, Backend::awake().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let keys = json!({"apiKeyEnv": KEY, "wake": backend.wake_command()});
    let entries =
        [and(provider("qwen", &backend.url), &keys), and(provider("silent", &silent), &keys)];
    let home = Home::with(&mcpd.url, &entries);
    let token = mcpd.token("mia", "publish");
    let mut agent = Agent::start(&home, &token);
    let status =
        home.shows("both down", |s| (0..2).all(|at| s["providers"][at]["state"] == "down")).await;
    let message = status["providers"][0]["message"].as_str().unwrap();
    assert!(message.contains(KEY), "{message}");
    let caller = mcpd.token("tom", "infer");
    mcpd.row(&caller, "qwen", |row| row["status"] == "inactive").await;
    let ask = || mcpd.post("/v1/chat/completions", &caller).json(&whole()).send();
    assert_eq!(ask().await.unwrap().status(), 503);
    assert!(listener.accept().now_or_never().is_none(), "it was looked at without its key");
    assert_eq!((backend.seen().len(), backend.recipe_runs()), (0, 0));
    let doctor = home.run_with(&["doctor"], "", &[("MCPCTL_TOKEN", &token)]).await.out;
    assert!(doctor.contains("FAIL  backend qwen") && doctor.contains(KEY), "{doctor}");

    agent.process.stop().await;
    let _agent = Agent::with(&home, &[("MCPCTL_TOKEN", &token), (KEY, "its-key")]);
    mcpd.active(&caller, "qwen").await;
    assert_eq!(ask().await.unwrap().status(), 200);
    assert_eq!(backend.seen()[0].headers["authorization"], "Bearer its-key");
}
