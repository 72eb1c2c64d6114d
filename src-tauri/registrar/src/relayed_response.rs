//! A backend's response on its way to the server: the one type that every sender of
//! [`crate::uplink`] takes.

mod token_usage;

pub(crate) use token_usage::ResponseTail;

use crate::backends::BackendResponse;
use crate::task_failure::{backend_broke_off, failure};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use wire::headers;
use wire::limits::FRAME;
use wire::publisher::{FailureCode, TaskFailure};

/// The connection to the backend broke before the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenOff;

/// Status, headers and body of a response. Dropping it closes the connection to the backend.
pub(crate) struct RelayedResponse {
    response: BackendResponse,
    tail: Arc<ResponseTail>,
}

impl RelayedResponse {
    /// Takes over a backend's response. `tail` gets its last bytes.
    pub(crate) fn new(response: BackendResponse, tail: Arc<ResponseTail>) -> Self {
        Self { response, tail }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status
    }

    /// Status and headers, as the payload of a head frame.
    ///
    /// # Errors
    /// The headers are too long.
    pub(crate) fn head(&self) -> Result<Vec<u8>, TaskFailure> {
        head(self.response.status, &self.response.headers, self.response.length())
    }

    /// True if the body is an event stream.
    pub(crate) fn is_event_stream(&self) -> bool {
        let kind = self.response.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// The backend broke off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, TaskFailure> {
        self.try_next().await.map_err(|BrokenOff| backend_broke_off())
    }
}

impl Stream for RelayedResponse {
    type Item = Result<Bytes, BrokenOff>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = ready!(Pin::new(&mut self.response).poll_next(context));
        if let Some(Ok(bytes)) = &read {
            self.tail.push(bytes);
        }
        Poll::Ready(read.map(|read| read.map_err(|_| BrokenOff)))
    }
}

/// Writes [`wire::publisher::AnswerHead`] without copying the headers first.
fn head(
    status: StatusCode,
    headers: &HeaderMap,
    content_length: Option<u64>,
) -> Result<Vec<u8>, TaskFailure> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Head<'a> {
        status: u16,
        headers: ToCaller<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        content_length: Option<u64>,
    }
    let head = Head { status: status.as_u16(), headers: ToCaller(headers), content_length };
    let payload = serde_json::to_vec(&head).ok().filter(|payload| payload.len() <= FRAME);
    payload.ok_or_else(|| {
        let message = format!("the headers of the backend's answer have more than {FRAME} bytes");
        failure(FailureCode::BackendAborted, message)
    })
}

/// The headers that reach the caller. Values that are no text are left out.
struct ToCaller<'a>(&'a HeaderMap);

impl Serialize for ToCaller<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in self.0.keys() {
            if name != header::CONTENT_TYPE && !headers::TO_CALLER.contains(&name.as_str()) {
                continue;
            }
            let mut values = self.0.get_all(name).iter().filter_map(|value| value.to_str().ok());
            let Some(first) = values.next() else { continue };
            match values.next() {
                None => map.serialize_entry(name.as_str(), first)?,
                Some(second) => {
                    let all: Vec<&str> = [first, second].into_iter().chain(values).collect();
                    map.serialize_entry(name.as_str(), &all.join(", "))?;
                }
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::head;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;
    use wire::limits::FRAME;
    use wire::publisher::AnswerHead;

    #[test]
    fn a_head_has_the_status_the_length_and_the_headers_for_the_caller() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("set-cookie", "secret"),
            ("cache-control", "no-store"),
            ("cache-control", "no-transform"),
            ("server", "backend"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let payload = head(StatusCode::CREATED, &headers, Some(7)).unwrap();
        let expected =
            [("cache-control", "no-store, no-transform"), ("content-type", "text/event-stream")];
        let read: AnswerHead = serde_json::from_slice(&payload).unwrap();
        assert_eq!((read.status, read.content_length), (201, Some(7)));
        assert!(read.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(expected));
        let payload = head(StatusCode::OK, &HeaderMap::new(), None).unwrap();
        assert_eq!(payload, br#"{"status":200,"headers":{}}"#);

        headers.insert("retry-after", "x".repeat(FRAME).parse().unwrap());
        assert!(head(StatusCode::OK, &headers, None).is_err(), "it does not fit into a frame");
    }
}
