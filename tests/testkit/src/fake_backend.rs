//! The fake backend: a real HTTP server that speaks the OpenAI dialect and shares no code with ours.
//! It records its requests, notices disconnects of its peer, and misbehaves as each request asks
//! for: by `x_script`, or by the last message, the prompt or the input where a client cannot add keys.
//!
//! It is awake while a file named `awake` exists in its folder, so that a recipe of any kind can wake
//! it. [`FakeBackend`] runs it inside the test; the program `recording_backend` runs it in a process
//! of its own, which a test can kill or stop, and uses the script `record` (see `recorded`).
//!
//! The benchmarks have a backend of their own, because this one would cost more than what they
//! measure.

mod recorded;
mod responses;

use crate::received_request::ReceivedRequest;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use http::{HeaderMap, StatusCode, Uri, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A fake backend that runs inside the test.
pub struct FakeBackend {
    /// `http://127.0.0.1:…`
    pub url: String,
    shared: Arc<Shared>,
    serving: AbortOnDropHandle<()>,
    _folder: TempDir,
}

struct Shared {
    folder: PathBuf,
    requests: Mutex<Vec<ReceivedRequest>>,
    /// Responses in progress.
    open: AtomicUsize,
    /// Calls of `/wake`.
    wakes: AtomicUsize,
}

impl Shared {
    fn new(folder: &Path) -> Arc<Self> {
        Arc::new(Self {
            folder: folder.to_owned(),
            requests: Mutex::default(),
            open: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
        })
    }

    fn is_awake(&self) -> bool {
        self.folder.join("awake").exists()
    }
}

impl FakeBackend {
    /// Starts one that is ready.
    pub async fn awake() -> Self {
        let backend = Self::asleep().await;
        std::fs::write(backend.awake_file(), "").unwrap();
        backend
    }

    /// Starts one whose readiness endpoints answer 503 until it is woken.
    pub async fn asleep() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared::new(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = router(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, serving: AbortOnDropHandle::new(serving), _folder: folder }
    }

    /// Closes the port and waits until it is closed: while the aborted task still holds it,
    /// connections would be reset and not refused.
    pub async fn stop_listening(&mut self) {
        self.serving.abort();
        let _aborted = (&mut self.serving).await;
    }

    /// The file whose existence means that the backend is awake.
    #[must_use]
    pub fn awake_file(&self) -> PathBuf {
        self.shared.folder.join("awake")
    }

    /// A command recipe that wakes the backend and logs each of its runs.
    #[must_use]
    pub fn wake_command(&self) -> Value {
        let (log, awake) = (self.recipe_log(), self.awake_file());
        let script = format!("echo ran >> {}; touch {}", log.display(), awake.display());
        json!({"type": "command", "command": "sh", "args": ["-c", script]})
    }

    /// Number of recipe runs, by command or by HTTP.
    #[must_use]
    pub fn recipe_runs(&self) -> usize {
        let log = std::fs::read_to_string(self.recipe_log()).unwrap_or_default();
        log.lines().count() + self.shared.wakes.load(Ordering::SeqCst)
    }

    fn recipe_log(&self) -> PathBuf {
        self.shared.folder.join("recipe.log")
    }

    /// All requests so far, except readiness checks and wakes.
    #[must_use]
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.requests.lock().clone()
    }

    /// Number of responses in progress.
    #[must_use]
    pub fn open_responses(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Waits until exactly `count` responses are in progress.
    pub async fn until_open_responses(&self, count: usize) {
        crate::until(&format!("the backend has {count} responses in progress"), async || {
            (self.open_responses() == count).then_some(())
        })
        .await;
    }
}

/// Serves a fake backend with this folder, for ever.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, folder: &Path) -> std::io::Result<()> {
    axum::serve(listener, router(Shared::new(folder))).await
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/models", get(readiness))
        .route("/health", get(readiness))
        .route("/wake", post(wake))
        .fallback(any(respond))
        .with_state(shared)
}

async fn readiness(State(shared): State<Arc<Shared>>) -> Response {
    if !shared.is_awake() {
        return asleep();
    }
    let model = json!({"object": "model", "id": "the-backends-own-name"});
    axum::Json(json!({"object": "list", "data": [model]})).into_response()
}

fn asleep() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "asleep").into_response()
}

async fn wake(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.wakes.fetch_add(1, Ordering::SeqCst);
    std::fs::write(shared.folder.join("awake"), "").unwrap();
    StatusCode::OK
}

async fn respond(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let received = ReceivedRequest { path: uri.path().to_owned(), headers, body };
    let form = received.form().await;
    let request = if form.is_null() { received.json() } else { form };
    shared.requests.lock().push(received);
    let script = script(&request);
    if script["do"] == "record" {
        return recorded::respond(&shared, &script);
    }
    let open = OpenResponse::new(shared);
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
        Some("half") => responses::half(open),
        Some("late") => {
            tokio::time::sleep(Duration::from_millis(number("ms").unwrap())).await;
            axum::Json(responses::whole()).into_response()
        }
        Some("bytes") => {
            let kind = script["type"].as_str().unwrap().to_owned();
            responses::bytes(open, number("n").unwrap(), kind)
        }
        Some("flood") => responses::flood(open, number("bytes").unwrap()),
        Some("count") => responses::count(open, script.clone()),
        _ if request["stream"] == true => responses::count(open, json!({"n": 5})),
        _ => axum::Json(responses::whole()).into_response(),
    }
}

fn script(request: &Value) -> Value {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    let message = last.map_or(&Value::Null, |message| &message["content"]);
    let texts = [message, &request["prompt"], &request["input"]].into_iter();
    let mut scripts = texts.filter_map(|text| serde_json::from_str(text.as_str()?).ok());
    scripts.next().unwrap_or_else(|| request["x_script"].clone())
}

/// Guard of a response in progress; dropped when everything is sent or the peer has disconnected.
struct OpenResponse(Arc<Shared>);

impl OpenResponse {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for OpenResponse {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
