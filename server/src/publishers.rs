//! The publisher's side: register, control channel, heartbeat, probe. Tasks: [`responses`].

pub(crate) mod chunked_upload;
pub(crate) mod responses;
pub(crate) mod results;

use crate::auth::{self, Principal};
use crate::http::body;
use crate::http::error::ApiError;
use crate::limits;
use crate::relay_driver::frames::{Event, Unsent, event as write, frame};
use crate::relay_driver::{Driver, Frame};
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use relay::{Action, Actions, ChannelId, RegisterRefusal, SessionId, SessionRefusal};
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::control::{Probe, Revoked, event};
use wire::error::Code;
use wire::publisher::{Heartbeat, Register, Registered};

/// `POST _provider-register`.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<Response, ApiError> {
    principal.require("publish")?;
    let request: Register = body::json_of(&app, &principal, body, limits::CONTROL_BODY).await?;
    at_most(limits::INFLIGHT, "inflight", request.inflight.len())?;
    let began = Instant::now();
    let owner = principal.owner();
    let registered = app.relay.with(|relay, now, out| {
        let registered = relay.register(&owner, &request, now, out);
        // Before anything else happens, so that the log has the relay's order.
        registered.inspect(|registered| tell(registered, out))
    })?;
    // The rows must survive a crash that follows the answer.
    app.relay.save().await.map_err(ApiError::internal)?;
    tracing::info!(
        owner = %owner.id,
        session = %short(&registered.provider_session_id),
        llms = registered.llms.len(),
        rejected = registered.rejected.len(),
        ms = began.elapsed().as_millis(),
        "a publisher registered"
    );
    Ok((StatusCode::CREATED, Json(registered)).into_response())
}

/// Which models it publishes now, and which are withdrawn by it.
fn tell(registered: &Registered, actions: &Actions) {
    for llm in &registered.llms {
        tracing::debug!(llm = llm.name, "a model is published");
    }
    for action in actions {
        if let Action::Withdrawn { name } = action {
            tracing::debug!(llm = name, "a model is withdrawn");
        }
    }
}

/// Session ids are bearer-like: logs get their beginning only.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// `POST _provider-heartbeat`.
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<Response, ApiError> {
    principal.require("publish")?;
    let beat: Heartbeat = body::json_of(&app, &principal, body, limits::HEARTBEAT_BODY).await?;
    at_most(wire::limits::LLMS_PER_OWNER, "llms", beat.llms.len())?;
    at_most(limits::INFLIGHT, "inflight", beat.inflight.as_ref().map_or(0, Vec::len))?;
    let owner = principal.owner().id;
    let reply = app.relay.with(|relay, now, out| relay.heartbeat(&owner, &beat, now, out))?;
    Ok(Json(reply).into_response())
}

/// A publisher names its owner's models and their tasks, and no more than there can be of them.
fn at_most(most: usize, name: &'static str, found: usize) -> Result<(), ApiError> {
    if found <= most {
        return Ok(());
    }
    let message = format!("`{name}` has at most {most} entries, not {found}");
    Err(ApiError::invalid(message, Some(name)))
}

/// `GET` and `POST _provider-stream`.
pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    principal: Principal,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    principal.require("publish")?;
    let channel = Channel::open(&app, &principal, &headers)?;
    let comment = app.times.channel_comment;
    let events = stream::unfold(channel, move |mut channel| async move {
        let bytes = channel.next(comment).await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), channel))
    });
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((head, Body::from_stream(events)).into_response())
}

/// An open control channel; dropping it closes it.
struct Channel {
    driver: Arc<Driver>,
    id: ChannelId,
    frames: mpsc::Receiver<Frame>,
    principal: Principal,
    closing: CancellationToken,
    /// Written and not sent yet.
    written: VecDeque<Bytes>,
    over: bool,
}

impl Channel {
    fn open(app: &App, principal: &Principal, headers: &HeaderMap) -> Result<Self, ApiError> {
        let owner = principal.owner().id;
        let (id, frames) = app.relay.open_channel(&owner, session_header(headers)?)?;
        Ok(Self {
            driver: Arc::clone(&app.relay),
            id,
            frames,
            principal: principal.clone(),
            closing: app.closing.clone(),
            written: VecDeque::new(),
            over: false,
        })
    }

