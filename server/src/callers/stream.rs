//! The body of an answer on its way to the caller: notices while it waits, bytes as they come, and
//! an explicit error when it breaks.

use super::dialect::Dialect;
use crate::auth::Principal;
use crate::http::connection::Answering;
use crate::http::error::ApiError;
use crate::limits;
use crate::relay_driver::pipe::{Piece, Reader};
use crate::relay_driver::response::AnswerHead;
use crate::relay_driver::{CallerEvent, Waiting};
use crate::state::Times;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use relay::{Failure, GoneReason, Notice};
use tokio::time::Instant;
use wire::error::Code;

/// Why the response's connection is cut: the answer is broken and its format cannot say so.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct Broken;

enum Stage {
    /// Says this first, then goes on.
    Say(String, Box<Stage>),
    /// No answer yet; the head has been sent.
    Waiting,
    /// Bytes pass. False: the format cannot carry an error.
    Passing(Reader, bool),
    /// The answer is no stream, but a stream's head has been sent.
    Late(Reader, AnswerHead),
    Over,
}

/// The body's state. Dropping it before its end tells the relay that the caller is gone.
pub(super) struct Relayed {
    waiting: Waiting,
    principal: Principal,
    dialect: Dialect,
    times: Times,
    /// Dropped before the answer's end, it breaks the caller's connection.
    answering: Answering,
    stage: Stage,
    /// Bytes that the caller still waits for, when their number was announced.
    left: Option<u64>,
    /// The last bytes that went out: an error event must not begin inside another event.
    tail: Vec<u8>,
    /// Since when the caller's socket has not asked for more.
    unread_since: Option<Instant>,
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if self.unread_since.is_some_and(|since| since.elapsed() >= self.times.slow_caller) {
            self.waiting.guard.because(GoneReason::SlowConsumer);
        }
    }
}

impl Relayed {
    pub(super) fn new(
        waiting: Waiting,
        principal: Principal,
        dialect: Dialect,
        times: Times,
        answering: Answering,
    ) -> Self {
        Self {
            waiting,
            principal,
            dialect,
            times,
            answering,
            stage: Stage::Waiting,
            left: None,
            tail: Vec::new(),
            unread_since: None,
        }
    }

