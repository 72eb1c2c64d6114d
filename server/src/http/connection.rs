//! What is known of one connection while it is open: its place in the room, and how it may end.

use super::connection_limit::Place;
use crate::http::error::ApiError;
use http::StatusCode;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::error::Code;

/// See the module's page. Every request has it among its extensions.
pub(crate) struct Connection {
    place: Place,
    /// Since when the request that comes now has been waited for.
    waits_since: Mutex<Instant>,
    pub(super) ending: Arc<Ending>,
}

/// How the socket must be closed.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Something that was promised to the peer has not been sent: a clean close would be a lie.
    unfinished: AtomicBool,
    /// The peer still sends a body that is not read any more: a close at once could destroy the
    /// answer on its way.
    unread: AtomicBool,
}

impl Ending {
    pub(super) fn breaks(&self) {
        self.unfinished.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// The peer has got all of the answer before: it asks again.
    pub(super) fn begins_anew(&self) {
        self.unfinished.store(false, Ordering::Relaxed);
    }

    pub(super) fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }
}

impl Connection {
    pub(super) fn new(place: Place) -> Arc<Self> {
        let waits_since = Mutex::new(Instant::now());
        Arc::new(Self { place, waits_since, ending: Arc::default() })
    }

    /// A request on it has brought a valid key.
    ///
    /// # Errors
    /// 503 when there is no place for one more of those.
    pub(crate) fn prove(&self) -> Result<(), ApiError> {
        if self.place.prove() {
            return Ok(());
        }
        let message = "this server has no room for another connection; try again in a moment";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Code::ServerBusy, message);
        Err(ApiError { retry_after: Some(5), ..error })
    }

    /// The answer of a backend begins. Until [`Answering::ended`] an end of the connection is a
    /// broken answer.
    pub(crate) fn answers(&self) -> Answering {
        self.ending.breaks();
        Answering(Arc::clone(&self.ending))
    }

    /// A request has been answered; the next one is waited for.
    pub(super) fn rests(&self) {
        *self.waits_since.lock() = Instant::now();
    }

    /// Waits until it must be closed: another one needs its place, or a request without a valid key
    /// has taken too long.
    pub(super) async fn must_close(&self, limit: Duration) {
        tokio::select! {
            () = self.place.must_leave() => {}
            () = self.is_overdue(limit) => {}
        }
    }

    async fn is_overdue(&self, limit: Duration) {
        while !self.place.is_proven() {
            let due = *self.waits_since.lock() + limit;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
        std::future::pending().await
    }
}

/// An answer on its way; dropped before its end, it leaves the connection broken.
pub(crate) struct Answering(Arc<Ending>);

impl Answering {
    /// The peer has been given all of it.
    pub(crate) fn ended(&self) {
        self.0.unfinished.store(false, Ordering::Relaxed);
    }
}
