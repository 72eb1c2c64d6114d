//! Encodes the frames of a control channel. The text of a task is made here, in the channel's own
//! task, and not under the relay's lock.

use super::event::Event;
use super::protocol1;
use crate::http::body::offload;
use crate::relay_driver::{CallerRequest, Frame};
use relay::{Dispatch, Failure};
use serde_json::value::RawValue;
use wire::control::{InferTask, Task, event};
use wire::error::Code;
use wire::limits::{INLINE_BODY, SSE_LINE};

/// Bytes of the field name before an event's data, and of the line break behind it.
const AROUND_DATA: usize = "data: \n".len();

/// A task that cannot be encoded.
pub(super) struct Unsent {
    /// The task.
    pub(super) dispatch: Box<Dispatch>,
    /// The failure for its caller.
    pub(super) failure: Failure,
}

/// Encodes a frame.
///
/// # Errors
/// [`Unsent`] for a task whose headers are too long, or whose body the publisher's protocol cannot
/// carry.
pub(super) async fn encode(frame: Frame) -> Result<Event, Unsent> {
    let (dispatch, request) = match frame {
        Frame::Infer(dispatch, request) => (dispatch, request),
        Frame::Hello(hello) => return Ok(Event::new(event::HELLO, &hello)),
        Frame::Wake(wake) => return Ok(Event::new(event::TASK, &Task::Wake(wake))),
        Frame::Cancel(cancel) => return Ok(Event::new(event::CANCEL, &cancel)),
        Frame::Drain(drain) => return Ok(Event::new(event::DRAIN, &drain)),
        Frame::Probe(probe) => return Ok(Event::new(event::PROBE, &probe)),
        Frame::Revoked(revoked) => return Ok(Event::last(event::REVOKED, &revoked)),
        Frame::Superseded => {
            return Ok(Event::last(event::SUPERSEDED, &serde_json::json!({})));
        }
    };
    if dispatch.speaks_v2 {
        return task_event(&dispatch, &request).map_err(|failure| Unsent { dispatch, failure });
    }
    let (bytes, task) = (request.body.len(), dispatch.clone());
    let encoded = offload(bytes, move || protocol1::task_event(&task, &request)).await;
    let encoded =
        encoded.unwrap_or_else(|error| Err(failure(Code::InvalidRequest, 500, error.message)));
    encoded.map_err(|failure| Unsent { dispatch, failure })
}

/// The event of a task for protocol 2. The body is in it only if it is JSON on one line and the
/// whole line is short enough for an event stream's reader.
fn task_event(dispatch: &Dispatch, request: &CallerRequest) -> Result<Event, Failure> {
    let body = &request.body;
    let one_line = body.len() <= INLINE_BODY && !body.iter().any(|b| matches!(b, b'\r' | b'\n'));
    let text = one_line.then(|| std::str::from_utf8(body).ok()).flatten();
    let inline = text.and_then(|text| RawValue::from_string(text.to_owned()).ok());
    let fits = |event: &Event| event.len() + AROUND_DATA <= SSE_LINE;
    let mut encoded = Event::new(event::TASK, &task(dispatch, request, inline));
    if !fits(&encoded) {
        encoded = Event::new(event::TASK, &task(dispatch, request, None));
    }
    if !fits(&encoded) {
        let message = "the headers of this request are too long to be passed on".to_owned();
        return Err(failure(Code::HeaderTooLarge, 431, message));
    }
    Ok(encoded)
}

fn task(dispatch: &Dispatch, request: &CallerRequest, inline: Option<Box<RawValue>>) -> Task {
    Task::Infer(InferTask {
        task_id: dispatch.task.to_string(),
        llm_name: dispatch.llm_name.clone(),
        streaming: request.streaming,
        epoch: Some(dispatch.epoch),
        method: Some("POST".to_owned()),
        path: Some(request.path.clone()),
        headers: request.headers.clone(),
        body_ref: inline.is_none(),
        user: Some(request.user.clone()),
        request: inline,
    })
}

fn failure(code: Code, status: u16, message: String) -> Failure {
    Failure { code, status, message, retry_after_secs: None }
}

#[cfg(test)]
mod tests {
    use super::{CallerRequest, Frame, SSE_LINE, encode};
    use bytes::Bytes;
    use relay::{ChannelId, Dispatch, TaskId};
    use serde_json::Value;
    use std::sync::Arc;

    fn dispatch(protocol: u32) -> Box<Dispatch> {
        Box::new(Dispatch {
            channel: ChannelId(1),
            task: TaskId(7),
            epoch: 1,
            speaks_v2: protocol >= wire::PROTOCOL_2,
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
        let event = encode(Frame::Infer(dispatch(protocol), request)).await;
        let event = event.map_err(|unsent| unsent.failure.status)?;
        let (mut pieces, mut text) = (Vec::new(), String::new());
        event.write(&mut pieces, &mut text);
        pieces.push(text.into());
        Ok(String::from_utf8(pieces.concat()).unwrap())
    }

    #[tokio::test]
    async fn no_event_line_exceeds_what_a_publisher_reads() {
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
    async fn a_body_that_is_not_json_or_has_a_line_break_travels_by_reference() {
        for body in ["{\"model\":\"qwen\",\"n\":tru}", "{\"model\":\n\"qwen\"}"] {
            let written = text(2, request(body, 0)).await.unwrap();
            assert!(written.contains("\"bodyRef\":true"), "{body}");
        }
    }

    #[tokio::test]
    async fn a_protocol_1_task_has_the_whole_body_whatever_its_size() {
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
