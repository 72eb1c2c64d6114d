//! State of one open connection: its place under the connection limit, and how it must be closed.

use super::connection_limit::Place;
use crate::http::error::ApiError;
use http::StatusCode;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::error::Code;

/// State of one connection; every request has it among its extensions.
pub(crate) struct Connection {
    place: Place,
    /// When the wait for the current request began.
    waiting_since: Mutex<Instant>,
    pub(super) ending: Arc<Ending>,
}

/// The way in which the socket must be closed.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// An announced part of the response has not been sent: the close must be a reset.
    unfinished: AtomicBool,
    /// The peer still sends a body that is not read any more: closing at once could destroy the
    /// response on its way.
    unread: AtomicBool,
    /// The peer accepted nothing for too long.
    timed_out: AtomicBool,
}

impl Ending {
    pub(super) fn mark_broken(&self) {
        self.unfinished.store(true, Ordering::Relaxed);
    }

    /// Records that the peer accepted nothing for too long.
    pub(super) fn mark_timed_out(&self) {
        self.mark_broken();
        self.timed_out.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// The previous response was received whole: the peer has sent the next request.
    pub(super) fn reset(&self) {
        self.unfinished.store(false, Ordering::Relaxed);
    }

    pub(super) fn mark_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }
}

impl Connection {
    pub(super) fn new(place: Place) -> Arc<Self> {
        let waiting_since = Mutex::new(Instant::now());
        Arc::new(Self { place, waiting_since, ending: Arc::default() })
    }

    /// Records that a request on this connection had a valid key.
    ///
    /// # Errors
    /// 503 if the limit of connections with a valid key is reached.
    pub(crate) fn prove(&self) -> Result<(), ApiError> {
        if self.place.prove() {
            return Ok(());
        }
        let message = "this server has no room for another connection; try again in a moment";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Code::ServerBusy, message);
        Err(ApiError { retry_after: Some(5), ..error })
    }

    /// Marks the start of a response body. Until [`OpenResponse::complete`], an end of the
    /// connection is a broken response.
    pub(crate) fn begin_response(&self) -> OpenResponse {
        self.ending.mark_broken();
        OpenResponse(Arc::clone(&self.ending))
    }

    /// Starts the wait for the next request.
    pub(super) fn wait_for_next(&self) {
        *self.waiting_since.lock() = Instant::now();
    }

    /// Completes when the connection must be closed: another one needs its place, or a request
    /// without a valid key has taken too long.
    pub(super) async fn must_close(&self, limit: Duration) {
        tokio::select! {
            () = self.place.must_leave() => {}
            () = self.is_overdue(limit) => {}
        }
    }

    async fn is_overdue(&self, limit: Duration) {
        while !self.place.is_proven() {
            let due = *self.waiting_since.lock() + limit;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
        std::future::pending().await
    }
}

/// A response body that is being sent; dropped before [`Self::complete`], it leaves the connection
/// broken.
pub(crate) struct OpenResponse(Arc<Ending>);

impl OpenResponse {
    /// Returns true if the connection ended because the peer accepted nothing for too long.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.0.timed_out.load(Ordering::Relaxed)
    }

    /// Records that the peer has been given the whole body.
    pub(crate) fn complete(&self) {
        self.0.unfinished.store(false, Ordering::Relaxed);
    }
}
