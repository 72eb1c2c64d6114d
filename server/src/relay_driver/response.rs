//! A response on its way from its publisher into the caller's pipe.

use super::RelayDriver;
use super::caller::CallerEvent;
use super::pipe::{Reader, Writer, pipe};
use super::response_head::ResponseHead;
use crate::limits;
use bytes::Bytes;
use relay::{TaskId, TaskRefusal};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The destination of a task's response.
#[derive(Clone)]
pub(crate) struct UploadTarget {
    events: mpsc::Sender<CallerEvent>,
    /// Cancelled when no caller waits for the response any more.
    stop: CancellationToken,
    /// The response so far, if it arrives in several requests.
    pub(crate) partial: Arc<tokio::sync::Mutex<Option<ResponseWriter>>>,
}

impl UploadTarget {
    pub(super) fn new(events: mpsc::Sender<CallerEvent>) -> Self {
        Self { events, stop: CancellationToken::new(), partial: Arc::default() }
    }

    /// Sends an event to the caller. A caller whose queue is full is about to leave.
    pub(super) fn notify(&self, event: CallerEvent) {
        let _ = self.events.try_send(event);
    }

    /// Returns true if a notice leaves room for the events that must arrive.
    pub(super) fn has_room_for_notice(&self) -> bool {
        self.events.capacity() > limits::CALLER_EVENTS / 2
    }

    /// Stops the upload.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Writes one response into its caller's pipe. The caller gets the head with the first byte.
pub(crate) struct ResponseWriter {
    task: TaskId,
    writer: Writer,
    /// Taken with the first byte.
    start: Option<(ResponseHead, Reader)>,
    target: UploadTarget,
    /// Bytes still to come, if the length was announced.
    left: Option<u64>,
    /// When the relay was last notified that the response is still arriving.
    reported: Instant,
    /// Number of parts taken, if it arrives in parts.
    pub(crate) parts: u64,
}

impl ResponseWriter {
    pub(crate) fn new(task: TaskId, head: ResponseHead, target: UploadTarget) -> Self {
        let (writer, reader) = pipe();
        let left = head.length;
        let (start, reported) = (Some((head, reader)), Instant::now());
        Self { task, writer, start, target, left, reported, parts: 0 }
    }

    /// Completes when no caller waits for the response any more.
    pub(crate) async fn stopped(&self) {
        self.target.stop.cancelled().await;
    }

    /// Writes bytes, or the end with `None`, as soon as the pipe has room.
    ///
    /// # Errors
    /// [`TaskRefusal::Gone`] if no caller waits for the response any more.
    pub(crate) async fn push(
        &mut self,
        driver: &RelayDriver,
        data: Option<Bytes>,
    ) -> Result<(), TaskRefusal> {
        if let Some((head, reader)) = self.start.take() {
            driver.begin_response(self.task, head, reader);
        }
        if self.reported.elapsed() >= limits::SIGN_OF_LIFE {
            self.reported = Instant::now();
            let task = self.task;
            driver.with(|relay, now, _| relay.answer_goes_on(task, now));
        }
        if let (Some(left), Some(data)) = (&mut self.left, &data) {
            *left = left.saturating_sub(data.len() as u64);
        }
        let put = async {
            match data {
                Some(data) => self.writer.write(data).await,
                // A caller that has got all bytes of a known length does not wait for the end.
                None if self.left == Some(0) => self.writer.finish().await.or(Ok(())),
                None => self.writer.finish().await,
            }
        };
        tokio::select! {
            biased;
            () = self.target.stop.cancelled() => Err(TaskRefusal::Gone),
            put = put => put.map_err(|_caller_gone| TaskRefusal::Gone),
        }
    }
}
