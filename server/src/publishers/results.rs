//! `/result`: a whole answer or a chunk of it as protocol 1 has them, a failure, or how a wake ended.

use super::chunked_upload;
use super::responses::{EndGuard, Named, forward, status_of, with_type};
use crate::http::body::{self, aside};
use crate::http::error::ApiError;
use crate::limits;
use crate::relay_driver::response::{Answer, AnswerHead};
use crate::state::App;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use relay::TaskRefusal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use wire::publisher::{Chunk, TaskFailure, TaskResult};

/// [`wire::publisher::TaskResult`], with a whole answer left where it stands in the body.
#[derive(Deserialize)]
struct Read<'a> {
    status: Option<u16>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    chunk: Option<Chunk>,
    error: Option<TaskFailure>,
    ok: Option<bool>,
}

/// What a result says.
pub(crate) enum Told {
    Failed(TaskFailure),
    Woken,
    Chunk(Chunk),
    Whole(u16, Bytes),
    Nothing,
}

impl Told {
    /// As it travels, for the fuzzers' door.
    pub(crate) fn into_wire(self) -> TaskResult {
        let none = TaskResult::default();
        match self {
            Self::Failed(failure) => TaskResult { error: Some(failure), ..none },
            Self::Woken => TaskResult { ok: Some(true), ..none },
            Self::Chunk(chunk) => TaskResult { chunk: Some(chunk), ..none },
            Self::Whole(status, whole) => TaskResult {
                status: Some(status),
                body: serde_json::from_slice(&whole).ok(),
                ..none
            },
            Self::Nothing => none,
        }
    }
}

/// `POST _provider-task/:id/result`.
pub(crate) async fn result(
    State(app): State<Arc<App>>,
    Named { principal, from, task }: Named,
    body: Body,
) -> Result<Response, ApiError> {
    // Whose task it is comes before its body, and so does whether anybody waits for a large one.
    let wants_answer = app.relay.with(|relay, _, _| relay.wants_answer(&from, task))?;
    let most = if wants_answer { wire::limits::BODY } else { limits::CONTROL_BODY };
    let bytes = body::read(&app, &principal, body, most).await?;
    let told = aside(bytes.len(), move || read(&bytes)).await?;
    match told.map_err(|why| ApiError::invalid(format!("the result is not usable: {why}"), None))? {
        Told::Failed(failure) => {
            app.relay.with(|relay, now, out| relay.task_failed(&from, task, &failure, now, out))?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Told::Woken => {
            app.relay.with(|relay, now, out| relay.wake_succeeded(&from, task, now, out))?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Told::Chunk(chunk) => {
            let (piece, data) = chunked_upload::of_chunk(&chunk);
            chunked_upload::take(&app, &from, task, event_stream_head(), piece, data).await
        }
        Told::Whole(status, whole) => {
            let head = with_type(status_of(status)?, "application/json");
            let upload = app.relay.upload(task).ok_or(TaskRefusal::Unknown)?;
            app.relay.with(|relay, now, _| relay.answer_begins(&from, task, now))?;
            let guard = EndGuard::new(&app, task);
            let answer = Answer::new(task, head, upload);
            let sent = forward(&app, &principal, answer, Body::from(whole), guard).await?;
            Ok(sent.into_response())
        }
        Told::Nothing => {
            let message = "a result has one of body, chunk, error, ok";
            Err(ApiError::invalid(message, None))
        }
    }
}

/// What these bytes say; a whole answer is a part of them and no copy.
pub(crate) fn read(bytes: &Bytes) -> serde_json::Result<Told> {
    let read: Read<'_> = serde_json::from_slice(bytes)?;
    Ok(match read {
        Read { error: Some(failure), .. } => Told::Failed(failure),
        Read { ok: Some(true), .. } => Told::Woken,
        Read { chunk: Some(chunk), .. } => Told::Chunk(chunk),
        Read { body: Some(whole), status, .. } => {
            Told::Whole(status.unwrap_or(200), bytes.slice_ref(whole.get().as_bytes()))
        }
        _ => Told::Nothing,
    })
}

fn event_stream_head() -> AnswerHead {
    with_type(StatusCode::OK, "text/event-stream")
}
