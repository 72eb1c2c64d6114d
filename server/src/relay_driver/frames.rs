//! The relay's actions as events of the control channel.
//!
//! What waits in a channel's queue is a small value; the text of a task is made from it in the
//! channel's own task, and not under the driver's lock.

use super::CallerRequest;
use crate::http::body::aside;
use bytes::{Bytes, BytesMut};
use relay::{CancelReason, Dispatch, Failure, LastEvent, Opened, SessionId, TaskId};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::sync::Arc;
use wire::control::{Cancel, Drain, Hello, InferTask, Revoked, Task, WakeTask, event};
use wire::error::Code;
use wire::limits::{INLINE_BODY, SSE_LINE};

/// The field's name in front of an event's data, and the line's end behind it.
const AROUND_DATA: usize = "data: \n".len();

/// What waits in a channel's queue.
pub(crate) enum Frame {
    /// An event that is written already.
    Event(Event),
    /// A task, to be written when its turn comes.
    Task(Box<Dispatch>, Arc<CallerRequest>),
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// `event:`.
    pub(crate) name: &'static str,
    /// `data:`, one line in pieces.
    pub(crate) data: Vec<Bytes>,
    /// The channel ends after it.
    pub(crate) last: bool,
}

impl Event {
    /// Its length as text, about.
    pub(crate) fn len(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }

    /// As the event stream has it, at the end of what is to be written next.
    pub(crate) fn write(self, out: &mut Vec<Bytes>, text: &mut String) {
        let _ = write!(text, "event: {}\ndata: ", self.name);
        for piece in self.data {
            if piece.len() <= SSE_LINE
                && let Ok(piece) = std::str::from_utf8(&piece)
            {
                text.push_str(piece);
            } else {
                out.push(std::mem::take(text).into());
                out.push(piece);
            }
        }
        text.push_str("\n\n");
    }

    /// Its data as text.
    pub(crate) fn text(&self) -> String {
        self.data.iter().map(|piece| String::from_utf8_lossy(piece)).collect()
    }
}

impl Frame {
    /// The event, and for a task that cannot be written which one and why.
    pub(crate) async fn into_event(self) -> Result<Event, Unsent> {
        let (dispatch, request) = match self {
            Self::Event(event) => return Ok(event),
            Self::Task(dispatch, request) => (dispatch, request),
        };
        if dispatch.protocol >= wire::PROTOCOL_2 {
            return modern(&dispatch, &request).map_err(|failure| Unsent { dispatch, failure });
        }
        let sent = dispatch.clone();
        let written = aside(request.body.len(), move || old(&sent, &request)).await;
        let cause =
            |error: crate::http::error::ApiError| failure(Code::InvalidRequest, 500, error.message);
        let written = written.map_err(cause).and_then(std::convert::identity);
        written.map_err(|failure| Unsent { dispatch, failure })
    }
}

/// A task that cannot be written down its channel.
pub(crate) struct Unsent {
    /// Which.
    pub(crate) dispatch: Box<Dispatch>,
    /// What its caller is told.
    pub(crate) failure: Failure,
}

/// A task for a protocol-2 publisher. It gets the body in the frame only when that is JSON on one
/// line and the whole line is short enough for an event stream's reader.
fn modern(dispatch: &Dispatch, request: &CallerRequest) -> Result<Event, Failure> {
    let body = &request.body;
    let one_line = body.len() <= INLINE_BODY && !body.iter().any(|b| matches!(b, b'\r' | b'\n'));
    let text = one_line.then(|| std::str::from_utf8(body).ok()).flatten();
    let inline = text.and_then(|text| RawValue::from_string(text.to_owned()).ok());
    let frame = |inline: Option<_>| {
        let body_ref = inline.is_none();
        Task::Infer(InferTask { body_ref, ..task(dispatch, request, inline) })
    };
    let fits = |event: &Event| event.len() + AROUND_DATA <= SSE_LINE;
    let mut written = event(event::TASK, &frame(inline));
    if !fits(&written) {
        written = event(event::TASK, &frame(None));
    }
    if !fits(&written) {
        let message = "the headers of this request are too long to be passed on".to_owned();
        return Err(failure(Code::HeaderTooLarge, 431, message));
    }
    Ok(written)
}

