//! `/result`: a response of protocol 1, a failure, or the end of a wake.

use super::protocol1;
use super::task::NamedTask;
use crate::http::body::offload;
use crate::http::error::ApiError;
use crate::http::openapi::{SessionHeaders, TaskErrors};
use crate::limits;
use crate::state::App;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use wire::paths;
use wire::publisher::{Chunk, TaskFailure, TaskResult};

/// [`TaskResult`] with a whole response left where it is in the body.
#[derive(Deserialize)]
struct BorrowedResult<'a> {
    status: Option<u16>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    chunk: Option<Chunk>,
    error: Option<TaskFailure>,
    ok: Option<bool>,
}

/// A parsed result.
pub(crate) enum ParsedResult {
    /// The task failed.
    Failed(TaskFailure),
    /// The wake succeeded.
    Woken,
    /// A chunk of a response.
    Chunk(Chunk),
    /// A whole response: its status and body.
    Whole(u16, Bytes),
    /// None of these.
    Empty,
}

impl ParsedResult {
    /// The same as it travels, for fuzzing.
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
            Self::Empty => none,
        }
    }
}

/// Takes a response of protocol 1, a failure, or the end of a wake
#[utoipa::path(
    post,
    context_path = paths::TASK_PREFIX,
    path = "/{id}/result",
    security(("bearer" = ["publish"])),
    params(("id" = String, Path), SessionHeaders),
    request_body = TaskResult,
    responses((status = 204), TaskErrors),
)]
pub(super) async fn result(
    State(app): State<Arc<App>>,
    named: NamedTask,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let NamedTask { principal, from, task } = &named;
    // Checked before the body is read: whose task it is, and that a large body is waited for.
    let wants_answer = app.relay.with(|relay, _, _| relay.wants_answer(from, *task))?;
    let limit = if wants_answer { wire::limits::BODY } else { limits::CONTROL_BODY };
    let bytes = app.bodies.read(&principal.info.id, body, limit).await?;
    let parsed = offload(bytes.len(), move || parse(&bytes)).await?;
    let unusable = |why| ApiError::invalid(format!("the result is not usable: {why}"), None);
    match parsed.map_err(unusable)? {
        ParsedResult::Failed(failure) => {
            app.relay.with(|relay, now, out| relay.task_failed(from, *task, &failure, now, out))?;
            Ok(StatusCode::NO_CONTENT)
        }
        ParsedResult::Woken => {
            app.relay.with(|relay, now, out| relay.wake_succeeded(from, *task, now, out))?;
            Ok(StatusCode::NO_CONTENT)
        }
        ParsedResult::Chunk(chunk) => protocol1::take_chunk(&app, &named, &chunk).await,
        ParsedResult::Whole(status, whole) => {
            protocol1::take_whole(&app, &named, status, whole).await
        }
        ParsedResult::Empty => {
            let message = "a result has one of body, chunk, error, ok";
            Err(ApiError::invalid(message, None))
        }
    }
}

/// Parses a result. A whole response is a slice of `bytes` and no copy.
///
/// # Errors
/// The bytes are not JSON of this shape.
pub(crate) fn parse(bytes: &Bytes) -> serde_json::Result<ParsedResult> {
    let result: BorrowedResult<'_> = serde_json::from_slice(bytes)?;
    Ok(match result {
        BorrowedResult { error: Some(failure), .. } => ParsedResult::Failed(failure),
        BorrowedResult { ok: Some(true), .. } => ParsedResult::Woken,
        BorrowedResult { chunk: Some(chunk), .. } => ParsedResult::Chunk(chunk),
        BorrowedResult { body: Some(whole), status, .. } => {
            let whole = bytes.slice_ref(whole.get().as_bytes());
            ParsedResult::Whole(status.unwrap_or(200), whole)
        }
        _ => ParsedResult::Empty,
    })
}
