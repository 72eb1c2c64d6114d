//! The fast path: the backend's body becomes the body of one request to mcpd.

use super::token_usage::Tail;
use super::{ServerLink, broke_off, taken};
use crate::backends::BackendResponse;
use crate::mcpd_client::Delivery;
use bytes::Bytes;
use futures_util::Stream as _;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use reqwest::Body;
use reqwest::header::HeaderMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use wire::publisher::TaskFailure;

/// Streams the answer up. A broken answer breaks the upload, so that nobody takes it for complete.
pub(super) async fn deliver(
    link: &ServerLink,
    task: &str,
    head: HeaderMap,
    answer: BackendResponse,
    tail: Arc<Tail>,
) -> Result<(), TaskFailure> {
    let abortable = AbortableBody::new(answer, tail);
    let body = Body::wrap(UploadBody(Arc::clone(&abortable.shared)));
    let delivery = link.mcpd.respond(&link.session, task, head, body).await;
    if matches!(delivery, Delivery::Broken(_)) && abortable.shared.broken.load(Ordering::Relaxed) {
        return Err(broke_off());
    }
    taken(delivery)
}

/// The backend's body, with a way to drop it that does not wait for whoever reads it: the upload's
/// connection may be stuck in a write.
struct Shared {
    source: Mutex<Option<BackendResponse>>,
    broken: AtomicBool,
    reader: AtomicWaker,
    /// Of the whole body, when the backend said it.
    length: Option<u64>,
    tail: Arc<Tail>,
}

struct AbortableBody {
    shared: Arc<Shared>,
}

impl AbortableBody {
    fn new(answer: BackendResponse, tail: Arc<Tail>) -> Self {
        let length = answer.length();
        let (source, broken) = (Mutex::new(Some(answer)), AtomicBool::new(false));
        Self {
            shared: Arc::new(Shared { source, broken, reader: AtomicWaker::new(), length, tail }),
        }
    }
}

impl Drop for AbortableBody {
    fn drop(&mut self) {
        self.shared.source.lock().take();
        self.shared.reader.wake();
    }
}

/// The upload's end of it.
struct UploadBody(Arc<Shared>);

impl http_body::Body for UploadBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn size_hint(&self) -> SizeHint {
        self.0.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.reader.register(context.waker());
        let mut source = self.0.source.lock();
        let Some(open) = source.as_mut() else {
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())));
        };
        match ready!(Pin::new(open).poll_next(context)) {
            Some(Ok(bytes)) => {
                self.0.tail.pass(&bytes);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Err(_)) => {
                self.0.broken.store(true, Ordering::Relaxed);
                *source = None;
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())))
            }
            None => Poll::Ready(None),
        }
    }
}
