//! Fuzzing entry points for the parsers of untrusted input.

use crate::auth::secret;
use crate::publishers::{chunked_upload, protocol1, results, upload};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
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

/// Status and headers of the caller's response for these headers of a publisher; `None` if they are
/// refused.
#[must_use]
pub fn response_head(headers: &[(&[u8], &[u8])]) -> Option<(u16, HeaderMap)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(*value))
        {
            map.append(name, value);
        }
    }
    chunked_upload::Part::announced(&map).ok()?;
    let head = upload::response_head(&map).ok()?;
    Some((head.status.as_u16(), head.headers))
}
