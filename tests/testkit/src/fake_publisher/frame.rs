//! The frames of an uplink, written from docs/protocol.md 5.7.

use serde_json::Value;

/// Bytes of the largest payload.
pub const PAYLOAD: usize = 65_536;

/// `accepted`.
#[must_use]
pub fn accepted(task: &str) -> Vec<u8> {
    frame(1, task, 0, b"")
}

/// `head`: `{status, headers, contentLength?}`.
#[must_use]
pub fn head(task: &str, head: &Value) -> Vec<u8> {
    frame(2, task, 0, head.to_string().as_bytes())
}

/// `data`, in as many frames as needed; none for no bytes.
#[must_use]
pub fn data(task: &str, offset: usize, bytes: &[u8]) -> Vec<u8> {
    pieces(task, offset, bytes, PAYLOAD)
}

/// `data`, in frames with payloads of this size.
#[must_use]
pub fn pieces(task: &str, offset: usize, bytes: &[u8], size: usize) -> Vec<u8> {
    let pieces = bytes.chunks(size).enumerate();
    pieces.flat_map(|(at, piece)| frame(3, task, (offset + at * size) as u64, piece)).collect()
}

/// `end`.
#[must_use]
pub fn end(task: &str) -> Vec<u8> {
    frame(4, task, 0, b"")
}

/// `failed`: `{message, code?}`.
#[must_use]
pub fn failed(task: &str, failure: &Value) -> Vec<u8> {
    frame(5, task, 0, failure.to_string().as_bytes())
}

/// A whole answer.
#[must_use]
pub fn answer(task: &str, response_head: &Value, body: &[u8]) -> Vec<u8> {
    [head(task, response_head), data(task, 0, body), end(task)].concat()
}

/// Any frame.
///
/// # Panics
/// The task's id is not of 32 hex digits.
#[must_use]
pub fn frame(kind: u8, task: &str, offset: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let task = u128::from_str_radix(task, 16).unwrap().to_be_bytes();
    [&length[..], &[kind, 0, 0, 0], &task, &offset.to_be_bytes(), payload].concat()
}
