//! The relay's actions as frames of the control channel.

use super::{CallerRequest, Frame};
use bytes::Bytes;
use relay::{Dispatch, LastEvent, Opened, TaskId};
use serde::Serialize;
use serde_json::value::RawValue;
use wire::control::{Cancel, Drain, Hello, InferTask, Revoked, Task, WakeTask, event};

/// A task frame. A protocol-1 publisher gets the body in the frame, with the model's id put in; a
/// protocol-2 publisher gets it only when it is small and survives an event stream unchanged.
pub(super) fn infer(dispatch: &Dispatch, request: &CallerRequest) -> Option<Frame> {
    let modern = dispatch.protocol >= wire::PROTOCOL_2;
    let body = if modern { request.body.clone() } else { old_body(dispatch, request)? };
    let inline = !modern
        || (body.len() <= wire::limits::INLINE_BODY
            && !body.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
    let raw = if inline {
        RawValue::from_string(String::from_utf8(body.to_vec()).ok()?).ok()
    } else {
        None
    };
    let task = InferTask {
        task_id: dispatch.task.to_string(),
        llm_name: dispatch.llm_name.clone(),
        streaming: request.streaming,
        epoch: modern.then_some(dispatch.epoch),
        method: modern.then(|| "POST".to_owned()),
        path: modern.then(|| request.path.clone()),
        headers: if modern { request.headers.clone() } else { Default::default() },
        deadline_ms: modern.then_some(dispatch.deadline_ms),
        body_ref: raw.is_none(),
        user: modern.then(|| request.user.clone()),
        request: raw,
    };
    Some(frame(event::TASK, &Task::Infer(task)))
}

/// The body for a protocol-1 publisher. An event stream takes a lone CR for the end of a line; in
/// JSON it stands between tokens only, where a space means the same.
fn old_body(dispatch: &Dispatch, request: &CallerRequest) -> Option<Bytes> {
    let body = match &dispatch.model {
        Some(model) => wire::body::with_model(&request.body, model).ok()?,
        None => request.body.clone(),
    };
    if !body.contains(&b'\r') {
        return Some(body);
    }
    let spaced = body.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte });
    Some(spaced.collect())
}

pub(super) fn hello(opened: &Opened, session: &str, heartbeat_ms: u64) -> Frame {
    let hello = Hello {
        protocol: opened.protocol,
        epoch: opened.epoch,
        provider_session_id: session.to_owned(),
        heartbeat_seconds: heartbeat_ms.div_ceil(1000),
    };
    frame(event::HELLO, &hello)
}

pub(super) fn wake(task: TaskId, llm_name: String, max_wait_seconds: u64) -> Frame {
    let wake = WakeTask { task_id: task.to_string(), llm_name, max_wait_seconds };
    frame(event::TASK, &Task::Wake(wake))
}

pub(super) fn cancel(task: TaskId, reason: &str) -> Frame {
    frame(event::CANCEL, &Cancel { task_id: task.to_string(), reason: reason.into() })
}

pub(super) fn drain(reconnect_after_ms: u64) -> Frame {
    frame(event::DRAIN, &Drain { reconnect_after_ms })
}

pub(super) fn last(last: &LastEvent) -> Option<Frame> {
    let frame = match last {
        LastEvent::Superseded => frame(event::SUPERSEDED, &serde_json::json!({})),
        LastEvent::Revoked(reason) => frame(event::REVOKED, &Revoked { reason: reason.clone() }),
        LastEvent::None => return None,
    };
    Some(Frame { last: true, ..frame })
}

/// Any event.
pub(crate) fn frame<T: Serialize>(name: &'static str, data: &T) -> Frame {
    Frame { name, data: serde_json::to_string(data).unwrap_or_default(), last: false }
}
