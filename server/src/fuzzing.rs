//! Fuzzing entry points for the parsers of untrusted input.

use crate::auth::secret;
use crate::publishers::{protocol1, results};
use crate::relay_driver::ResponseHead;
pub use crate::relay_driver::flow::{Flow, Taken, Violation};
use bytes::Bytes;
use http::HeaderMap;
use wire::publisher::{Chunk, TaskResult};

/// Returns true if the text has the form of a token.
#[must_use]
pub fn token(text: &str) -> bool {
    secret::is_well_formed(text)
}

/// The result that a body is parsed as; `None` if it is none.
#[must_use]
pub fn result(body: &[u8]) -> Option<TaskResult> {
    let parsed = results::parse(&Bytes::copy_from_slice(body)).ok()?;
    Some(parsed.into_wire())
}

/// A protocol-1 chunk as an event of the caller's stream.
#[must_use]
pub fn chunk(chunk: &Chunk) -> Bytes {
    protocol1::chunk_as_event(chunk)
}

/// Status and headers of the caller's response for this payload of a head frame; `None` if it is
/// refused.
#[must_use]
pub fn response_head(payload: &[u8]) -> Option<(u16, HeaderMap)> {
    let head = ResponseHead::parse(payload)?;
    Some((head.status.as_u16(), head.headers))
}
