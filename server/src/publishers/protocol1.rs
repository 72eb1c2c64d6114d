//! Everything that only publishers of protocol 1 need: their task frame has the whole body with the
//! backend's model id in it, and their responses come as JSON, whole or in chunks.

use super::event::Event;
use super::task::NamedTask;
use crate::auth;
use crate::http::error::ApiError;
use crate::relay_driver::{Answer, CallerRequest, ResponseHead};
use crate::state::App;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use relay::{AnswerEnd, Dispatch, Failure, TaskId, TaskRefusal};
use serde::de::IgnoredAny;
use std::sync::Arc;
use wire::body::{Format, with_model};
use wire::control::{InferTask, Task, event};
use wire::error::Code;
use wire::publisher::Chunk;

/// The only endpoint of protocol 1.
const CHAT: &str = "/v1/chat/completions";

/// The event of a task, with the whole body in it. The body is copied once, whatever its size.
///
/// # Errors
/// The failure for the caller if the body is not JSON.
pub(super) fn task_event(dispatch: &Dispatch, request: &CallerRequest) -> Result<Event, Failure> {
    let refused = |message: String| Failure {
        code: Code::InvalidRequest,
        status: 400,
        message,
        retry_after_secs: None,
    };
    // The frame of protocol 1 has no path: its publishers would take any request for a chat.
    if request.path != CHAT {
        let name = &dispatch.llm_name;
        return Err(refused(format!(
            "the machine that publishes {name} takes {CHAT} only, not {}; it runs an old version",
            request.path
        )));
    }
    let unusable = |why: String| {
        refused(format!(
            "{} takes valid JSON only, and this body is none: {why}",
            dispatch.llm_name
        ))
    };
    serde_json::from_slice::<IgnoredAny>(&request.body).map_err(|e| unusable(e.to_string()))?;
    let body = match &dispatch.model {
        Some(model) => with_model(&Format::Json, &request.body, model).map_err(unusable)?,
        None => request.body.clone(),
    };
    let task = InferTask {
        task_id: dispatch.task.to_string(),
        llm_name: dispatch.llm_name.clone(),
        streaming: request.streaming,
        ..InferTask::default()
    };
    let head = serde_json::to_string(&Task::Infer(task));
    let mut head = head.map_err(|e| unusable(e.to_string()))?;
    head.pop();
    head.push_str(",\"request\":");
    let data = vec![head.into(), on_one_line(body), Bytes::from_static(b"}")];
    Ok(Event { name: event::TASK, data, last: false })
}

/// Replaces line breaks by spaces: in JSON they stand between tokens only.
fn on_one_line(body: Bytes) -> Bytes {
    if !body.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return body;
    }
    let mut body = BytesMut::from(body);
    for byte in body.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')) {
        *byte = b' ';
    }
    body.freeze()
}

/// A chunk as an event of the caller's stream; nothing for an empty one.
pub(crate) fn chunk_as_event(chunk: &Chunk) -> Bytes {
    let mut event = String::with_capacity(chunk.data.len() + 8);
    if !chunk.data.is_empty() {
        wire::sse::write_event(&mut event, None, &chunk.data);
    }
    event.into()
}

/// Takes a chunk of a response: one event of the caller's stream. Returns when it is written, so that
/// a slow caller slows down its own publisher and no other.
///
/// # Errors
/// 404 for a task that is unknown or another publisher's, 409 if the task has been answered, 410 if
/// no caller waits any more.
pub(super) async fn take_chunk(
    app: &Arc<App>,
    named: &NamedTask,
    chunk: &Chunk,
) -> Result<StatusCode, ApiError> {
    let taken = take_event(app, named, chunk_as_event(chunk), chunk.done).await;
    if chunk.done && taken.is_err() {
        end_work(app, named);
    }
    taken
}

async fn take_event(
    app: &Arc<App>,
    named: &NamedTask,
    event: Bytes,
    is_last: bool,
) -> Result<StatusCode, ApiError> {
    let NamedTask { from, task, .. } = named;
    app.relay.with(|relay, now, _| relay.acknowledge(from, *task, now))?;
    let answer = app.relay.answer(*task).ok_or(TaskRefusal::Unknown)?;
    let _turn = answer.turn().await;
    if !answer.has_begun() {
        app.relay.with(|relay, now, _| relay.answer_begins(from, *task, now))?;
        answer.begin(head(200, "text/event-stream")?);
    }
    write(app, named, &answer, event, is_last).await
}

/// Takes a whole response.
///
/// # Errors
/// 404 for a task that is unknown or another publisher's, 409 if it has been answered, 410 if no
/// caller waits any more, 401 if the publisher's token was revoked.
pub(super) async fn take_whole(
    app: &Arc<App>,
    named: &NamedTask,
    status: u16,
    whole: Bytes,
) -> Result<StatusCode, ApiError> {
    let NamedTask { from, task, .. } = named;
    let head = head(status, "application/json")?;
    let answer = app.relay.answer(*task).ok_or(TaskRefusal::Unknown)?;
    let begun = app.relay.with(|relay, now, _| relay.answer_begins(from, *task, now));
    begun.inspect_err(|_| end_work(app, named))?;
    answer.begin(head);
    write(app, named, &answer, whole, true).await
}

/// Writes bytes of a response as soon as there is room for them.
async fn write(
    app: &Arc<App>,
    named: &NamedTask,
    answer: &Answer,
    bytes: Bytes,
    is_last: bool,
) -> Result<StatusCode, ApiError> {
    let mut guard = WriteGuard { app, task: named.task, end: Some(AnswerEnd::Aborted) };
    if is_last || !bytes.is_empty() {
        app.relay.deliver(named.task, answer);
    }
    let written = tokio::select! {
        biased;
        () = named.principal.alive.cancelled() => {
            return Err(ApiError::unauthorized(auth::REVOKED));
        }
        written = answer.receive_when_room(bytes) => written,
    };
    guard.end = (is_last && written.is_ok()).then_some(AnswerEnd::Complete);
    drop(guard);
    written.map_err(|_| TaskRefusal::Gone)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reports how a write ended. A publisher whose connection breaks while its bytes wait for room aborts
/// the response: it cannot tell how many were written, and no text may arrive twice.
struct WriteGuard<'a> {
    app: &'a App,
    task: TaskId,
    end: Option<AnswerEnd>,
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            let task = self.task;
            self.app.relay.with(|relay, now, out| relay.answer_ended(task, end, now, out));
        }
    }
}

/// Gives back the slot of a task whose caller has left: the publisher has sent all of its response.
fn end_work(app: &App, named: &NamedTask) {
    app.relay.with(|relay, now, out| relay.work_ended(&named.from, named.task, now, out));
}

fn head(status: u16, kind: &'static str) -> Result<ResponseHead, ApiError> {
    let message = "the backend's status must be between 200 and 599";
    ResponseHead::of_type(status, kind).ok_or_else(|| ApiError::invalid(message, None))
}
