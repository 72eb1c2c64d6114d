//! A backend's response on its way to the server: the one type that every sender of
//! [`crate::uplink`] takes.

mod token_usage;

pub(crate) use token_usage::ResponseTail;

use crate::backends::BackendResponse;
use crate::task_failure::backend_broke_off;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap, HeaderName};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use wire::headers;
use wire::publisher::TaskFailure;

/// The connection to the backend broke before the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenOff;

type Body = Pin<Box<dyn Stream<Item = Result<Bytes, BrokenOff>> + Send>>;

/// Status, headers and body of a response. Dropping it closes the connection to the backend.
pub(crate) struct RelayedResponse {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// Length of the body in bytes, if the backend announced it.
    pub(crate) length: Option<u64>,
    body: Body,
    tail: Arc<ResponseTail>,
}

impl RelayedResponse {
    /// Takes over a backend's response. `tail` gets its last bytes.
    pub(crate) fn new(response: BackendResponse, tail: Arc<ResponseTail>) -> Self {
        let (status, headers) = (response.status, response.headers.clone());
        let length = response.length();
        let body = Box::pin(response.map_err(|_| BrokenOff));
        Self { status, headers, length, body, tail }
    }

    /// Status and headers, as they travel in the headers of an upload.
    pub(crate) fn upload_headers(&self) -> HeaderMap {
        let mut upload = HeaderMap::new();
        upload.insert(HeaderName::from_static(headers::STATUS), self.status.as_u16().into());
        if let Some(kind) = self.headers.get(header::CONTENT_TYPE) {
            upload.insert(header::CONTENT_TYPE, kind.clone());
        }
        for (name, value) in &self.headers {
            if headers::TO_CALLER.contains(&name.as_str())
                && let Ok(prefixed) = format!("{}{name}", headers::BACKEND_PREFIX).try_into()
            {
                upload.append::<HeaderName>(prefixed, value.clone());
            }
        }
        upload
    }

    /// True if the body is an event stream.
    pub(crate) fn is_event_stream(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
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
        let read = ready!(self.body.as_mut().poll_next(context));
        if let Some(Ok(bytes)) = &read {
            self.tail.push(bytes);
        }
        Poll::Ready(read)
    }
}
