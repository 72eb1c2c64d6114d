//! The fake server: speaks the server's side of protocol 2 to a real agent, and misbehaves as a test
//! asks. Endpoints without a reply of their own answer as a good server does. It shares no code with
//! mcpd.

use crate::agent::{Agent, Home, provider};
use crate::fake_backend::FakeBackend;
use crate::received_request::ReceivedRequest;
use crate::setup::with_keys;
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
use wire::frames::{Decoder, Frame, Kind};

/// Bytes of each write of a flood.
const WRITE: usize = 64 * 1024;
/// Frames that may wait in the control channel.
const FRAMES: usize = 64;
/// Bytes that are stored of each received body.
const STORED: usize = 1 << 20;

/// Reply of an endpoint. An endpoint is named by the last part of its path: `register`, `stream`,
/// `heartbeat`, `probe`, `uplink`, `request`, `result`; `*` is every endpoint without a reply of its
/// own.
#[derive(Debug, Clone)]
pub enum Reply {
    /// No response, ever.
    Silent,
    /// This status, these headers and this body.
    Says(u16, Vec<(&'static str, String)>, String),
    /// This status and a body of this many bytes.
    Flood(u16, u64),
}

impl Reply {
    /// 200 with this JSON.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::Says(200, Vec::new(), value.to_string())
    }
}

/// The server.
pub struct FakeServer {
    /// `http://127.0.0.1:…`
    pub url: String,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<&'static str, Reply>>,
    requests: Mutex<Vec<ReceivedRequest>>,
    /// Frames of all uplinks.
    frames: Mutex<Vec<Frame>>,
    channel: Mutex<Option<mpsc::Sender<Bytes>>>,
}

impl FakeServer {
    /// Starts one that answers as a good server does.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(respond).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Sets the reply of an endpoint, from now on.
    pub fn set_reply(&self, endpoint: &'static str, reply: Reply) {
        self.shared.replies.lock().insert(endpoint, reply);
    }

    /// Lets an endpoint answer as a good server does again.
    pub fn reset_reply(&self, endpoint: &'static str) {
        self.shared.replies.lock().remove(endpoint);
    }

    /// All requests at this endpoint so far.
    #[must_use]
    pub fn requests(&self, endpoint: &str) -> Vec<ReceivedRequest> {
        let requests = self.shared.requests.lock();
        requests.iter().filter(|one| self::endpoint(&one.path) == endpoint).cloned().collect()
    }

    /// Waits for a request at this endpoint that fulfils `condition`.
    pub async fn until_request(
        &self,
        endpoint: &str,
        condition: impl Fn(&ReceivedRequest) -> bool,
    ) -> ReceivedRequest {
        crate::until(&format!("a request arrives at {endpoint}"), async || {
            self.requests(endpoint).into_iter().find(|request| condition(request))
        })
        .await
    }

    /// Waits for the result that the agent posts for this task.
    pub async fn result(&self, task: &str) -> Value {
        let path = format!("/api/v1/llms/_provider-task/{task}/result");
        self.until_request("result", |request| request.path == path).await.json()
    }

    /// All frames of this kind so far.
    #[must_use]
    pub fn frames(&self, kind: Kind) -> Vec<Frame> {
        let frames = self.shared.frames.lock();
        frames.iter().filter(|frame| frame.kind == kind).cloned().collect()
    }

    /// Waits for a frame of this kind for a task.
    pub async fn until_frame(&self, task: &str, kind: Kind) -> Frame {
        let number = u128::from_str_radix(task, 16).unwrap();
        crate::until(&format!("a frame {kind:?} of task {task}"), async || {
            self.frames(kind).into_iter().find(|frame| frame.task == number)
        })
        .await
    }