    /// The body when the answer has begun and its own head is sent; and its length, to be announced
    /// there. An event stream has none: an error may have to be said in it.
    pub(super) fn answering(mut self, head: &AnswerHead, reader: Reader) -> (Body, Option<u64>) {
        let carries_errors = is_event_stream(head);
        self.stage = Stage::Passing(reader, carries_errors);
        self.left = head.length.filter(|length| *length > 0 && !carries_errors);
        let length = self.left;
        if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            // Nobody asks for the body of these.
            self.answering.ended();
        }
        (self.into_body(), length)
    }

    /// The body when a notice goes first and an event stream's head is sent.
    pub(super) fn noticed(mut self, notice: Notice) -> Body {
        self.stage = Stage::Say(self.dialect.notice(notice), Box::new(Stage::Waiting));
        self.into_body()
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut relayed| async move {
            relayed.unread_since = None;
            let piece = relayed.next().await?;
            relayed.unread_since = Some(Instant::now());
            Some((piece, relayed))
        }))
    }

    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Over => {
                    self.waiting.guard.disarm();
                    self.answering.ended();
                    return None;
                }
                Stage::Say(text, then) => {
                    self.stage = *then;
                    return Some(Ok(text.into()));
                }
                Stage::Waiting => self.stage = self.wait().await,
                Stage::Late(reader, head) => self.stage = self.late(reader, &head).await,
                Stage::Passing(mut reader, carries_errors) => match self.read(&mut reader).await {
                    Ok(Some(bytes)) => {
                        self.remember(&bytes);
                        self.count(&bytes);
                        self.stage = Stage::Passing(reader, carries_errors);
                        return Some(Ok(bytes));
                    }
                    Ok(None) => {}
                    Err(error) if carries_errors => self.stage = self.say_error(&error),
                    Err(_) => return Some(Err(Broken)),
                },
            }
        }
    }

    /// The next bytes; `None` at the announced end; the error when there is no such end.
    async fn read(&mut self, reader: &mut Reader) -> Result<Option<Bytes>, ApiError> {
        let silence = tokio::time::sleep(self.times.backend_silence);
        tokio::select! {
            biased;
            () = self.principal.alive.cancelled() => return Err(self.revoked()),
            piece = reader.read() => match piece {
                Piece::Data(bytes) => return Ok(Some(bytes)),
                Piece::End => return Ok(None),
                Piece::Broken => {}
            },
            // An answer that comes in several requests has a pipe that outlives its failure.
            Some(failure) = failed(&mut self.waiting) => return Err(failure.into()),
            () = silence => self.waiting.guard.answer_is_silent(),
        }
        Err(self.verdict().await)
    }

    async fn wait(&mut self) -> Stage {
        let event = tokio::select! {
            biased;
            () = self.principal.alive.cancelled() => {
                let error = self.revoked();
                return self.say_error(&error);
            }
            event = self.waiting.events.recv() => event,
        };
        match event {
            Some(CallerEvent::Notice(notice)) => {
                Stage::Say(self.dialect.notice(notice), Box::new(Stage::Waiting))
            }
            Some(CallerEvent::Answer(head, reader)) => {
                if head.status.is_success() && is_event_stream(&head) {
                    Stage::Passing(reader, true)
                } else {
                    Stage::Late(reader, head)
                }
            }
            Some(CallerEvent::Fail(failure)) => self.say_error(&failure.into()),
            None => self.say_error(&unexplained().into()),
        }
    }

    /// The answer is no stream (an error of the backend, most likely): it becomes one event.
    async fn late(&mut self, mut reader: Reader, head: &AnswerHead) -> Stage {
        let mut body = Vec::new();
        loop {
            match self.read(&mut reader).await {
                Ok(Some(bytes)) if body.len() + bytes.len() <= limits::LATE_ANSWER => {
                    body.extend_from_slice(&bytes);
                }
                Ok(Some(_too_much)) => return self.say_error(&unexplained().into()),
                Ok(None) => break,
                Err(error) => return self.say_error(&error),
            }
        }
        let text = self.dialect.whole_answer(head.status, &String::from_utf8_lossy(&body));
        Stage::Say(text, Box::new(Stage::Over))
    }

    /// Why the pipe broke: the relay's verdict is on its way.
    async fn verdict(&mut self) -> ApiError {
        let verdict = tokio::time::timeout(limits::VERDICT_WAIT, failed(&mut self.waiting)).await;
        verdict.ok().flatten().unwrap_or_else(unexplained).into()
    }

    fn revoked(&mut self) -> ApiError {
        self.waiting.guard.leave(GoneReason::Revoked);
        ApiError::unauthorized("this key was revoked or has expired")
    }

    /// One error event, after which the response ends.
    fn say_error(&self, error: &ApiError) -> Stage {
        let close = if ends_event(&self.tail) { "" } else { "\n\n" };
        let text = format!("{close}{}", self.dialect.error(error));
        Stage::Say(text, Box::new(Stage::Over))
    }

    /// With the last announced byte the caller has all, and the response is not asked for more.
    fn count(&mut self, bytes: &[u8]) {
        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
        if self.left == Some(0) {
            self.waiting.guard.disarm();
            self.answering.ended();
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        const END: usize = "\r\n\r\n".len();
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(END)..]);
        let surplus = self.tail.len().saturating_sub(END);
        self.tail.drain(..surplus);
    }
}

/// The relay's word that the task has failed; `None` when no word will come.
async fn failed(waiting: &mut Waiting) -> Option<Failure> {
    loop {
        match waiting.events.recv().await? {
            CallerEvent::Fail(failure) => return Some(failure),
            CallerEvent::Notice(_) | CallerEvent::Answer(..) => {}
        }
    }
}

fn ends_event(tail: &[u8]) -> bool {
    let breaks = tail.iter().rev().filter(|byte| **byte != b'\r').take(2);
    tail.is_empty() || breaks.filter(|byte| **byte == b'\n').count() == 2
}

fn unexplained() -> Failure {
    Failure {
        code: Code::BackendAborted,
        status: 502,
        message: "The answer broke off. Try again.".into(),
        retry_after_secs: None,
    }
}

fn is_event_stream(head: &AnswerHead) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::ends_event;

    #[test]
    fn an_event_ends_with_an_empty_line_in_either_line_ending() {
        for whole in [&b""[..], b"x\n\n", b"\r\n\r\n"] {
            assert!(ends_event(whole), "{whole:?}");
        }
        for part in [&b"\n"[..], b"ab\n", b"\nab", b"x\r\n"] {
            assert!(!ends_event(part), "{part:?}");
        }
    }
}
