//! What a publisher sends for one task: claim of the body, acknowledgement, and the answer, either
//! as one streamed upload (protocol 2) or as results.

use crate::auth::Principal;
use crate::body;
use crate::driver::{AnswerHead, CallerEvent, ChunkedAnswer, Upload};
use crate::error::ApiError;
use crate::pipe::{Writer, pipe};
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use relay::{AnswerEnd, From as Publisher, GoneReason, SessionId, TaskId, TaskRefusal};
use std::sync::Arc;
use wire::error::code;
use wire::publisher::{SeqReply, TaskFailure, TaskResult};

/// `GET _provider-task/:id/request`: the body, which is also the acknowledgement.
pub(crate) async fn request(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (from, task) = named(&principal, &headers, &id)?;
    app.driver
        .with(|relay, now, out| relay.acknowledge(&from, task, now, out))?;
    let request = app.driver.request(task).ok_or(TaskRefusal::Gone)?;
    let kind = request
        .headers
        .get("content-type")
        .and_then(|v| HeaderValue::from_str(v).ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
    Ok(([(header::CONTENT_TYPE, kind)], request.body.clone()).into_response())
}

/// `POST _provider-task/:id/ack`.
pub(crate) async fn ack(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let (from, task) = named(&principal, &headers, &id)?;
    app.driver
        .with(|relay, now, out| relay.acknowledge(&from, task, now, out))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST _provider-task/:id/response`: the backend's response body as it arrives. It is read only
/// as fast as the caller takes it.
pub(crate) async fn response(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let (from, task) = named(&principal, &headers, &id)?;
    let head = answer_head(&headers)?;
    let upload = app.driver.upload(task).ok_or(TaskRefusal::Unknown)?;
    app.driver
        .with(|relay, now, out| relay.answer_begins(&from, task, now, out))?;
    let guard = EndGuard {
        app: Arc::clone(&app),
        task,
        end: AnswerEnd::Aborted,
    };
    forward(&app, task, head, body, upload, guard).await
}

/// Reports how the upload ended; when the publisher's connection dies, this handler is dropped and
/// the guard says so.
struct EndGuard {
    app: Arc<App>,
    task: TaskId,
    end: AnswerEnd,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        let (task, end) = (self.task, self.end);
        self.app
            .driver
            .with(|relay, now, out| relay.answer_ended(task, end, now, out));
    }
}

async fn forward(
    app: &App,
    task: TaskId,
    head: AnswerHead,
    mut body: Body,
    upload: Upload,
    mut guard: EndGuard,
) -> Result<StatusCode, ApiError> {
    let (writer, reader) = pipe();
    let mut start = Some((head, reader));
    loop {
        let frame = tokio::select! {
            biased;
            () = upload.stop.cancelled() => {
                guard.end = AnswerEnd::Stopped;
                return Err(TaskRefusal::Gone.into());
            }
            frame = tokio::time::timeout(app.times.backend_silence, body.frame()) => frame,
        };
        let data = match frame {
            Err(_silent) => {
                guard.end = AnswerEnd::Silent;
                return Err(TaskRefusal::Gone.into());
            }
            Ok(Some(Err(_broken))) => return Err(ApiError::invalid("the upload broke off", None)),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => Some(data),
                Err(_trailers) => continue,
            },
            Ok(None) => None,
        };
        if let Some((head, reader)) = start.take() {
            app.driver.with(|relay, now, _| relay.first_byte(task, now));
            let _ = upload.events.try_send(CallerEvent::Answer(head, reader));
        }
        match data {
            Some(data) => {
                if let Some(end) = push(app, task, &writer, data, &upload).await {
                    guard.end = end;
                    return Err(TaskRefusal::Gone.into());
                }
            }
            None => {
                // The pipe says "complete" to the caller, the guard to the relay.
                let _ = writer.finish().await;
                guard.end = AnswerEnd::Complete;
                return Ok(StatusCode::NO_CONTENT);
            }
        }
    }
}

/// Puts one piece into the pipe; `Some` when the answer is over.
async fn push(
    app: &App,
    task: TaskId,
    writer: &Writer,
    data: Bytes,
    upload: &Upload,
) -> Option<AnswerEnd> {
    tokio::select! {
        biased;
        () = upload.stop.cancelled() => Some(AnswerEnd::Stopped),
        written = tokio::time::timeout(app.times.slow_caller, writer.write(data)) => match written {
            Ok(Ok(())) => None,
            Ok(Err(_reader_gone)) => {
                caller_gone(app, task, GoneReason::Disconnected);
                Some(AnswerEnd::Stopped)
            }
            Err(_slow) => {
                caller_gone(app, task, GoneReason::SlowConsumer);
                Some(AnswerEnd::Stopped)
            }
        }
    }
}

fn caller_gone(app: &App, task: TaskId, reason: GoneReason) {
    app.driver
        .with(|relay, now, out| relay.caller_gone(task, reason, now, out));
}

/// `POST _provider-task/:id/result`: a whole answer, a chunk, an error, or a wake's outcome.
pub(crate) async fn result(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (from, task) = named(&principal, &headers, &id)?;
    let bytes = body::read(body, wire::limits::BODY, app.times.body_idle).await?;
    let result: TaskResult = serde_json::from_slice(&bytes)
        .map_err(|e| ApiError::invalid(format!("the result is not usable: {e}"), None))?;
    if let Some(failure) = &result.error {
        return failed(&app, &from, task, failure).await;
    }
    if result.ok == Some(true) {
        let ms = result.ms.unwrap_or_default();
        app.driver
            .with(|relay, now, out| relay.wake_succeeded(&from, task, ms, now, out))?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if result.chunk.is_some() {
        return chunk(&app, &from, task, result).await;
    }
    let Some(whole) = result.body else {
        let message = "a result has one of body, chunk, error, ok";
        return Err(ApiError::invalid(message, None));
    };
    let upload = app.driver.upload(task).ok_or(TaskRefusal::Unknown)?;
    app.driver
        .with(|relay, now, out| relay.answer_begins(&from, task, now, out))?;
    let status = status_of(result.status.unwrap_or(200))?;
    let guard = EndGuard {
        app: Arc::clone(&app),
        task,
        end: AnswerEnd::Aborted,
    };
    let body = Body::from(String::from(Box::<str>::from(whole)));
    let sent = forward(&app, task, json_head(status), body, upload, guard).await?;
    Ok(sent.into_response())
}

async fn failed(
    app: &App,
    from: &Publisher,
    task: TaskId,
    failure: &TaskFailure,
) -> Result<Response, ApiError> {
    if let Some(upload) = app.driver.upload(task) {
        *upload.chunks.lock().await = None;
    }
    app.driver
        .with(|relay, now, out| relay.task_failed(from, task, failure, now, out))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// One SSE data payload. A repeated `seq` is confirmed again, a gap is refused.
async fn chunk(
    app: &Arc<App>,
    from: &Publisher,
    task: TaskId,
    result: TaskResult,
) -> Result<Response, ApiError> {
    let upload = app.driver.upload(task).ok_or(TaskRefusal::Unknown)?;
    let mut answer = upload.chunks.lock().await;
    if answer.is_none() {
        app.driver
            .with(|relay, now, out| relay.answer_begins(from, task, now, out))?;
        let (writer, reader) = pipe();
        app.driver.with(|relay, now, _| relay.first_byte(task, now));
        let _ = upload
            .events
            .try_send(CallerEvent::Answer(event_stream_head(), reader));
        *answer = Some(ChunkedAnswer {
            writer,
            next_seq: 0,
        });
    } else {
        app.driver
            .with(|relay, now, _| relay.answer_continues(from, task, now))?;
    }
    let (Some(open), Some(chunk)) = (answer.as_mut(), result.chunk) else {
        return Err(TaskRefusal::Gone.into());
    };
    if let Some(seq) = result.seq {
        if seq < open.next_seq {
            return Ok(Json(SeqReply {
                duplicate: true,
                expected: None,
            })
            .into_response());
        }
        if seq > open.next_seq {
            let reply = SeqReply {
                duplicate: false,
                expected: Some(open.next_seq),
            };
            return Ok((StatusCode::CONFLICT, Json(reply)).into_response());
        }
    }
    open.next_seq += 1;
    if !chunk.data.is_empty() {
        let text = Bytes::from(data_lines(&chunk.data));
        if push(app, task, &open.writer, text, &upload).await.is_some() {
            return Err(TaskRefusal::Gone.into());
        }
    }
    if chunk.done
        && let Some(done) = answer.take()
    {
        let _ = done.writer.finish().await;
        let end = AnswerEnd::Complete;
        app.driver
            .with(|relay, now, out| relay.answer_ended(task, end, now, out));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn data_lines(data: &str) -> String {
    let mut out = String::with_capacity(data.len() + 8);
    for line in data.split('\n') {
        out.push_str("data: ");
        out.push_str(line);
        out.push('\n');
    }
    out.push('\n');
    out
}

fn named(
    principal: &Principal,
    headers: &HeaderMap,
    id: &str,
) -> Result<(Publisher, TaskId), ApiError> {
    principal.require("publish")?;
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let from = Publisher {
        owner: principal.owner().id,
        session: text(wire::headers::SESSION).map(|id| SessionId(id.to_owned())),
        epoch: text(wire::headers::EPOCH).and_then(|epoch| epoch.parse().ok()),
    };
    Ok((from, id.parse().map_err(|()| TaskRefusal::Unknown)?))
}

fn answer_head(headers: &HeaderMap) -> Result<AnswerHead, ApiError> {
    let status = headers
        .get(wire::headers::STATUS)
        .and_then(|v| v.to_str().ok());
    let status = status
        .map_or(Ok(200), str::parse)
        .map_err(|_| bad_status())?;
    let mut out = HeaderMap::new();
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        out.insert(header::CONTENT_TYPE, kind.clone());
    }
    for name in wire::headers::TO_CALLER {
        let prefixed = format!("{}{name}", wire::headers::BACKEND_PREFIX);
        if let Some(value) = headers.get(&prefixed) {
            out.insert(HeaderName::from_static(name), value.clone());
        }
    }
    Ok(AnswerHead {
        status: status_of(status)?,
        headers: out,
    })
}

fn status_of(status: u16) -> Result<StatusCode, ApiError> {
    let valid = StatusCode::from_u16(status)
        .ok()
        .filter(|s| s.as_u16() >= 200);
    valid.ok_or_else(bad_status)
}

fn bad_status() -> ApiError {
    ApiError::invalid("the backend's status must be between 200 and 599", None)
}

fn json_head(status: StatusCode) -> AnswerHead {
    with_type(status, "application/json")
}

fn event_stream_head() -> AnswerHead {
    with_type(StatusCode::OK, "text/event-stream")
}

fn with_type(status: StatusCode, kind: &'static str) -> AnswerHead {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    AnswerHead { status, headers }
}

impl From<TaskRefusal> for ApiError {
    fn from(refusal: TaskRefusal) -> Self {
        let status = match refusal {
            TaskRefusal::Unknown => StatusCode::NOT_FOUND,
            TaskRefusal::Answered => StatusCode::CONFLICT,
            TaskRefusal::Gone => StatusCode::GONE,
        };
        Self::new(status, code::NOT_FOUND, refusal.to_string())
    }
}
