//! Answers on their way to a protocol-2 server. Tasks put what their backends answer into
//! [`Answers`]; a [`Carrier`] sends the frames of all of them up one connection, and again up the
//! next one if that breaks. An answer is forgotten when the server has finished it.

mod answer;
mod body;
mod carrier;
mod kept_bytes;
mod outbox;
mod pace;

pub use answer::End;
pub(crate) use carrier::Carrier;
pub use outbox::{LARGEST_TURN, Outbox};
pub use pace::Pace;

use crate::relayed_response::{BrokenOff, RelayedResponse};
use crate::task_failure::backend_broke_off;
use bytes::{Bytes, BytesMut};
use futures_util::Stream as _;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::control::TakenTask;
use wire::limits::{BATCH, FRAME};
use wire::publisher::{FailureCode, Resume, TaskFailure};

/// The answers that are not finished, shared by the tasks that write them and the carrier that sends
/// them.
#[derive(Default)]
pub(crate) struct Answers {
    shared: Mutex<Shared>,
    /// Wakes whoever sends: the body of the open uplink, or the carrier when none is open.
    sender: AtomicWaker,
    /// A task begins that may have to be acknowledged, and no other one does.
    begun: Notify,
    /// The body of the open uplink has ended.
    ended: Notify,
}

#[derive(Default)]
struct Shared {
    outbox: Outbox,
    /// The uplink in use; the bodies of earlier ones send nothing any more.
    number: u64,
    state: State,
    /// Frames were sent on the uplink in use.
    is_used: bool,
}

/// The state of the uplink in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open,
    /// Its body ends with the frame that was sent last.
    Ending,
    /// Its body has ended.
    Ended,
}

/// The number of a task with the id of a protocol-2 server.
pub(crate) fn task_number(id: &str) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if id.len() != 32 || !id.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(id, 16).ok()
}

impl Answers {
    /// A task begins: the uplink is opened while its backend works on it.
    pub(crate) fn begin(&self, task: u128) {
        let (is_first, is_closed) = {
            let mut shared = self.shared.lock();
            (shared.outbox.begin(task, Instant::now()), shared.state == State::Closed)
        };
        if is_first {
            self.begun.notify_one();
        }
        if is_closed {
            self.sender.wake();
        }
    }

    /// Sends a backend's response, as fast as the server lets it.
    ///
    /// # Errors
    /// The backend broke off, or its headers are too long.
    pub(crate) async fn relay(
        &self,
        task: u128,
        mut response: RelayedResponse,
    ) -> Result<(), TaskFailure> {
        let head = response.head()?;
        self.shared.lock().outbox.head(task, head);
        let relayed = poll_fn(|context| {
            let read = self.poll_relay(task, &mut response, context);
            // Once for everything that has arrived: it goes up in one write.
            self.sender.wake();
            read
        });
        relayed.await.map_err(|BrokenOff| backend_broke_off())
    }

    /// Reads what has arrived from the backend, as far as there is room.
    fn poll_relay(
        &self,
        task: u128,
        response: &mut RelayedResponse,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), BrokenOff>> {
        loop {
            if !self.shared.lock().outbox.has_room(task, context.waker()) {
                return Poll::Pending;
            }
            let read = match Pin::new(&mut *response).poll_next(context) {
                Poll::Ready(read) => read.transpose()?,
                Poll::Pending => return Poll::Pending,
            };
            let mut shared = self.shared.lock();
            let Some(bytes) = read else {
                shared.outbox.end(task, End::Complete);
                return Poll::Ready(Ok(()));
            };
            shared.outbox.data(task, bytes);
        }
    }

    /// The task failed: its caller gets the bytes so far, and then an error. If it was stopped, no more
    /// of its answer is sent.
    pub(crate) fn fail(&self, task: u128, failure: &TaskFailure) {
        if matches!(failure.code, Some(FailureCode::Cancelled | FailureCode::StoppedByOwner)) {
            self.stop(task, failure);
            return;
        }
        self.shared.lock().outbox.end(task, End::Failed(payload(failure)));
        self.sender.wake();
    }

    /// The task was stopped: no more of its answer is sent. False if it was complete already.
    pub(crate) fn stop(&self, task: u128, failure: &TaskFailure) -> bool {
        let is_stopped = self.shared.lock().outbox.stop(task, payload(failure));
        self.sender.wake();
        is_stopped
    }

