//! An answer that comes in several requests: in numbered pieces, byte for byte, where a proxy holds
//! request bodies back until they end; or as a protocol-1 publisher's chunks, one event each.

use super::responses::EndGuard;
use crate::http::error::ApiError;
use crate::relay_driver::Driver;
use crate::relay_driver::response::{Answer, AnswerHead};
use crate::state::App;
use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use relay::{AnswerEnd, TaskId, TaskRefusal, TaskSender};
use std::sync::Arc;
use wire::headers::{END, SEQ};
use wire::publisher::{Chunk, SeqReply};

/// What a request says of the piece in it.
pub(crate) struct Piece {
    /// A protocol-1 publisher's chunks have no numbers: they come one after the other.
    seq: Option<u64>,
    last: bool,
}

impl Piece {
    /// The piece that these headers announce; none when the request is the whole answer.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let Some(seq) = headers.get(SEQ) else {
            return Ok(None);
        };
        let seq = seq.to_str().ok().and_then(|seq| seq.parse().ok());
        let seq = seq.ok_or_else(|| ApiError::invalid(format!("{SEQ} must be a number"), None))?;
        Ok(Some(Self { seq: Some(seq), last: headers.contains_key(END) }))
    }
}

/// A chunk as the caller's event stream has it.
pub(crate) fn of_chunk(chunk: &Chunk) -> (Piece, Bytes) {
    let mut event = String::with_capacity(chunk.data.len() + 8);
    if !chunk.data.is_empty() {
        // A carriage return ends a line too, and would begin a field of the publisher's choice.
        let text = chunk.data.replace("\r\n", "\n");
        for line in text.split(['\n', '\r']) {
            event.push_str("data: ");
            event.push_str(line);
            event.push('\n');
        }
        event.push('\n');
    }
    (Piece { seq: None, last: chunk.done }, event.into())
}

/// Puts a piece into the caller's pipe. Answered when it is in: so a slow caller holds back its own
/// publisher and nobody else.
pub(super) async fn take(
    app: &Arc<App>,
    from: &TaskSender,
    task: TaskId,
    head: AnswerHead,
    piece: Piece,
    data: Bytes,
) -> Result<Response, ApiError> {
    // Its caller may have left while the piece was read.
    app.relay.with(|relay, now, _| relay.acknowledge(from, task, now))?;
    let upload = app.relay.upload(task).ok_or(TaskRefusal::Unknown)?;
    let pieces = Arc::clone(&upload.pieces);
    let mut open = pieces.lock().await;
    let expected = open.as_ref().map_or(0, |answer| answer.pieces);
    let seq = piece.seq.unwrap_or(expected);
    if seq != expected {
        return Ok(out_of_turn(seq, expected));
    }
    let mut answer = match open.take() {
        Some(begun) => begun,
        None => {
            app.relay.with(|relay, now, _| relay.answer_begins(from, task, now))?;
            Answer::new(task, head, upload)
        }
    };
    // A publisher that leaves while its piece waits for room takes the answer with it: nobody could
    // tell how much of the piece has arrived, and no text may arrive twice.
    let mut guard = EndGuard::new(app, task);
    if let Err(gone) = push(&app.relay, &mut answer, data, piece.last).await {
        guard.ended(AnswerEnd::Stopped);
        return Err(gone.into());
    }
    if piece.last {
        guard.ended(AnswerEnd::Complete);
    } else {
        guard.goes_on();
        answer.pieces += 1;
        *open = Some(answer);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn push(
    driver: &Driver,
    answer: &mut Answer,
    data: Bytes,
    last: bool,
) -> Result<(), TaskRefusal> {
    if !data.is_empty() {
        answer.push(driver, Some(data)).await?;
    }
    if last {
        answer.push(driver, None).await?;
    }
    Ok(())
}

/// A repeated number is confirmed again, a gap is refused.
fn out_of_turn(seq: u64, expected: u64) -> Response {
    let duplicate = seq < expected;
    let reply = SeqReply { duplicate, expected: (!duplicate).then_some(expected) };
    let status = if duplicate { StatusCode::OK } else { StatusCode::CONFLICT };
    (status, Json(reply)).into_response()
}
