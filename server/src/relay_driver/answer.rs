//! The answer of one task on its way to its caller: what has arrived and was not taken yet.
//!
//! The publisher's side never waits: it sends no more than the window of [`Flow`] allows. The
//! caller's side waits for the next [`CallerEvent`].

use super::flow::{Flow, Taken, Violation};
use super::pieces::Pieces;
use super::response_head::ResponseHead;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use relay::{Failure, Notice};
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// An event for a waiting caller.
#[derive(Debug)]
pub(crate) enum CallerEvent {
    /// Progress while it waits.
    Notice(Notice),
    /// The answer begins.
    Head(ResponseHead),
    /// The next bytes of its body.
    Data(Bytes),
    /// The answer is complete. Nothing follows.
    End,
    /// The request failed. Nothing follows.
    Failed(Failure),
}

/// An answer, shared by its publisher's side and its caller.
#[derive(Default)]
pub(crate) struct Answer {
    state: Mutex<State>,
    caller: AtomicWaker,
    /// Notified when bytes were taken, for a publisher of protocol 1.
    room: Notify,
    /// Held by the one request of a protocol-1 publisher that writes.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The latest one that the caller has not got.
    notice: Option<Notice>,
    /// Kept back until the first byte.
    head: Option<ResponseHead>,
    has_begun: bool,
    is_delivered: bool,
    pieces: Pieces,
    flow: Flow,
    /// True if news of the progress had no channel to go down.
    is_untold: bool,
    outcome: Option<Result<(), Failure>>,
    /// Nothing more is wanted from the publisher.
    is_stopped: bool,
}

/// No caller waits for the answer any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwanted;

impl Answer {
    /// The publisher has sent the head. It is kept back until [`Self::deliver`].
    pub(crate) fn begin(&self, head: ResponseHead) {
        let mut state = self.state.lock();
        state.has_begun = true;
        state.flow.announce(head.length);
        state.head = Some(head);
    }

    /// True if the publisher has sent a head, over whatever connection.
    pub(crate) fn has_begun(&self) -> bool {
        self.state.lock().has_begun
    }

    /// Bytes of the body that have arrived.
    pub(super) fn received(&self) -> u64 {
        self.state.lock().flow.received()
    }

    /// A report for a publisher that may have missed the last one; `None` before the head.
    /// The flag is true if it surely was not: there was no channel.
    pub(super) fn progress(&self) -> Option<(Taken, bool)> {
        let mut state = self.state.lock();
        let is_untold = std::mem::take(&mut state.is_untold);
        state.has_begun.then(|| (state.flow.tell(), is_untold))
    }

    /// Records that there was no channel for a report.
    pub(super) fn mark_untold(&self) {
        self.state.lock().is_untold = true;
    }

    /// True if the head has gone to the caller.
    pub(super) fn is_delivered(&self) -> bool {
        self.state.lock().is_delivered
    }