    /// Applies what callers have taken. The number of entries is bounded by the event's length.
    pub(crate) fn taken(&self, tasks: &[TakenTask]) {
        let mut shared = self.shared.lock();
        for TakenTask { id, offset, window } in tasks {
            if let Some(task) = task_number(id) {
                shared.outbox.taken(task, *offset, *window);
            }
        }
        drop(shared);
        self.sender.wake();
    }

    /// Forgets an answer.
    pub(crate) fn finished(&self, task: u128) {
        self.shared.lock().outbox.finished(task);
    }

    /// After a register: the answers go on from where the server says.
    pub(crate) fn resume(&self, tasks: &[Resume]) {
        self.uplink_lost();
        let mut shared = self.shared.lock();
        for Resume { id, offset } in tasks {
            if let Some(task) = task_number(id) {
                shared.outbox.resume(task, *offset);
            }
        }
    }

    /// True if the answer is not finished.
    pub(crate) fn contains(&self, task: u128) -> bool {
        self.shared.lock().outbox.contains(task)
    }

    /// True if every answer is finished.
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.lock().outbox.is_empty()
    }

    /// Opens an uplink; returns its number.
    fn open_uplink(&self) -> u64 {
        let mut shared = self.shared.lock();
        shared.number += 1;
        (shared.state, shared.is_used) = (State::Open, false);
        shared.number
    }

    /// Ends the body of the open uplink behind the frame that was sent last.
    fn end_uplink(&self) {
        let mut shared = self.shared.lock();
        if shared.state == State::Open {
            shared.state = State::Ending;
        }
        drop(shared);
        self.sender.wake();
    }

    /// True if the body of the uplink in use has ended.
    fn uplink_has_ended(&self) -> bool {
        self.shared.lock().state == State::Ended
    }

    /// The server has all frames of the uplink.
    fn uplink_confirmed(&self) {
        self.shared.lock().state = State::Closed;
    }

    /// Frames of the uplink may not have arrived. Its body sends nothing any more. True if it sent
    /// some.
    pub(crate) fn uplink_lost(&self) -> bool {
        let mut shared = self.shared.lock();
        shared.number += 1;
        shared.state = State::Closed;
        shared.outbox.uplink_lost();
        std::mem::take(&mut shared.is_used)
    }

    /// Waits until an uplink is needed: a task runs, or one began within this time.
    async fn until_needed(&self, idle: Duration) {
        self.until(|outbox| {
            let began_lately = |at: Instant| at.elapsed() < idle;
            !outbox.is_empty() || outbox.last_begun().is_some_and(began_lately)
        })
        .await;
    }

    /// Waits for something to send, and returns it as one batch.
    async fn next_batch(&self) -> Bytes {
        self.until(Outbox::is_ready).await;
        let mut batch = BytesMut::new();
        let mut shared = self.shared.lock();
        shared.state = State::Ended;
        shared.outbox.gather(BATCH - LARGEST_TURN, &mut batch);
        batch.freeze()
    }

    /// Waits while no uplink is open.
    async fn until(&self, condition: impl Fn(&Outbox) -> bool) {
        poll_fn(|context| {
            self.sender.register(context.waker());
            if condition(&self.shared.lock().outbox) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Acknowledges every task of which nothing was sent for `after`: one timer for all.
    async fn acknowledge_slow(&self, after: Duration) -> ! {
        loop {
            let oldest = self.shared.lock().outbox.oldest_unacknowledged();
            let Some(oldest) = oldest else {
                self.begun.notified().await;
                continue;
            };
            tokio::time::sleep_until(oldest + after).await;
            let begun_before = Instant::now().checked_sub(after).unwrap_or(oldest);
            self.shared.lock().outbox.acknowledge(begun_before);
            self.sender.wake();
        }
    }
}

/// The payload of a failure's frame. A text that does not fit is left out.
fn payload(failure: &TaskFailure) -> Vec<u8> {
    let payload = serde_json::to_vec(failure).unwrap_or_default();
    if payload.len() <= FRAME {
        return payload;
    }
    let without_text = TaskFailure { message: String::new(), code: failure.code.clone() };
    serde_json::to_vec(&without_text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
