//! A server that speaks the publisher's side of protocol 2 as badly as a test asks. It answers well as
//! long as it is told nothing else, and it knows nothing of our server's code.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Pieces of an endless body.
const PIECE: usize = 64 * 1024;
/// Frames that wait to go out.
const FRAMES: usize = 64;
/// What is kept of a body that arrives.
const KEPT: usize = 1 << 20;

/// How it answers at one of its endpoints, which go by the last part of their path: `register`,
/// `stream`, `heartbeat`, `probe`; `request`, `ack`, `result`, `response`.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Never.
    Silent,
    /// With this status, these headers and this body.
    Says(u16, Vec<(&'static str, String)>, String),
    /// With this status and so many bytes.
    Flood(u16, u64),
}

impl Reply {
    /// This JSON, with success.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::Says(200, Vec::new(), value.to_string())
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path.
    pub path: String,
    /// Its beginning, as JSON where it is that.
    pub body: Value,
}

/// The server.
pub struct Hostile {
    /// `http://127.0.0.1:…`
    pub url: String,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<&'static str, Reply>>,
    asked: Mutex<Vec<Asked>>,
    channel: Mutex<Option<mpsc::Sender<Bytes>>>,
}

impl Hostile {
    /// One that is good so far.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, _serving: AbortOnDropHandle::new(serving) }
    }

    /// From now on it answers so at this endpoint.
    pub fn set(&self, endpoint: &'static str, reply: Reply) {
        self.shared.replies.lock().insert(endpoint, reply);
    }

    /// It answers well there again.
    pub fn mend(&self, endpoint: &'static str) {
        self.shared.replies.lock().remove(endpoint);
    }

    /// Everything that was asked at this endpoint.
    #[must_use]
    pub fn asked(&self, endpoint: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock();
        asked.iter().filter(|asked| self::endpoint(&asked.path) == endpoint).cloned().collect()
    }

    /// Waits until something was asked at this endpoint of which this is true.
    pub async fn until_asked(&self, endpoint: &str, says: impl Fn(&Asked) -> bool) -> Asked {
        crate::until(&format!("the publisher asks at {endpoint}"), async || {
            self.asked(endpoint).into_iter().find(|asked| says(asked))
        })
        .await
    }

    /// The result that the publisher has posted for this task.
    pub async fn result(&self, task: &str) -> Value {
        let path = format!("/api/v1/llms/_provider-task/{task}/result");
        self.until_asked("result", |asked| asked.path == path).await.body
    }

    /// Writes to the control channel as it is; waits until one is open.
    pub async fn write(&self, text: impl Into<Bytes>) {
        let channel = crate::until("a control channel is open", async || {
            self.shared.channel.lock().clone().filter(|channel| !channel.is_closed())
        });
        // One that closes meanwhile takes nothing any more.
        let _closed = channel.await.send(text.into()).await;
    }

    /// Sends an event.
    pub async fn event(&self, name: &str, data: &Value) {
        self.write(format!("event: {name}\ndata: {data}\n\n")).await;
    }
}

/// The id of the task of this number.
#[must_use]
pub fn task_id(number: usize) -> String {
    format!("{number:032x}")
}

/// A task for `qwen` with this body.
#[must_use]
pub fn task(id: &str, request: &Value) -> Value {
    json!({"kind": "infer", "taskId": id, "llmName": "qwen", "request": request,
           "path": "/v1/chat/completions", "method": "POST"})
}

fn endpoint(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.strip_prefix("_provider-").unwrap_or(last)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let reply = shared.replies.lock().get(endpoint(&path)).cloned();
    if reply.is_none() && endpoint(&path) == "probe" {
        // Its first bytes are confirmed while it is still open.
        confirm(&shared, &head.headers).await;
    }
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let kept = &bytes[..bytes.len().min(KEPT)];
    let body = serde_json::from_slice(kept).unwrap_or_default();
    shared.asked.lock().push(Asked { path: path.clone(), body });
    match reply {
        None => good(&shared, &path).await,
        Some(Reply::Silent) => std::future::pending().await,
        Some(Reply::Says(status, headers, text)) => {
            let mut answer = (StatusCode::from_u16(status).unwrap(), text).into_response();
            for (name, value) in headers {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
            answer
        }
        Some(Reply::Flood(status, bytes)) => {
            let piece = Bytes::from(vec![b' '; PIECE]);
            let pieces = usize::try_from(bytes).unwrap() / PIECE;
            let pieces = (0..pieces).map(move |_| Ok::<_, Infallible>(piece.clone()));
            let body = Body::from_stream(stream::iter(pieces));
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
    }
}

async fn confirm(shared: &Shared, headers: &HeaderMap) {
    let id = headers.get(wire::headers::PROBE_ID).and_then(|id| id.to_str().ok());
    let confirmed = format!("event: probe\ndata: {}\n\n", json!({"id": id}));
    let channel = shared.channel.lock().clone();
    if let Some(channel) = channel {
        let _closed = channel.send(confirmed.into()).await;
    }
}

async fn good(shared: &Shared, path: &str) -> Response {
    match endpoint(path) {
        "register" => {
            let said = json!({"protocol": 2, "providerSessionId": "hostile-1", "epoch": 1,
                              "heartbeatSeconds": 30, "llms": [], "rejected": []});
            (StatusCode::CREATED, axum::Json(said)).into_response()
        }
        "stream" => {
            let (sender, receiver) = mpsc::channel(FRAMES);
            let hello = json!({"protocol": 2, "epoch": 1, "providerSessionId": "hostile-1",
                               "heartbeatSeconds": 30});
            let hello = format!("event: hello\ndata: {hello}\n\n");
            sender.send(Bytes::from(hello)).await.unwrap();
            *shared.channel.lock() = Some(sender);
            let next = |mut receiver: mpsc::Receiver<Bytes>| async {
                Some((Ok::<_, Infallible>(receiver.recv().await?), receiver))
            };
            let frames = stream::unfold(receiver, next).boxed();
            let kind = [(header::CONTENT_TYPE, "text/event-stream")];
            (kind, Body::from_stream(frames)).into_response()
        }
        "heartbeat" => axum::Json(json!({})).into_response(),
        "request" => axum::Json(json!({"model": "qwen", "messages": []})).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