    /// Waits for the failure that the agent reports for this task.
    pub async fn failure(&self, task: &str) -> Value {
        let frame = self.until_frame(task, Kind::Failed).await;
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// Waits for an open control channel and writes `text` to it, as it is.
    pub async fn write(&self, text: impl Into<Bytes>) {
        let channel = crate::until("a control channel is open", async || {
            self.shared.channel.lock().clone().filter(|channel| !channel.is_closed())
        });
        // The channel may close in the meantime.
        let _closed = channel.await.send(text.into()).await;
    }

    /// Sends an event on the control channel.
    pub async fn send_event(&self, name: &str, data: &Value) {
        self.write(format!("event: {name}\ndata: {data}\n\n")).await;
    }
}

/// A fake server, an agent that publishes `qwen` to it, and the model's backend.
pub struct AgentOfFakeServer {
    /// The server.
    pub server: FakeServer,
    /// The backend of `qwen`.
    pub backend: FakeBackend,
    /// The agent's folder.
    pub home: Home,
    /// The agent.
    pub agent: Agent,
}

impl AgentOfFakeServer {
    /// Starts all of it, with the agent's waits multiplied by `scale`, and with endpoints that are
    /// silent from the beginning.
    pub async fn start(silent: &[&'static str], scale: f64) -> Self {
        let (server, backend) = (FakeServer::start().await, FakeBackend::awake().await);
        for endpoint in silent {
            server.set_reply(endpoint, Reply::Silent);
        }
        let entry = with_keys(provider("qwen", &backend.url), &json!({"maxConcurrency": 1}));
        let home = Home::with_config(&server.url, &[entry]);
        let agent = Agent::scaled(&home, "t", scale);
        Self { server, backend, home, agent }
    }

    /// Sends an ordinary task and waits for its response: the agent still works.
    pub async fn until_task_answered(&self, number: usize) {
        let id = task_id(number);
        let request = json!({"model": "qwen", "messages": []});
        self.server.send_event("task", &task(&id, &request)).await;
        self.server.until_frame(&id, Kind::End).await;
    }
}

/// A valid task id for each number.
#[must_use]
pub fn task_id(number: usize) -> String {
    format!("{number:032x}")
}

/// An infer task for `qwen` with this request body.
#[must_use]
pub fn task(id: &str, request: &Value) -> Value {
    json!({"kind": "infer", "taskId": id, "llmName": "qwen", "request": request,
           "path": "/v1/chat/completions", "method": "POST"})
}

fn endpoint(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.strip_prefix("_provider-").unwrap_or(last)
}

async fn respond(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let reply = {
        let replies = shared.replies.lock();
        replies.get(endpoint(&path)).or_else(|| replies.get("*")).cloned()
    };
    if reply.is_none() && endpoint(&path) == "probe" {
        // The first bytes of a probe are confirmed while its upload is still open.
        confirm_probe(&shared, &head.headers).await;
    }
    // An uplink stays open: it counts as soon as it begins.
    let is_uplink = endpoint(&path) == "uplink";
    let (body, uplink) = if is_uplink { (Body::empty(), Some(body)) } else { (body, None) };
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let body = Bytes::copy_from_slice(&body[..body.len().min(STORED)]);
    let received = ReceivedRequest { path: path.clone(), headers: head.headers, body };
    shared.requests.lock().push(received);
    if let Some(frames) = uplink.filter(|_| reply.is_none()) {
        take_frames(&shared, frames).await;
    }
    match reply {
        None => good_response(&shared, &path).await,
        Some(Reply::Silent) => std::future::pending().await,
        Some(Reply::Says(status, headers, text)) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), text).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Some(Reply::Flood(status, bytes)) => {
            let write = Bytes::from(vec![b' '; WRITE]);
            let writes = usize::try_from(bytes).unwrap() / WRITE;
            let writes = (0..writes).map(move |_| Ok::<_, Infallible>(write.clone()));
            let body = Body::from_stream(stream::iter(writes));
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
    }
}

async fn confirm_probe(shared: &Shared, headers: &HeaderMap) {
    let id = headers.get(wire::headers::PROBE_ID).and_then(|id| id.to_str().ok());
    let confirmation = format!("event: probe\ndata: {}\n\n", json!({"id": id}));
    let channel = shared.channel.lock().clone();
    if let Some(channel) = channel {
        let _closed = channel.send(confirmation.into()).await;
    }
}

/// Reads an uplink to its end. Each answer is finished with its last frame.
async fn take_frames(shared: &Shared, body: Body) {
    let (mut body, mut decoder) = (body.into_data_stream(), Decoder::default());
    while let Some(Ok(bytes)) = body.next().await {
        decoder.feed(bytes);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let ends = matches!(frame.kind, Kind::End | Kind::Failed);
            let finished = json!({"tasks": [format!("{:032x}", frame.task)]});
            shared.frames.lock().push(frame);
            let channel = shared.channel.lock().clone().filter(|_| ends);
            if let Some(channel) = channel {
                let event = format!("event: finished\ndata: {finished}\n\n");
                let _closed = channel.send(event.into()).await;
            }
        }
    }
}

async fn good_response(shared: &Shared, path: &str) -> Response {
    match endpoint(path) {
        "register" => {
            let registered = json!({"protocol": 2, "providerSessionId": "fake-1", "epoch": 1,
                                    "heartbeatSeconds": 30, "llms": [], "rejected": []});
            (StatusCode::CREATED, axum::Json(registered)).into_response()
        }
        "stream" => {
            let (sender, receiver) = mpsc::channel(FRAMES);
            let hello = json!({"protocol": 2, "epoch": 1, "providerSessionId": "fake-1",
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