    /// The next bytes of events or comments; `None` ends the channel.
    async fn next(&mut self, comment: Duration) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.written.pop_front() {
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                biased;
                () = self.principal.alive.cancelled() => {
                    let revoked = write(event::REVOKED, &Revoked { reason: auth::REVOKED.into() });
                    self.write(vec![Event { last: true, ..revoked }]);
                }
                frame = self.frames.recv() => {
                    let waiting = self.waiting(frame?).await;
                    self.write(waiting);
                }
                () = self.closing.cancelled() => return None,
                () = tokio::time::sleep(comment) => return Some(Bytes::from_static(b": ka\n\n")),
            }
        }
    }

    /// This frame and those that wait behind it, as far as they go in one write.
    async fn waiting(&mut self, first: Frame) -> Vec<Event> {
        let (mut events, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(frame) = next.take() {
            let Some(event) = self.event(frame).await else {
                next = self.frames.try_recv().ok();
                continue;
            };
            bytes += event.len();
            if !event.last && bytes < limits::CHANNEL_WRITE {
                next = self.frames.try_recv().ok();
            }
            events.push(event);
        }
        events
    }

    /// The frame's event. A task that cannot be written fails instead, and its caller is told.
    async fn event(&self, frame: Frame) -> Option<Event> {
        match frame.into_event().await {
            Ok(event) => Some(event),
            Err(unsent) => {
                let Unsent { dispatch, failure } = unsent;
                tracing::debug!(task = %dispatch.task, code = failure.code.as_str(), "a task cannot be sent");
                self.driver.with(|relay, now, out| relay.not_sent(&dispatch, failure, now, out));
                None
            }
        }
    }

    fn write(&mut self, events: Vec<Event>) {
        let (mut pieces, mut text) = (Vec::new(), String::new());
        for event in events {
            self.over |= event.last;
            event.write(&mut pieces, &mut text);
        }
        self.written.extend(pieces);
        if !text.is_empty() {
            self.written.push_back(text.into());
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.driver.detach_channel(self.id);
    }
}

/// Query of the long poll.
#[derive(Debug, Deserialize)]
pub(crate) struct PollQuery {
    /// Seconds.
    #[serde(default)]
    wait: Option<u64>,
}

/// `GET _provider-poll`: the frames of one channel that lives as long as this request. For networks
/// that buffer an event stream.
pub(crate) async fn poll(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<PollQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    principal.require("publish")?;
    let mut channel = Channel::open(&app, &principal, &headers)?;
    let wait = query.wait.map_or(limits::POLL_WAIT, Duration::from_secs).min(limits::POLL_WAIT);
    let (mut events, until) = (Vec::new(), Instant::now() + wait);
    loop {
        let frame = tokio::select! {
            frame = channel.frames.recv() => frame,
            () = tokio::time::sleep_until(until) => None,
            () = principal.alive.cancelled() => {
                events.push(write(event::REVOKED, &Revoked { reason: auth::REVOKED.into() }));
                None
            }
            () = app.closing.cancelled() => None,
        };
        let Some(frame) = frame else { break };
        let waiting = channel.waiting(frame).await;
        let is_news = waiting.iter().any(|event| event.name != event::HELLO);
        events.extend(waiting);
        if is_news {
            break;
        }
    }
    while let Ok(frame) = channel.frames.try_recv() {
        events.extend(channel.event(frame).await);
    }
    let entry = |event: &Event| serde_json::json!({"event": event.name, "data": event.text()});
    Ok(Json(events.iter().map(entry).collect::<Vec<_>>()).into_response())
}

/// `POST _provider-probe`: says through the channel that the upload's first bytes have arrived.
pub(crate) async fn probe(
    State(app): State<Arc<App>>,
    principal: Principal,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response, ApiError> {
    principal.require("publish")?;
    let session = session_header(&headers)?;
    let owner = principal.owner().id;
    let id = headers
        .get(wire::headers::PROBE_ID)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let first = tokio::time::timeout(app.times.body_idle, body.frame()).await;
    if matches!(first, Ok(Some(Ok(_)))) {
        let confirmed = frame(event::PROBE, &Probe { id });
        app.relay.send(&owner, session, confirmed)?;
    }
    body::discard(body, limits::CONTROL_BODY, app.times.body_idle).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn session_header(headers: &HeaderMap) -> Result<SessionId, ApiError> {
    let value = headers.get(wire::headers::SESSION).and_then(|v| v.to_str().ok());
    let value = value.ok_or_else(|| {
        let message = format!("the header {} is missing", wire::headers::SESSION);
        ApiError::invalid(message, None)
    })?;
    value.parse().map_err(|_| SessionRefusal::Unknown.into())
}

impl From<RegisterRefusal> for ApiError {
    fn from(refusal: RegisterRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            RegisterRefusal::Invalid(_) => Self::invalid(message, None),
            RegisterRefusal::SessionConflict => {
                Self::new(StatusCode::CONFLICT, Code::SessionConflict, message)
            }
            RegisterRefusal::TooManySessions(_) => {
                let error = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message);
                Self { retry_after: Some(60), ..error }
            }
            RegisterRefusal::Draining => Self::shutting_down(),
        }
    }
}

impl From<SessionRefusal> for ApiError {
    fn from(refusal: SessionRefusal) -> Self {
        match refusal {
            SessionRefusal::Unknown => Self::not_found(refusal.to_string()),
            SessionRefusal::StaleEpoch => {
                Self::new(StatusCode::CONFLICT, Code::StaleEpoch, refusal.to_string())
            }
        }
    }
}