fn task(dispatch: &Dispatch, request: &CallerRequest, inline: Option<Box<RawValue>>) -> InferTask {
    let modern = dispatch.protocol >= wire::PROTOCOL_2;
    InferTask {
        task_id: dispatch.task.to_string(),
        llm_name: dispatch.llm_name.clone(),
        streaming: request.streaming,
        epoch: modern.then_some(dispatch.epoch),
        method: modern.then(|| "POST".to_owned()),
        path: modern.then(|| request.path.clone()),
        headers: if modern { request.headers.clone() } else { Default::default() },
        body_ref: false,
        user: modern.then(|| request.user.clone()),
        request: inline,
    }
}

/// A task for a protocol-1 publisher: the whole body stands in the frame, with the model's id put in.
/// It is copied once, whatever its size.
fn old(dispatch: &Dispatch, request: &CallerRequest) -> Result<Event, Failure> {
    let unusable = |why: String| {
        let message =
            format!("{} takes valid JSON only, and this body is none: {why}", dispatch.llm_name);
        failure(Code::InvalidRequest, 400, message)
    };
    serde_json::from_slice::<IgnoredAny>(&request.body).map_err(|e| unusable(e.to_string()))?;
    let body = match &dispatch.model {
        Some(model) => wire::body::with_model(&request.body, model).map_err(unusable)?,
        None => request.body.clone(),
    };
    let head = serde_json::to_string(&Task::Infer(task(dispatch, request, None)));
    let mut head = head.map_err(|e| unusable(e.to_string()))?;
    head.pop();
    head.push_str(",\"request\":");
    let data = vec![head.into(), on_one_line(body), Bytes::from_static(b"}")];
    Ok(Event { name: event::TASK, data, last: false })
}

/// A line break in JSON stands between tokens only, where a space means the same.
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

fn failure(code: Code, status: u16, message: String) -> Failure {
    Failure { code, status, message, retry_after_secs: None }
}

pub(super) fn hello(opened: &Opened, session: SessionId, heartbeat_ms: u64) -> Frame {
    let hello = Hello {
        protocol: opened.protocol,
        epoch: opened.epoch,
        provider_session_id: session.to_string(),
        heartbeat_seconds: heartbeat_ms.div_ceil(1000),
    };
    frame(event::HELLO, &hello)
}

pub(super) fn wake(task: TaskId, llm_name: String, max_wait_seconds: u64) -> Frame {
    let wake = WakeTask { task_id: task.to_string(), llm_name, max_wait_seconds };
    frame(event::TASK, &Task::Wake(wake))
}

pub(super) fn cancel(task: TaskId, reason: CancelReason) -> Frame {
    let reason = reason.as_str().to_owned();
    frame(event::CANCEL, &Cancel { task_id: task.to_string(), reason })
}

pub(super) fn drain(reconnect_after_ms: u64) -> Frame {
    frame(event::DRAIN, &Drain { reconnect_after_ms })
}

pub(super) fn last(last: &LastEvent) -> Option<Frame> {
    let last = match last {
        LastEvent::Superseded => event(event::SUPERSEDED, &serde_json::json!({})),
        LastEvent::Revoked(reason) => event(event::REVOKED, &Revoked { reason: reason.clone() }),
        LastEvent::None => return None,
    };
    Some(Frame::Event(Event { last: true, ..last }))
}

/// Any event, for a channel's queue.
pub(crate) fn frame<T: Serialize>(name: &'static str, data: &T) -> Frame {
    Frame::Event(event(name, data))
}

