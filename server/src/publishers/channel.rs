//! The control channel, as an event stream and as a long poll, and the probe for buffering proxies.

use super::event::Event;
use super::frame_encoding::{Unsent, encode};
use crate::auth::{self, PUBLISH, Principal};
use crate::http::error::ApiError;
use crate::http::openapi::{SessionHeader, SessionHeaders};
use crate::limits;
use crate::relay_driver::{Frame, News, RelayDriver, Urgency};
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use relay::{ChannelId, SessionId, SessionRefusal};
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::control::{Probe, Taken, event};
use wire::paths;

/// Sends the tasks and messages for this machine as they come
#[utoipa::path(
    method(get, post),
    path = paths::STREAM,
    security(("bearer" = ["publish"])),
    params(SessionHeaders),
    responses((status = 200), (status = 400), (status = 404), (status = 409)),
)]
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    principal: Principal,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    principal.require(PUBLISH)?;
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
    driver: Arc<RelayDriver>,
    id: ChannelId,
    frames: mpsc::Receiver<Frame>,
    news: Arc<News>,
    /// When news must be told that wait for another event.
    news_due: Option<Instant>,
    principal: Principal,
    closing: CancellationToken,
    /// Encoded bytes that have not been sent yet.
    encoded: VecDeque<Bytes>,
    /// True after the channel's last event.
    ended: bool,
}

impl Channel {
    fn open(app: &App, principal: &Principal, headers: &HeaderMap) -> Result<Self, ApiError> {
        let owner = principal.owner().id;
        let (id, frames, news) = app.relay.open_channel(&owner, session_header(headers)?)?;
        Ok(Self {
            driver: Arc::clone(&app.relay),
            id,
            frames,
            news,
            news_due: None,
            principal: principal.clone(),
            closing: app.closing.clone(),
            encoded: VecDeque::new(),
            ended: false,
        })
    }

