//! What reads strangers' bytes here, one door for each, so that a fuzzer can knock.

use crate::auth;
use crate::publishers::{chunked_upload, responses, results};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::publisher::{Chunk, TaskResult};

/// Whether the text can be a token at all.
#[must_use]
pub fn token(text: &str) -> bool {
    auth::is_well_formed(text)
}

/// A `/result`, if it is one, as far as it counts.
#[must_use]
pub fn result(body: &[u8]) -> Option<TaskResult> {
    results::read(&Bytes::copy_from_slice(body)).ok().map(results::Told::into_wire)
}

/// A protocol-1 publisher's chunk as the caller's event stream gets it.
#[must_use]
pub fn chunk(chunk: &Chunk) -> Bytes {
    chunked_upload::of_chunk(chunk).1
}

/// Status and headers that a caller would get after a publisher's headers, if they are taken.
#[must_use]
pub fn answer(headers: &[(&[u8], &[u8])]) -> Option<(u16, HeaderMap)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(*value))
        {
            map.append(name, value);
        }
    }
    chunked_upload::Piece::of(&map).ok()?;
    let head = responses::answer_head(&map).ok()?;
    Some((head.status.as_u16(), head.headers))
}
