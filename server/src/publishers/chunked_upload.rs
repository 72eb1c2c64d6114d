//! A response that arrives in several requests: in numbered parts, byte for byte, where a proxy
//! buffers request bodies until they end; or as the chunks of a protocol-1 publisher.

use super::upload::UploadGuard;
use crate::http::error::ApiError;
use crate::relay_driver::{RelayDriver, ResponseHead, ResponseWriter};
use crate::state::App;
use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use relay::{AnswerEnd, TaskId, TaskRefusal, TaskSender};
use std::sync::Arc;
use wire::headers::{END, SEQ};
use wire::publisher::SeqReply;

/// Position of a part in its response.
pub(crate) struct Part {
    /// `None` for a protocol-1 chunk: those have no numbers and arrive in order.
    pub(super) seq: Option<u64>,
    pub(super) is_last: bool,
}

impl Part {
    /// The part that these headers announce; `None` if the request is the whole response.
    ///
    /// # Errors
    /// 400 for a sequence number that is none.
    pub(crate) fn announced(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let Some(seq) = headers.get(SEQ) else {
            return Ok(None);
        };
        let seq = seq.to_str().ok().and_then(|seq| seq.parse().ok());
        let seq = seq.ok_or_else(|| ApiError::invalid(format!("{SEQ} must be a number"), None))?;
        Ok(Some(Self { seq: Some(seq), is_last: headers.contains_key(END) }))
    }
}

/// Writes a part into the caller's pipe. Returns when it is written, so that a slow caller slows
/// down its own publisher and no other.
///
/// # Errors
/// 404 for a task that is unknown or another publisher's, 409 if the task has been answered, 410 if
/// no caller waits any more.
pub(super) async fn take_part(
    app: &Arc<App>,
    from: &TaskSender,
    task: TaskId,
    head: ResponseHead,
    part: Part,
    data: Bytes,
) -> Result<Response, ApiError> {
    // The caller may have left while the part was read.
    app.relay.with(|relay, now, _| relay.acknowledge(from, task, now))?;
    let target = app.relay.upload_target(task).ok_or(TaskRefusal::Unknown)?;
    let partial = Arc::clone(&target.partial);
    let mut partial = partial.lock().await;
    let expected = partial.as_ref().map_or(0, |response| response.parts);
    let seq = part.seq.unwrap_or(expected);
    if seq != expected {
        return Ok(out_of_order(seq, expected));
    }
    let mut response = match partial.take() {
        Some(begun) => begun,
        None => {
            app.relay.with(|relay, now, _| relay.answer_begins(from, task, now))?;
            ResponseWriter::new(task, head, target)
        }
    };
    // A publisher that leaves while its part waits for room aborts the response: it cannot tell how
    // much of the part was written, and no text may arrive twice.
    let mut guard = UploadGuard::new(app, task);
    if let Err(gone) = push(&app.relay, &mut response, data, part.is_last).await {
        guard.ended(AnswerEnd::Stopped);
        return Err(gone.into());
    }
    if part.is_last {
        guard.ended(AnswerEnd::Complete);
    } else {
        guard.continues();
        response.parts += 1;
        *partial = Some(response);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn push(
    driver: &RelayDriver,
    response: &mut ResponseWriter,
    data: Bytes,
    is_last: bool,
) -> Result<(), TaskRefusal> {
    if !data.is_empty() {
        response.push(driver, Some(data)).await?;
    }
    if is_last {
        response.push(driver, None).await?;
    }
    Ok(())
}

/// Confirms a repeated number again, and refuses a gap.
fn out_of_order(seq: u64, expected: u64) -> Response {
    let duplicate = seq < expected;
    let reply = SeqReply { duplicate, expected: (!duplicate).then_some(expected) };
    let status = if duplicate { StatusCode::OK } else { StatusCode::CONFLICT };
    (status, Json(reply)).into_response()
}
