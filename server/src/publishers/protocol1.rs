//! Everything that only publishers of protocol 1 need: their task frame has the whole body with the
//! backend's model id in it, and their responses come as JSON, whole or in chunks.

use super::chunked_upload::{Part, take_part};
use super::event::Event;
use super::task::NamedTask;
use super::upload::{UploadGuard, checked_status, forward, head_of_type};
use crate::http::error::ApiError;
use crate::relay_driver::CallerRequest;
use crate::relay_driver::ResponseWriter;
use crate::state::App;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use relay::{Dispatch, Failure, TaskRefusal};
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

/// Takes a chunk of a response: one event of the caller's stream.
///
/// # Errors
/// As [`take_part`].
pub(super) async fn take_chunk(
    app: &Arc<App>,
    named: &NamedTask,
    chunk: &Chunk,
) -> Result<Response, ApiError> {
    let head = head_of_type(StatusCode::OK, "text/event-stream");
    let part = Part { seq: None, is_last: chunk.done };
    let taken = take_part(app, &named.from, named.task, head, part, chunk_as_event(chunk)).await;
    if chunk.done && taken.is_err() {
        end_work(app, named);
    }
    taken
}

/// Gives back the slot of a task whose caller has left: the publisher has sent all of its response.
fn end_work(app: &App, named: &NamedTask) {
    app.relay.with(|relay, now, out| relay.work_ended(&named.from, named.task, now, out));
}

/// A chunk as an event of the caller's stream; nothing for an empty one.
pub(crate) fn chunk_as_event(chunk: &Chunk) -> Bytes {
    let mut event = String::with_capacity(chunk.data.len() + 8);
    if !chunk.data.is_empty() {
        wire::sse::write_event(&mut event, None, &chunk.data);
    }
    event.into()
}

/// Takes a whole response.
///
/// # Errors
/// 404 for a task that is unknown or another publisher's, 409 if it has been answered, else as
/// [`forward`].
pub(super) async fn take_whole(
    app: &Arc<App>,
    named: &NamedTask,
    status: u16,
    whole: Bytes,
) -> Result<Response, ApiError> {
    let NamedTask { principal, from, task } = named;
    let head = head_of_type(checked_status(status)?, "application/json");
    let target = app.relay.upload_target(*task).ok_or(TaskRefusal::Unknown)?;
    let begun = app.relay.with(|relay, now, _| relay.answer_begins(from, *task, now));
    begun.inspect_err(|_| end_work(app, named))?;
    let guard = UploadGuard::new(app, *task);
    let response = ResponseWriter::new(*task, head, target);
    let sent = forward(app, principal, response, Body::from(whole), guard).await?;
    Ok(sent.into_response())
}
