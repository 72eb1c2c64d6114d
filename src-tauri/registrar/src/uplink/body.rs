//! The body of one uplink: the frames of all answers, as they become ready.

use super::{Answers, State};
use crate::limits::GATHERED;
use bytes::{Bytes, BytesMut};
use http_body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A request body that ends when its uplink has to be replaced.
pub(super) struct UplinkBody {
    answers: Arc<Answers>,
    number: u64,
    /// Bytes that may still be sent before the uplink is replaced.
    left: u64,
    buffer: BytesMut,
}

impl UplinkBody {
    pub(super) fn new(answers: Arc<Answers>, number: u64, max_bytes: u64) -> Self {
        Self { answers, number, left: max_bytes, buffer: BytesMut::new() }
    }
}

impl http_body::Body for UplinkBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { answers, number, left, buffer } = &mut *self;
        let mut shared = answers.shared.lock();
        if shared.number != *number {
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())));
        }
        if *left == 0 || shared.state != State::Open {
            shared.state = State::Ended;
            drop(shared);
            answers.ended.notify_one();
            return Poll::Ready(None);
        }
        answers.sender.register(context.waker());
        shared.outbox.gather(GATHERED, buffer);
        if buffer.is_empty() {
            return Poll::Pending;
        }
        shared.is_used = true;
        *left = left.saturating_sub(buffer.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(buffer.split().freeze()))))
    }
}