    /// True if nothing more is wanted from the publisher.
    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().is_stopped
    }

    /// Lets the head go to the caller.
    pub(super) fn deliver(&self) {
        self.state.lock().is_delivered = true;
        self.caller.wake();
    }

    /// Takes bytes of the body. True if at least one of them is new.
    ///
    /// # Errors
    /// [`Violation`]: nothing is taken.
    pub(super) fn receive(&self, offset: u64, bytes: Bytes) -> Result<bool, Violation> {
        let mut state = self.state.lock();
        let new = state.flow.receive(offset, bytes)?;
        if new.is_empty() {
            return Ok(false);
        }
        if !state.is_stopped {
            state.pieces.push(new);
        }
        drop(state);
        self.caller.wake();
        Ok(true)
    }

    /// Checks that the body may end here.
    ///
    /// # Errors
    /// [`Violation::Length`] before the announced length.
    pub(super) fn check_end(&self) -> Result<(), Violation> {
        self.state.lock().flow.end()
    }

    /// Waits until no other request of a protocol-1 publisher writes.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Takes bytes of the body of a protocol-1 publisher, which knows no window: waits for room.
    ///
    /// # Errors
    /// [`Unwanted`].
    pub(crate) async fn receive_when_room(&self, mut bytes: Bytes) -> Result<(), Unwanted> {
        while !bytes.is_empty() {
            let waiting = self.room.notified();
            {
                let mut state = self.state.lock();
                if state.is_stopped {
                    return Err(Unwanted);
                }
                let room = usize::try_from(state.flow.room()).unwrap_or(usize::MAX);
                let piece = bytes.split_to(room.min(bytes.len()));
                if !piece.is_empty() {
                    let offset = state.flow.received();
                    let piece = state.flow.receive(offset, piece).map_err(|_| Unwanted)?;
                    state.pieces.push(piece);
                }
            }
            self.caller.wake();
            if !bytes.is_empty() {
                waiting.await;
            }
        }
        Ok(())
    }

    /// Ends the answer for its caller, behind the bytes that have arrived. Only the first end counts.
    pub(super) fn end(&self, outcome: Result<(), Failure>) {
        self.state.lock().outcome.get_or_insert(outcome);
        self.caller.wake();
    }

    /// Ignores what still arrives.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.room.notify_waiters();
    }

    /// Replaces the notice for the caller.
    pub(super) fn notify(&self, notice: Notice) {
        self.state.lock().notice = Some(notice);
        self.caller.wake();
    }

    /// Waits for the next event, and returns with it the report that is due to the publisher.
    pub(super) async fn next(&self) -> (CallerEvent, Option<Taken>) {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The caller is gone: drops what it has not taken.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_stopped = true;
        state.pieces = Pieces::default();
        drop(state);
        self.room.notify_waiters();
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<(CallerEvent, Option<Taken>)> {
        self.caller.register(context.waker());
        let mut state = self.state.lock();
        if !state.is_delivered {
            let event = match state.outcome.take() {
                Some(Err(failure)) => Some(CallerEvent::Failed(failure)),
                Some(Ok(())) => Some(CallerEvent::End),
                None => state.notice.take().map(CallerEvent::Notice),
            };
            return event.map_or(Poll::Pending, |event| Poll::Ready((event, None)));
        }
        if let Some(head) = state.head.take() {
            return Poll::Ready((CallerEvent::Head(head), None));
        }
        if let Some(piece) = state.pieces.pop() {
            let taken = state.flow.take(piece.len());
            drop(state);
            self.room.notify_waiters();
            return Poll::Ready((CallerEvent::Data(piece), taken));
        }
        match state.outcome.take() {
            Some(Ok(())) => Poll::Ready((CallerEvent::End, None)),
            Some(Err(failure)) => Poll::Ready((CallerEvent::Failed(failure), None)),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, CallerEvent, Unwanted};
    use crate::relay_driver::ResponseHead;
    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use http::{HeaderMap, StatusCode};
    use relay::Notice;
    use std::time::Duration;
    use tokio::time::timeout;

    fn head() -> ResponseHead {
        ResponseHead { status: StatusCode::OK, headers: HeaderMap::new(), length: None }
    }

    async fn next(answer: &Answer) -> CallerEvent {
        answer.next().await.0
    }

    #[tokio::test]
    async fn a_caller_gets_notices_then_the_head_then_the_bytes_then_the_end() {
        let answer = Answer::default();
        answer.notify(Notice::Queued(2));
        answer.notify(Notice::Running);
        assert!(matches!(next(&answer).await, CallerEvent::Notice(Notice::Running)));
        answer.begin(head());
        assert!(answer.next().now_or_never().is_none(), "the head waits for the first byte");
        assert!(answer.receive(0, Bytes::from_static(b"a")).unwrap());
        answer.deliver();
        answer.end(Ok(()));
        assert!(matches!(next(&answer).await, CallerEvent::Head(_)));
        assert!(matches!(next(&answer).await, CallerEvent::Data(data) if data == "a"));
        assert!(matches!(next(&answer).await, CallerEvent::End));
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_without_windows_waits_while_256_kib_are_not_taken() {
        let answer = Answer::default();
        answer.begin(head());
        answer.deliver();
        let all = Bytes::from(vec![b'x'; 320 * 1024]);
        let mut writing = Box::pin(answer.receive_when_room(all));
        assert!(timeout(Duration::from_secs(3600), &mut writing).await.is_err());
        assert!(matches!(next(&answer).await, CallerEvent::Head(_)));
        let CallerEvent::Data(first) = next(&answer).await else { panic!("data") };
        assert_eq!(first.len(), 256 * 1024);
        assert_eq!(writing.await, Ok(()));
        answer.abandon();
        assert_eq!(answer.receive_when_room(Bytes::from_static(b"a")).await, Err(Unwanted));
    }

    #[tokio::test]
    async fn a_publisher_without_windows_sends_pieces_of_any_size_to_a_slow_caller() {
        const PIECES: usize = 100;
        let answer = Answer::default();
        answer.begin(head());
        answer.deliver();
        let piece = Bytes::from(vec![b'x'; 20 * 1024]);
        let writes = async {
            for _ in 0..PIECES {
                answer.receive_when_room(piece.clone()).await.unwrap();
            }
            answer.end(Ok(()));
        };
        let reads = async {
            let mut read = 0;
            loop {
                match next(&answer).await {
                    CallerEvent::Data(data) => read += data.len(),
                    CallerEvent::End => return read,
                    CallerEvent::Notice(_) | CallerEvent::Head(_) | CallerEvent::Failed(_) => {}
                }
                tokio::task::yield_now().await;
            }
        };
        let ((), read) = tokio::join!(writes, reads);
        assert_eq!(read, PIECES * piece.len());
    }
}
