//! The head of a response.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use wire::publisher::AnswerHead;

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

impl ResponseHead {
    /// The head that the payload of a frame states; `None` if it states none.
    #[must_use]
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let head: AnswerHead = serde_json::from_slice(payload).ok()?;
        let mut headers = HeaderMap::new();
        let content_type = (header::CONTENT_TYPE.as_str(), header::CONTENT_TYPE);
        let listed = wire::headers::TO_CALLER.iter();
        let listed = listed.map(|name| (*name, HeaderName::from_static(name)));
        for (name, known) in std::iter::once(content_type).chain(listed) {
            if let Some(value) = head.headers.get(name) {
                headers.insert(known, HeaderValue::from_str(value).ok()?);
            }
        }
        Some(Self { status: checked_status(head.status)?, headers, length: head.content_length })
    }

    /// A head with nothing but a status and a content type; `None` if it can be no response's status.
    #[must_use]
    pub(crate) fn of_type(status: u16, kind: &'static str) -> Option<Self> {
        let kind = HeaderValue::from_static(kind);
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        Some(Self { status: checked_status(status)?, headers, length: None })
    }
}

/// A backend's status, if a response can have it.
fn checked_status(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()))
}
