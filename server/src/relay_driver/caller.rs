//! A waiting caller: how it gets its answer, and the guard that reports its departure.

use super::RelayDriver;
use super::answer::{Answer, CallerEvent};
use relay::{AnswerEnd, GoneReason, TaskId};
use std::sync::Arc;

/// The caller's side of a submitted request. Dropping it before the request's end reports to the relay
/// that the caller is gone.
pub(crate) struct PendingResponse {
    answer: Arc<Answer>,
    driver: Arc<RelayDriver>,
    task: TaskId,
    reason: GoneReason,
    /// False once the caller has got everything that it will get.
    armed: bool,
}

impl PendingResponse {
    pub(super) fn new(driver: &Arc<RelayDriver>, task: TaskId, answer: Arc<Answer>) -> Self {
        let driver = Arc::clone(driver);
        Self { answer, driver, task, reason: GoneReason::Disconnected, armed: true }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> CallerEvent {
        let (event, taken) = self.answer.next().await;
        if let Some(taken) = taken {
            self.driver.tell_taken(self.task, taken);
        }
        event
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

    /// Sets the reason that is reported when this is dropped.
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

impl Drop for PendingResponse {
    fn drop(&mut self) {
        self.answer.abandon();
        self.leave(self.reason);
    }
}
