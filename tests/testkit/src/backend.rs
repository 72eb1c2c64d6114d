//! A scripted backend: a real HTTP server that speaks the OpenAI dialect, behaves as badly as each
//! request asks for (`x_script`, or the last message where a client adds no keys), writes down what it got, and notices when its peer leaves. It
//! knows nothing of our code.
//!
//! Awake or asleep is a file: present, it is ready. So a recipe of any kind can wake it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, StatusCode, Uri, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Path.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, to the byte.
    pub body: Bytes,
}

/// The server.
pub struct Backend {
    /// `http://127.0.0.1:…`
    pub url: String,
    shared: Arc<Shared>,
    serving: AbortOnDropHandle<()>,
}

struct Shared {
    folder: TempDir,
    seen: Mutex<Vec<Seen>>,
    /// Answers under way.
    open: AtomicUsize,
    wakes: AtomicUsize,
}

impl Backend {
    /// One that is awake.
    pub async fn awake() -> Self {
        let backend = Self::asleep().await;
        std::fs::write(backend.flag(), "").unwrap();
        backend
    }

    /// One that answers 503 until somebody wakes it.
    pub async fn asleep() -> Self {
        let shared = Arc::new(Shared {
            folder: tempfile::tempdir().unwrap(),
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/v1/models", get(models))
            .route("/health", get(models))
            .route("/wake", post(wake))
            .fallback(any(answer))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, serving: AbortOnDropHandle::new(serving) }
    }

    /// Nobody listens there any more. (An abort alone leaves the port open until the task is looked
    /// at next: who connects in between is reset, and not refused.)
    pub async fn stop_listening(&mut self) {
        self.serving.abort();
        let _aborted = (&mut self.serving).await;
    }

    /// The file that means awake.
    #[must_use]
    pub fn flag(&self) -> PathBuf {
        self.shared.folder.path().join("awake")
    }

    /// A command recipe that wakes it and counts how often it ran.
    #[must_use]
    pub fn wake_command(&self) -> Value {
        let script =
            format!("echo ran >> {}; touch {}", self.log().display(), self.flag().display());
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    }

    /// How often a recipe has run.
    #[must_use]
    pub fn recipe_runs(&self) -> usize {
        let by_command = std::fs::read_to_string(self.log()).unwrap_or_default().lines().count();
        by_command + self.shared.wakes.load(Ordering::SeqCst)
    }

    fn log(&self) -> PathBuf {
        self.shared.folder.path().join("recipe.log")
    }

    /// Everything that was asked of it, but for readiness checks.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// Answers under way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Waits until so many answers are under way.
    pub async fn until_open(&self, count: usize) {
        crate::until("the backend's answers under way", async || {
            (self.open() == count).then_some(())
        })
        .await;
    }
}

async fn models(State(shared): State<Arc<Shared>>) -> Response {
    if shared.folder.path().join("awake").exists() {
        let model = json!({"object": "model", "id": "the-backends-own-name"});
        return axum::Json(json!({"object": "list", "data": [model]})).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "asleep").into_response()
}

async fn wake(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.wakes.fetch_add(1, Ordering::SeqCst);
    std::fs::write(shared.folder.path().join("awake"), "").unwrap();
    StatusCode::OK
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let seen = Seen { path: uri.path().to_owned(), headers, body: body.clone() };
    shared.seen.lock().push(seen);
    let open = Open::new(shared);
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let script = script(&request);
    let number = |name: &str| script[name].as_u64();
    match script["do"].as_str() {
        Some("status") => {
            let status = StatusCode::from_u16(u16::try_from(number("status").unwrap()).unwrap());
            let kind = script["type"].as_str().unwrap_or("application/json").to_owned();
            let text = script["body"].as_str().unwrap_or_default().to_owned();
            (status.unwrap(), [(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Some("never") => {
            let _open = open;
            std::future::pending().await
        }
        Some("half") => half(open),
        Some("late") => {
            tokio::time::sleep(Duration::from_millis(number("ms").unwrap())).await;
            axum::Json(whole()).into_response()
        }
        Some("flood") => flood(open, number("bytes").unwrap()),
        Some("count") => count(open, script.clone()),
        _ if request["stream"] == true => count(open, json!({"n": 5})),
        _ => axum::Json(whole()).into_response(),
    }
}

fn script(request: &Value) -> Value {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    let text = last.and_then(|message| message["content"].as_str());
    let asked = text.and_then(|text| serde_json::from_str(text).ok());
    asked.unwrap_or_else(|| request["x_script"].clone())
}

/// An answer under way; its drop is the moment at which the peer has left or everything is sent.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn whole() -> Value {
    let message = json!({"role": "assistant", "content": "whole"});
    json!({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})
}

/// `n` events that count from 1. `pauseMs` between them; `abortAt` breaks the connection there,
/// `stallAt` falls silent there; `commentsFirst` sends comments before; `split` cuts each event in
/// two writes at that byte.
fn count(open: Open, script: Value) -> Response {
    let number = |name: &str| script[name].as_u64();
    let n = number("n").unwrap_or(5);
    let pause = Duration::from_millis(number("pauseMs").unwrap_or(0));
    let (abort, stall) = (number("abortAt"), number("stallAt"));
    let split = number("split").map(|at| usize::try_from(at).unwrap());
    let comments = number("commentsFirst").unwrap_or(0);
    let first = stream::iter((0..comments).map(|_| Ok(Bytes::from_static(b":\n\n"))));
    let events = stream::iter(1..=n + 1).then(move |at| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if Some(at) == stall {
            std::future::pending::<()>().await;
        }
        if Some(at) == abort {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        }
        Ok(Bytes::from(if at > n { "data: [DONE]\n\n".to_owned() } else { event(at) }))
    });
    let pieces = events.flat_map(move |piece| match (piece, split) {
        (Ok(bytes), Some(at)) if at < bytes.len() => {
            let (a, b) = (bytes.slice(..at), bytes.slice(at..));
            stream::iter(vec![Ok(a), Ok(b)])
        }
        (piece, _) => stream::iter(vec![piece]),
    });
    sse(open, first.chain(pieces))
}

fn event(at: u64) -> String {
    let choice = json!({"index": 0, "delta": {"content": format!(" {at}")}});
    format!("data: {}\n\n", json!({"object": "chat.completion.chunk", "choices": [choice]}))
}

/// The first half of an answer that is no event stream; then the connection breaks.
fn half(open: Open) -> Response {
    let pieces = [
        Ok(Bytes::from_static(b"{\"the first\": \"half\",")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ];
    // The first piece is on its way before the end.
    let pieces = stream::iter(pieces).then(move |piece| {
        let _while_sending = &open;
        async move {
            if piece.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            piece
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(pieces)).into_response()
}

fn flood(open: Open, bytes: u64) -> Response {
    const PIECE: usize = 64 * 1024;
    let piece = Bytes::from(format!("data: {}\n\n", "x".repeat(PIECE - 8)));
    let pieces = usize::try_from(bytes).unwrap() / PIECE;
    sse(open, stream::iter((0..pieces).map(move |_| Ok(piece.clone()))))
}

fn sse(
    open: Open,
    pieces: impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
) -> Response {
    let held = pieces.inspect(move |_| {
        let _while_sending = &open;
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(held)).into_response()
}
