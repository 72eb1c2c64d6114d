//! Each kind of backend is asked in its own way whether it can answer. Their servers cannot be had
//! here (but for llama.cpp, see `real_model`): these doubles answer as their documentation says,
//! and know no path of another kind.

use crate::whole;
use axum::routing::{get, post};
use axum::{Json, Router};
use e2e::agent::{Agent, Home};
use e2e::mcpd::Mcpd;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
        let body = crate::and(whole(), &json!({"model": name}));
        let answer = mcpd.post("/v1/chat/completions", &caller).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{kind}");
        assert_eq!(*double.asked.lock(), Some(json!("m")), "{kind}: the backend's own name");
    }
}
