//! An answer on its way from its publisher into the caller's pipe.

use super::{Driver, Upload};
use crate::limits;
use crate::relay_driver::pipe::{Reader, Writer, pipe};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use relay::{TaskId, TaskRefusal};
use tokio::time::Instant;

/// Status and headers of a backend's answer.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Allow-listed headers and content-type.
    pub(crate) headers: HeaderMap,
    /// Bytes of the body, when the publisher knows.
    pub(crate) length: Option<u64>,
}

/// Nothing goes to the caller before the first byte is there.
pub(crate) struct Answer {
    task: TaskId,
    writer: Writer,
    /// Until the first byte.
    start: Option<(AnswerHead, Reader)>,
    upload: Upload,
    /// Bytes that are still to come, when that is known.
    left: Option<u64>,
    /// When the relay was last told that it goes on.
    told: Instant,
    /// How many pieces have been taken, when it comes in pieces.
    pub(crate) pieces: u64,
}

impl Answer {
    pub(crate) fn new(task: TaskId, head: AnswerHead, upload: Upload) -> Self {
        let (writer, reader) = pipe();
        let left = head.length;
        Self {
            task,
            writer,
            start: Some((head, reader)),
            upload,
            left,
            told: Instant::now(),
            pieces: 0,
        }
    }

    /// Waits until nobody wants it any more.
    pub(crate) async fn stopped(&self) {
        self.upload.stop.cancelled().await;
    }

    /// Puts bytes into the pipe, or with `None` the end, as soon as the caller has room.
    ///
    /// # Errors
    /// Nobody wants it any more.
    pub(crate) async fn push(
        &mut self,
        driver: &Driver,
        data: Option<Bytes>,
    ) -> Result<(), TaskRefusal> {
        if let Some((head, reader)) = self.start.take() {
            driver.begin_answer(self.task, head, reader);
        }
        if self.told.elapsed() >= limits::SIGN_OF_LIFE {
            self.told = Instant::now();
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
            () = self.upload.stop.cancelled() => Err(TaskRefusal::Gone),
            put = put => put.map_err(|_caller_gone| TaskRefusal::Gone),
        }
    }
}