    /// The next bytes of events or comments; `None` ends the channel.
    async fn next(&mut self, comment: Duration) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.encoded.pop_front() {
                return Some(bytes);
            }
            if self.ended {
                return None;
            }
            tokio::select! {
                biased;
                () = self.principal.alive.cancelled() => {
                    self.encode(vec![Event::revoked(auth::REVOKED)]);
                }
                frame = self.frames.recv() => {
                    let events = self.waiting_events(frame?).await;
                    self.encode(events);
                }
                () = self.closing.cancelled() => return None,
                urgency = self.news.changed() => self.gather_news(urgency),
                () = until(self.news_due) => {
                    let news = self.take_news();
                    self.encode(news);
                }
                () = tokio::time::sleep(comment) => return Some(keep_alive()),
            }
        }
    }

    /// The events of the news, of this frame, and of those that wait behind it, up to the size of one
    /// write. News come before tasks: one may be sent again to a publisher that has just failed it.
    async fn waiting_events(&mut self, first: Frame) -> Vec<Event> {
        let (mut bytes, mut next) = (0, Some(first));
        let mut events = Vec::new();
        if let Some(hello) = next.take_if(|frame| matches!(frame, Frame::Hello(_))) {
            events.extend(self.event(hello).await);
            next = self.frames.try_recv().ok();
        }
        events.extend(self.take_news());
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

    fn gather_news(&mut self, urgency: Urgency) {
        match urgency {
            Urgency::Now => {
                let news = self.take_news();
                self.encode(news);
            }
            Urgency::Soon => {
                self.news_due.get_or_insert(Instant::now() + limits::NEWS_WAIT);
            }
        }
    }

    fn take_news(&mut self) -> Vec<Event> {
        self.news_due = None;
        let (taken, finished) = self.news.take();
        let taken = (!taken.is_empty()).then(|| Event::new(event::TAKEN, &Taken { tasks: taken }));
        let finished = finished.map(|finished| Event::new(event::FINISHED, &finished));
        taken.into_iter().chain(finished).collect()
    }

    /// The frame's event. A task that cannot be encoded fails instead, and its caller gets the
    /// error.
    async fn event(&self, frame: Frame) -> Option<Event> {
        match encode(frame).await {
            Ok(event) => Some(event),
            Err(unsent) => {
                let Unsent { dispatch, failure } = unsent;
                let code = failure.code.as_str();
                tracing::debug!(task = %dispatch.task, code, "a task cannot be sent");
                self.driver.with(|relay, now, out| relay.not_sent(&dispatch, failure, now, out));
                None
            }
        }
    }

    fn encode(&mut self, events: Vec<Event>) {
        let (mut pieces, mut text) = (Vec::new(), String::new());
        for event in events {
            self.ended |= event.last;
            event.write(&mut pieces, &mut text);
        }
        self.encoded.extend(pieces);
        if !text.is_empty() {
            self.encoded.push_back(text.into());
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.driver.close_channel(self.id);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn keep_alive() -> Bytes {
    let mut comment = String::new();
    wire::sse::write_comment(&mut comment, "ka");
    comment.into()
}

/// Query of the long poll.
#[derive(Debug, Deserialize)]
pub(super) struct PollQuery {
    /// Longest wait in seconds.
    #[serde(default)]
    wait: Option<u64>,
}

/// Returns the next tasks and messages for this machine, for networks that buffer event streams
// The channel lives as long as the request.
#[utoipa::path(
    get,
    path = paths::POLL,
    security(("bearer" = ["publish"])),
    params(SessionHeaders),
    responses((status = 200), (status = 400), (status = 404), (status = 409)),
)]
pub(super) async fn poll(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<PollQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    principal.require(PUBLISH)?;
    let mut channel = Channel::open(&app, &principal, &headers)?;
    let wait = query.wait.map_or(limits::POLL_WAIT, Duration::from_secs).min(limits::POLL_WAIT);
    let (mut events, mut until) = (Vec::new(), Instant::now() + wait);
    loop {
        let frame = tokio::select! {
            // `hello` comes first.
            biased;
            frame = channel.frames.recv() => frame,
            urgency = channel.news.changed() => {
                let due = match urgency {
                    Urgency::Now => Instant::now(),
                    Urgency::Soon => Instant::now() + limits::NEWS_WAIT,
                };
                until = until.min(due);
                continue;
            }
            () = tokio::time::sleep_until(until) => None,
            () = principal.alive.cancelled() => {
                events.push(Event::revoked(auth::REVOKED));
                None
            }
            () = app.closing.cancelled() => None,
        };
        let Some(frame) = frame else { break };
        events.extend(channel.waiting_events(frame).await);
        if events.iter().any(|event| !matches!(event.name, event::HELLO | event::TAKEN)) {
            break;
        }
        if events.iter().any(|event| event.name == event::TAKEN) {
            until = until.min(Instant::now() + limits::TOLD_AGAIN_WAIT);
        }
    }
    events.extend(channel.take_news());
    while let Ok(frame) = channel.frames.try_recv() {
        events.extend(channel.event(frame).await);
    }
    let entry = |event: &Event| serde_json::json!({"event": event.name, "data": event.text()});
    Ok(Json(events.iter().map(entry).collect::<Vec<_>>()).into_response())
}

/// Confirms through the channel that an upload's first bytes have arrived: some proxies buffer
/// uploads
#[utoipa::path(
    post,
    path = paths::PROBE,
    security(("bearer" = ["publish"])),
    params(SessionHeader),
    request_body(content = serde_json::Value, content_type = "application/octet-stream"),
    responses(
        (status = 200), (status = 204),
        (status = 400), (status = 404), (status = 408), (status = 413),
    ),
)]
pub(super) async fn probe(
    State(app): State<Arc<App>>,
    principal: Principal,
    headers: HeaderMap,
    mut body: Body,
) -> Result<StatusCode, ApiError> {
    principal.require(PUBLISH)?;
    let session = session_header(&headers)?;
    let owner = principal.owner().id;
    let id = headers.get(wire::headers::PROBE_ID).and_then(|v| v.to_str().ok());
    let id = id.unwrap_or_default().to_owned();
    let first = tokio::time::timeout(app.times.body_idle, body.frame()).await;
    if matches!(first, Ok(Some(Ok(_)))) {
        app.relay.send(&owner, session, Frame::Probe(Probe { id }))?;
    }
    app.bodies.discard(body, limits::CONTROL_BODY).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn session_header(headers: &HeaderMap) -> Result<SessionId, ApiError> {
    let value = headers.get(wire::headers::SESSION).and_then(|v| v.to_str().ok());
    let value = value.ok_or_else(|| {
        let message = format!("the header {} is missing", wire::headers::SESSION);
        ApiError::invalid(message, None)
    })?;
    value.parse().map_err(|_| SessionRefusal::Unknown.into())
}
