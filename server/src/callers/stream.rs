//! The body of a relayed response on its way to the caller: notices while it waits, bytes as they
//! come, and an explicit error when it breaks.

use super::dialect::Dialect;
use crate::accounting::{Account, EndCode};
use crate::auth::Principal;
use crate::http::connection::{Connection, OpenResponse};
use crate::http::error::ApiError;
use crate::limits::{self, Times};
use crate::relay_driver::{CallerEvent, PendingResponse, ResponseHead};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use relay::{Failure, GoneReason, Notice};
use std::sync::Arc;
use wire::error::Code;
use wire::usage::{TokenUsage, UsageTail};

/// The caller of a submitted request.
pub(super) struct Recipient {
    pub(super) principal: Principal,
    pub(super) connection: Arc<Connection>,
    pub(super) account: Arc<Account>,
    pub(super) dialect: Dialect,
    pub(super) times: Times,
}

/// Error that cuts the caller's connection: the response is broken and its format cannot say so.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off")]
struct Broken;

enum Stage {
    /// Sends this text, then continues with the next stage.
    Send(String, Box<Stage>),
    /// The head has been sent, and no response has begun yet.
    Waiting,
    /// Bytes pass. False if the format cannot carry an error.
    Passing(bool),
    /// The response is not a stream, but the head of a stream has been sent.
    Late(ResponseHead),
    Over,
}

/// State of the body. Dropping it before its end reports to the relay that the caller is gone.
pub(super) struct RelayedBody {
    pending: PendingResponse,
    principal: Principal,
    account: Arc<Account>,
    dialect: Dialect,
    times: Times,
    /// Dropped before the end of the response, it breaks the caller's connection.
    open: OpenResponse,
    stage: Stage,
    /// Bytes that are still to be sent, if their number was announced.
    left: Option<u64>,
    /// Bytes given to the connection.
    sent: u64,
    /// The last bytes: an error event must not begin inside another event, and token counts stand
    /// here.
    tail: UsageTail,
    /// Token counts of a response that was sent as one event.
    usage: Option<TokenUsage>,
}

impl Drop for RelayedBody {
    fn drop(&mut self) {
        if self.open.has_timed_out() {
            self.pending.set_reason(GoneReason::SlowConsumer);
            self.account.failed(EndCode::SlowConsumer);
        }
        let usage = self.usage.or_else(|| self.tail.usage());
        self.account.body_sent(self.sent, usage);
    }
}

impl RelayedBody {
    pub(super) fn new(pending: PendingResponse, recipient: Recipient) -> Self {
        let Recipient { principal, connection, account, dialect, times } = recipient;
        Self {
            pending,
            principal,
            account,
            dialect,
            times,
            open: connection.begin_response(),
            stage: Stage::Waiting,
            left: None,
            sent: 0,
            tail: UsageTail::default(),
            usage: None,
        }
    }