/// Any event.
pub(crate) fn event<T: Serialize>(name: &'static str, data: &T) -> Event {
    let data = serde_json::to_string(data).unwrap_or_default();
    Event { name, data: vec![data.into()], last: false }
}

#[cfg(test)]
mod tests {
    use super::{CallerRequest, Frame, SSE_LINE};
    use bytes::Bytes;
    use relay::{ChannelId, Dispatch, TaskId};
    use serde_json::Value;
    use std::sync::Arc;

    fn dispatch(protocol: u32) -> Box<Dispatch> {
        Box::new(Dispatch {
            channel: ChannelId(1),
            task: TaskId(7),
            epoch: 1,
            protocol,
            llm_name: "qwen".into(),
            model: Some("m".into()),
            attempt: 0,
        })
    }

    fn request(body: impl Into<Bytes>, beta: usize) -> Arc<CallerRequest> {
        let headers = [("anthropic-beta".to_owned(), "\"".repeat(beta))].into();
        let (path, user) = ("/v1/chat/completions".into(), "ann".into());
        Arc::new(CallerRequest { path, headers, body: body.into(), streaming: true, user })
    }

    fn chat(bytes: usize) -> String {
        let around = "{\"model\":\"qwen\",\"x\":\"\"}".len();
        format!("{{\"model\":\"qwen\",\"x\":\"{}\"}}", "x".repeat(bytes - around))
    }

    async fn text(protocol: u32, request: Arc<CallerRequest>) -> Result<String, u16> {
        let event = Frame::Task(dispatch(protocol), request).into_event().await;
        let event = event.map_err(|unsent| unsent.failure.status)?;
        let (mut pieces, mut text) = (Vec::new(), String::new());
        event.write(&mut pieces, &mut text);
        pieces.push(text.into());
        Ok(String::from_utf8(pieces.concat()).unwrap())
    }

    #[tokio::test]
    async fn no_line_of_an_event_is_longer_than_a_publisher_reads() {
        // 65,536 bytes of body fit beside short headers, and not beside 60,000 quotes.
        for (body, beta, inline) in [
            (65_536, 1_000, Some(true)),
            (65_537, 0, Some(false)),
            (65_536, 60_000, Some(false)),
            (10, 66_000, None),
        ] {
            let written = text(2, request(chat(body.max(40)), beta)).await;
            let Some(inline) = inline else {
                assert_eq!(written, Err(431));
                continue;
            };
            let written = written.unwrap();
            let line = written.lines().map(str::len).max().unwrap();
            assert!(line < SSE_LINE, "{line}");
            assert_eq!(!written.contains("\"bodyRef\":true"), inline, "{body} {beta}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_no_json_or_has_two_lines_travels_by_reference() {
        for body in ["{\"model\":\"qwen\",\"n\":tru}", "{\"model\":\n\"qwen\"}"] {
            let written = text(2, request(body, 0)).await.unwrap();
            assert!(written.contains("\"bodyRef\":true"), "{body}");
        }
    }

    #[tokio::test]
    async fn an_old_publishers_frame_is_the_same_for_large_and_small_bodies() {
        for bytes in [100, 70_000, 300_000] {
            let body = chat(bytes).replace(":", ":\r\n");
            let written = text(1, request(body, 0)).await.unwrap();
            let data = written.strip_prefix("event: task\ndata: ").unwrap();
            let frame: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
            assert_eq!(
                (&frame["kind"], &frame["taskId"]),
                (&"infer".into(), &TaskId(7).to_string().into())
            );
            assert_eq!(frame["request"]["model"], "m");
            assert_eq!(frame["request"]["x"].as_str().map(str::len), Some(bytes - 23));
            assert!(!data.trim_end().contains(['\r', '\n']));
        }
        assert_eq!(text(1, request("{\"model\":\"qwen\",\"n\":tru}", 0)).await, Err(400));
    }
}
