//! The usual way: the body of the backend's response becomes the body of one request to mcpd.

use crate::mcpd_client::Delivery;
use crate::relayed_response::{BrokenOff, RelayedResponse};
use crate::server_link::ServerLink;
use crate::task_failure::{backend_broke_off, check_delivery};
use bytes::Bytes;
use futures_util::Stream as _;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use reqwest::Body;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use wire::publisher::TaskFailure;

/// Streams the response. If the backend breaks off, the upload breaks off too, so that the server
/// does not take it for complete.
pub(super) async fn send(
    link: &ServerLink,
    task: &str,
    response: RelayedResponse,
) -> Result<(), TaskFailure> {
    let headers = response.upload_headers();
    let abortable = AbortableBody::new(response);
    let body = Body::wrap(UploadBody(Arc::clone(&abortable.shared)));
    let delivery = link.mcpd.respond(&link.session, task, headers, body).await;
    if matches!(delivery, Delivery::Broken(_)) && abortable.shared.broken.load(Ordering::Relaxed) {
        return Err(backend_broke_off());
    }
    check_delivery(delivery)
}

/// A response that can be dropped while an upload reads it. The upload's connection may be stuck in a
/// write and would otherwise keep the backend at work.
struct AbortableBody {
    shared: Arc<Shared>,
}

struct Shared {
    response: Mutex<Option<RelayedResponse>>,
    /// The backend broke off.
    broken: AtomicBool,
    reader: AtomicWaker,
    /// Length of the whole body in bytes, if the backend announced it.
    length: Option<u64>,
}

impl AbortableBody {
    fn new(response: RelayedResponse) -> Self {
        let length = response.length;
        let (response, broken) = (Mutex::new(Some(response)), AtomicBool::new(false));
        let reader = AtomicWaker::new();
        Self { shared: Arc::new(Shared { response, broken, reader, length }) }
    }
}

impl Drop for AbortableBody {
    fn drop(&mut self) {
        self.shared.response.lock().take();
        self.shared.reader.wake();
    }
}

/// The upload's end of an [`AbortableBody`].
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
        let mut response = self.0.response.lock();
        let Some(open) = response.as_mut() else {
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())));
        };
        match ready!(Pin::new(open).poll_next(context)) {
            Some(Ok(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Err(BrokenOff)) => {
                self.0.broken.store(true, Ordering::Relaxed);
                *response = None;
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())))
            }
            None => Poll::Ready(None),
        }
    }
}
