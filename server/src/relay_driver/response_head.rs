//! The head of a response.

use http::{HeaderMap, StatusCode};

/// Status and headers of a backend's response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// The content type and the headers that are passed on.
    pub(crate) headers: HeaderMap,
    /// Bytes of the body, if the publisher has announced them.
    pub(crate) length: Option<u64>,
}
