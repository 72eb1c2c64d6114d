//! The body of an answer on its way to the caller: notices while it waits, bytes as they come, and
//! an explicit error when it breaks.

use crate::auth::Principal;
use crate::driver::{AnswerHead, CallerEvent, Waiting};
use crate::error::ApiError;
use crate::limits;
use crate::pipe::{Piece, Reader};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header;
use relay::{Failure, GoneReason, Notice};
use wire::error::code;

/// How notices and errors are said inside a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Comments; `data: {"error": …}`.
    OpenAi,
    /// `event: ping`; `event: error`.
    Anthropic,
}

impl Dialect {
    pub(super) fn of(path: &str) -> Self {
        if wire::paths::is_anthropic(path) {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    fn notice(self, notice: Notice) -> String {
        match (self, notice) {
            (Self::Anthropic, _) => "event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned(),
            (Self::OpenAi, Notice::Queued(at)) => format!(": queued {at}\n\n"),
            (
                Self::OpenAi,
                Notice::Waking {
                    elapsed_secs,
                    expected_secs,
                },
            ) => {
                format!(": waking {elapsed_secs}s of ~{expected_secs}s\n\n")
            }
            (Self::OpenAi, Notice::Running) => ": running\n\n".to_owned(),
        }
    }

    fn error(self, error: &ApiError) -> String {
        match self {
            Self::OpenAi => format!("data: {}\n\n", error.openai()),
            Self::Anthropic => format!("event: error\ndata: {}\n\n", error.anthropic()),
        }
    }
}

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
    /// An error of the backend came after the head was sent.
    Late(Reader, AnswerHead),
    Over,
}

/// The body's state. Dropping it before its end tells the relay that the caller is gone.
pub(super) struct Relayed {
    waiting: Waiting,
    principal: Principal,
    dialect: Dialect,
    stage: Stage,
}

impl Relayed {
    /// The answer has begun, and its own head is sent.
    pub(super) fn answering(
        waiting: Waiting,
        principal: Principal,
        dialect: Dialect,
        head: &AnswerHead,
        reader: Reader,
    ) -> Self {
        let stage = Stage::Passing(reader, is_event_stream(head));
        Self {
            waiting,
            principal,
            dialect,
            stage,
        }
    }

    /// A notice goes first: the head is an event stream's.
    pub(super) fn noticed(
        waiting: Waiting,
        principal: Principal,
        dialect: Dialect,
        notice: Notice,
    ) -> Self {
        let stage = Stage::Say(dialect.notice(notice), Box::new(Stage::Waiting));
        Self {
            waiting,
            principal,
            dialect,
            stage,
        }
    }

    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut relayed| async move {
            let piece = relayed.next().await?;
            Some((piece, relayed))
        }))
    }

    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Over => return None,
                Stage::Say(text, then) => {
                    self.stage = *then;
                    return Some(Ok(text.into()));
                }
                Stage::Waiting => self.stage = self.wait().await,
                Stage::Late(reader, head) => self.stage = self.late_error(reader, &head).await,
                Stage::Passing(mut reader, carries_errors) => {
                    let alive = self.principal.alive.clone();
                    let piece = tokio::select! {
                        piece = reader.read() => piece,
                        () = alive.cancelled() => {
                            self.waiting.guard.because(GoneReason::Revoked);
                            return Some(Err(Broken));
                        }
                    };
                    match piece {
                        Piece::Data(bytes) => {
                            self.stage = Stage::Passing(reader, carries_errors);
                            return Some(Ok(bytes));
                        }
                        Piece::End => self.waiting.guard.disarm(),
                        Piece::Broken => {
                            let error = self.verdict().await;
                            if !carries_errors {
                                return Some(Err(Broken));
                            }
                            self.stage = self.say_error(&error);
                        }
                    }
                }
            }
        }
    }

    async fn wait(&mut self) -> Stage {
        let event = tokio::select! {
            event = self.waiting.events.recv() => event,
            () = self.principal.alive.cancelled() => {
                self.waiting.guard.because(GoneReason::Revoked);
                let error = ApiError::unauthorized("this key was revoked");
                return Stage::Say(self.dialect.error(&error), Box::new(Stage::Over));
            }
        };
        match event {
            Some(CallerEvent::Notice(notice)) => {
                Stage::Say(self.dialect.notice(notice), Box::new(Stage::Waiting))
            }
            Some(CallerEvent::Answer(head, reader))
                if head.status.is_success() && is_event_stream(&head) =>
            {
                Stage::Passing(reader, true)
            }
            Some(CallerEvent::Answer(head, reader)) => Stage::Late(reader, head),
            Some(CallerEvent::Fail(failure)) => self.say_error(&failure.into()),
            None => self.say_error(&ApiError::internal("a task was forgotten before its end")),
        }
    }

    /// The backend refused after we had promised a stream: its body becomes an error event.
    async fn late_error(&mut self, mut reader: Reader, head: &AnswerHead) -> Stage {
        let mut body = Vec::new();
        while let Piece::Data(bytes) = reader.read().await {
            let room = limits::LATE_ERROR_BODY.saturating_sub(body.len());
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.waiting.guard.disarm();
        let text = String::from_utf8_lossy(&body);
        // One JSON object on one line is passed on as it is; anything else is quoted.
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let text = match (json, self.dialect) {
            (Some(json), Dialect::OpenAi) => format!("data: {json}\n\n"),
            (Some(json), Dialect::Anthropic) => format!("event: error\ndata: {json}\n\n"),
            (None, dialect) => {
                let message = format!("the backend answered {}: {text}", head.status);
                dialect.error(&ApiError::new(head.status, "backend_error", message))
            }
        };
        Stage::Say(text, Box::new(Stage::Over))
    }

    /// Why the pipe broke: the relay's verdict is on its way.
    async fn verdict(&mut self) -> ApiError {
        let verdict = async {
            loop {
                match self.waiting.events.recv().await {
                    Some(CallerEvent::Fail(failure)) => return Some(failure),
                    Some(CallerEvent::Notice(_) | CallerEvent::Answer(..)) => {}
                    None => return None,
                }
            }
        };
        let failure = tokio::time::timeout(limits::VERDICT_WAIT, verdict)
            .await
            .ok()
            .flatten();
        failure.unwrap_or_else(unexplained).into()
    }

    fn say_error(&mut self, error: &ApiError) -> Stage {
        self.waiting.guard.disarm();
        Stage::Say(self.dialect.error(error), Box::new(Stage::Over))
    }
}

fn unexplained() -> Failure {
    Failure {
        code: code::BACKEND_ABORTED,
        status: 502,
        message: "The answer broke off. Try again.".into(),
        retry_after_secs: None,
    }
}

fn is_event_stream(head: &AnswerHead) -> bool {
    let kind = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}
