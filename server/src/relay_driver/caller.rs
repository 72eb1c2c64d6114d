//! A waiting caller: the events that it gets, and the guard that reports its departure.

use super::RelayDriver;
use super::pipe::Reader;
use super::response_head::ResponseHead;
use relay::{AnswerEnd, Failure, GoneReason, Notice, TaskId};
use std::sync::Arc;
use tokio::sync::mpsc;

/// An event for a waiting caller.
pub(crate) enum CallerEvent {
    /// Progress while it waits.
    Notice(Notice),
    /// The response begins: its head and the source of its body.
    Response(ResponseHead, Reader),
    /// The request failed.
    Fail(Failure),
}

/// The caller's side of a submitted request.
pub(crate) struct PendingResponse {
    /// Events until the response ends.
    pub(crate) events: mpsc::Receiver<CallerEvent>,
    /// Dropped when the caller is gone.
    pub(crate) guard: CallerGuard,
}

/// Reports to the relay that the caller is gone, if it is dropped before the request's end.
pub(crate) struct CallerGuard {
    driver: Arc<RelayDriver>,
    task: TaskId,
    reason: GoneReason,
    armed: bool,
}

impl CallerGuard {
    pub(super) fn new(driver: &Arc<RelayDriver>, task: TaskId) -> Self {
        let driver = Arc::clone(driver);
        Self { driver, task, reason: GoneReason::Disconnected, armed: true }
    }

    /// Records that the caller has got everything that it will get.
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Reports that the backend has been silent for too long; the relay answers with an event.
    pub(crate) fn response_is_silent(&self) {
        let task = self.task;
        self.driver.with(|relay, now, out| relay.answer_ended(task, AnswerEnd::Silent, now, out));
    }

    /// Sets the reason that is reported when the guard is dropped.
    pub(crate) fn set_reason(&mut self, reason: GoneReason) {
        self.reason = reason;
    }

    /// Reports now that the caller is gone, so that its work stops.
    pub(crate) fn leave(&mut self, reason: GoneReason) {
        if std::mem::take(&mut self.armed) {
            let task = self.task;
            self.driver.with(|relay, now, out| relay.caller_gone(task, reason, now, out));
        }
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        self.leave(self.reason);
    }
}