    /// The body of a response that has begun and whose own head is sent, and the length to
    /// announce. An event stream has none: it may have to carry an error.
    pub(super) fn of_response(mut self, head: &ResponseHead) -> (Body, Option<u64>) {
        let carries_errors = is_event_stream(head);
        self.stage = Stage::Passing(carries_errors);
        self.left = head.length.filter(|length| *length > 0 && !carries_errors);
        let length = self.left;
        if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            // The body of these is never requested.
            self.open.complete();
            self.account.completed();
        }
        (self.into_body(), length)
    }

    /// The body that begins with a notice, after the head of an event stream.
    pub(super) fn after_notice(mut self, notice: Notice) -> Body {
        self.stage = Stage::Send(self.dialect.notice(notice), Box::new(Stage::Waiting));
        self.into_body()
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut body| async move {
            let piece = body.next().await?;
            body.sent += piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
            Some((piece, body))
        }))
    }

    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Over => {
                    self.complete();
                    return None;
                }
                Stage::Send(text, then) => {
                    self.stage = *then;
                    return Some(Ok(text.into()));
                }
                Stage::Waiting => self.stage = self.wait().await,
                Stage::Late(head) => self.stage = self.send_late(&head).await,
                Stage::Passing(carries_errors) => match self.read().await {
                    Ok(Some(bytes)) => {
                        self.tail.push(&bytes);
                        self.count(&bytes);
                        self.stage = Stage::Passing(carries_errors);
                        return Some(Ok(bytes));
                    }
                    Ok(None) => {}
                    Err(error) if carries_errors => self.stage = self.send_error(&error),
                    Err(error) => {
                        self.account.failed(EndCode::Error(error.code));
                        return Some(Err(Broken));
                    }
                },
            }
        }
    }

    /// The next bytes; `None` at the end; an error if the response broke.
    async fn read(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut silence = std::pin::pin!(tokio::time::sleep(self.times.backend_silence));
        let mut is_reported = false;
        loop {
            let event = tokio::select! {
                biased;
                () = self.principal.alive.cancelled() => return Err(self.revoked()),
                event = self.pending.next() => event,
                () = &mut silence, if !is_reported => {
                    // The relay fails the request, which is the next event.
                    self.pending.response_is_silent();
                    is_reported = true;
                    continue;
                }
            };
            match event {
                CallerEvent::Data(bytes) => return Ok(Some(bytes)),
                CallerEvent::End => return Ok(None),
                CallerEvent::Failed(failure) => return Err(failure.into()),
                CallerEvent::Notice(_) | CallerEvent::Head(_) => {}
            }
        }
    }

    async fn wait(&mut self) -> Stage {
        let event = tokio::select! {
            biased;
            () = self.principal.alive.cancelled() => {
                let error = self.revoked();
                return self.send_error(&error);
            }
            event = self.pending.next() => event,
        };
        match event {
            CallerEvent::Notice(notice) => {
                Stage::Send(self.dialect.notice(notice), Box::new(Stage::Waiting))
            }
            CallerEvent::Head(head) => {
                self.account.first_byte();
                if head.status.is_success() && is_event_stream(&head) {
                    Stage::Passing(true)
                } else {
                    Stage::Late(head)
                }
            }
            CallerEvent::Failed(failure) => self.send_error(&failure.into()),
            CallerEvent::Data(_) | CallerEvent::End => self.send_error(&unexplained().into()),
        }
    }

    /// Sends a response that is not a stream (most likely an error of the backend) as one event.
    async fn send_late(&mut self, head: &ResponseHead) -> Stage {
        let mut body = Vec::new();
        loop {
            match self.read().await {
                Ok(Some(bytes)) if body.len() + bytes.len() <= limits::LATE_RESPONSE => {
                    body.extend_from_slice(&bytes);
                }
                Ok(Some(_too_much)) => return self.send_error(&unexplained().into()),
                Ok(None) => break,
                Err(error) => return self.send_error(&error),
            }
        }
        if !head.status.is_success() {
            self.account.failed(EndCode::Error(Code::BackendError));
        }
        let mut tail = UsageTail::default();
        tail.push(&body);
        self.usage = tail.usage();
        let text = self.dialect.whole_response(head.status, &String::from_utf8_lossy(&body));
        Stage::Send(text, Box::new(Stage::Over))
    }

    fn revoked(&mut self) -> ApiError {
        self.pending.leave(GoneReason::Revoked);
        ApiError::unauthorized("this key was revoked or has expired")
    }

    /// Sends one error event, after which the response ends.
    fn send_error(&self, error: &ApiError) -> Stage {
        self.account.failed(EndCode::Error(error.code));
        let close = if ends_event(self.tail.bytes()) { "" } else { "\n\n" };
        let text = format!("{close}{}", self.dialect.error(error));
        Stage::Send(text, Box::new(Stage::Over))
    }

    /// Counts down the announced length: after its last byte the body is not polled again.
    fn count(&mut self, bytes: &[u8]) {
        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
        if self.left == Some(0) {
            self.complete();
        }
    }

    fn complete(&mut self) {
        self.pending.disarm();
        self.open.complete();
        self.account.completed();
    }
}

/// Returns true if the bytes end with an empty line, in either line ending.
fn ends_event(bytes: &[u8]) -> bool {
    let breaks = bytes.iter().rev().filter(|byte| **byte != b'\r').take(2);
    bytes.is_empty() || breaks.filter(|byte| **byte == b'\n').count() == 2
}

fn unexplained() -> Failure {
    Failure {
        code: Code::BackendAborted,
        status: 502,
        message: "The answer broke off. Try again.".into(),
        retry_after_secs: None,
    }
}

fn is_event_stream(head: &ResponseHead) -> bool {
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
