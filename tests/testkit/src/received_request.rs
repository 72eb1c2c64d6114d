//! A request that one of the fakes received.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Path without the query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, byte for byte; the fake server stores only its beginning.
    pub body: Bytes,
}

impl ReceivedRequest {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
