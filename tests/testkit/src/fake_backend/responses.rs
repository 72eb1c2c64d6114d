//! The responses of the fake backend: whole, counting, binary, broken off half way, or endless.

use super::OpenResponse;
use crate::caller::noise;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use http::header;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn whole() -> Value {
    let message = json!({"role": "assistant", "content": "whole"});
    json!({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})
}

/// Streams `n` events that count from 1, with `pauseMs` before each. `abortAt` resets the connection
/// before that event, `stallAt` sends nothing more from that event on, `commentsFirst` sends that many
/// comments first, `split` cuts each event into two writes at that byte.
pub(super) fn count(open: OpenResponse, script: Value) -> Response {
    let number = |name: &str| script[name].as_u64();
    let n = number("n").unwrap_or(5);
    let pause = Duration::from_millis(number("pauseMs").unwrap_or(0));
    let (abort, stall) = (number("abortAt"), number("stallAt"));
    let split = number("split").map(|at| usize::try_from(at).unwrap());
    let comments = number("commentsFirst").unwrap_or(0);
    let first = stream::iter((0..comments).map(|_| Ok(Bytes::from_static(b":\n\n"))));
    let events = stream::iter(1..=n + 1).then(move |at| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if Some(at) == stall {
            std::future::pending::<()>().await;
        }
        if Some(at) == abort {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        }
        Ok(if at > n { DONE } else { chunk_event(&format!(" {at}")) })
    });
    let writes = events.flat_map(move |event| match (event, split) {
        (Ok(bytes), Some(at)) if at < bytes.len() => {
            let (a, b) = (bytes.slice(..at), bytes.slice(at..));
            stream::iter(vec![Ok(a), Ok(b)])
        }
        (event, _) => stream::iter(vec![event]),
    });
    event_stream(open, first.chain(writes))
}

/// The last event of a stream.
pub(super) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// An event with this text as its delta.
pub(super) fn chunk_event(text: &str) -> Bytes {
    let choice = json!({"index": 0, "delta": {"content": text}});
    format!("data: {}\n\n", json!({"object": "chat.completion.chunk", "choices": [choice]})).into()
}

/// The first half of a JSON response; then the connection is reset.
pub(super) fn half(open: OpenResponse) -> Response {
    let writes = [
        Ok(Bytes::from_static(b"{\"the first\": \"half\",")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ];
    // The pause lets the first write reach the peer before the reset.
    let writes = stream::iter(writes).then(move |write| {
        let _while_sending = &open;
        async move {
            if write.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            write
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(writes)).into_response()
}

/// `n` bytes of noise, in pieces of odd length.
pub(super) fn bytes(open: OpenResponse, n: u64, kind: String) -> Response {
    const PIECE: usize = 10_007;
    let bytes = noise(usize::try_from(n).unwrap());
    let pieces = (0..bytes.len()).step_by(PIECE);
    let pieces = pieces.map(move |at| bytes.slice(at..bytes.len().min(at + PIECE)));
    let pieces = stream::iter(pieces.map(Ok::<_, std::io::Error>));
    let pieces = pieces.inspect(move |_| {
        let _while_sending = &open;
    });
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response()
}

/// An event stream of this length, as fast as the peer reads.
pub(super) fn flood(open: OpenResponse, bytes: u64) -> Response {
    const EVENT: usize = 64 * 1024;
    let event = Bytes::from(format!("data: {}\n\n", "x".repeat(EVENT - 8)));
    let events = usize::try_from(bytes).unwrap() / EVENT;
    event_stream(open, stream::iter((0..events).map(move |_| Ok(event.clone()))))
}

/// A response with this body; `guard` is dropped with it.
pub(super) fn event_stream(
    guard: impl Send + Sync + 'static,
    body: impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
) -> Response {
    let body = body.inspect(move |_| {
        let _while_sending = &guard;
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}
