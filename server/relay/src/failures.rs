//! The failures that a caller gets from the relay, each with its status and a sentence.

use crate::{Failure, Millis};
use wire::error::Code;
use wire::publisher::FailureCode;

fn failure(code: Code, status: u16, message: String, retry: Option<u64>) -> Failure {
    Failure { code, status, message, retry_after_secs: retry }
}

pub(crate) fn inactive(name: &str, why: &str) -> Failure {
    let message = format!("{name} is not available now: {why}. Try again later.");
    failure(Code::LlmInactive, 503, message, Some(5))
}

pub(crate) fn queue_full(name: &str, limit: usize) -> Failure {
    let message = format!("{limit} requests already wait for {name}. Try again in a few seconds.");
    failure(Code::QueueFull, 429, message, Some(5))
}

pub(crate) fn queue_share(name: &str, waiting: usize) -> Failure {
    let message = format!(
        "{waiting} requests of this key already wait for {name}, which is its share of the queue. \
         Try again in a few seconds."
    );
    failure(Code::QueueFull, 429, message, Some(5))
}

pub(crate) fn queue_timeout(name: &str, waited: Millis) -> Failure {
    let secs = waited / 1000;
    let message = format!("{name} had no free slot within {secs} s. Try again later.");
    failure(Code::QueueTimeout, 503, message, Some(10))
}

pub(crate) fn waking(name: &str, retry_secs: u64) -> Failure {
    let message = format!("{name} is being woken; the wake goes on. Try again in {retry_secs} s.");
    failure(Code::LlmWaking, 503, message, Some(retry_secs))
}

pub(crate) fn wake_failed(name: &str, cause: &FailureCode, retry_secs: u64) -> Failure {
    let message = format!(
        "{name} could not be woken ({cause}). Its owner sees the details; \
         the next try is possible in {retry_secs} s."
    );
    failure(Code::LlmWakeFailed, 503, message, Some(retry_secs))
}

pub(crate) fn dispatch_timeout(name: &str) -> Failure {
    let message = format!("The machine that publishes {name} did not take the request. Try again.");
    failure(Code::DispatchTimeout, 502, message, Some(5))
}

pub(crate) fn publisher_lost(name: &str) -> Failure {
    let message = format!("The machine that publishes {name} went away before the answer ended.");
    failure(Code::PublisherLost, 502, message, Some(5))
}

pub(crate) fn backend_unreachable(name: &str) -> Failure {
    let message = format!("The machine that publishes {name} could not reach its backend.");
    failure(Code::BackendUnreachable, 502, message, Some(10))
}

pub(crate) fn backend_aborted(name: &str) -> Failure {
    let message = format!("The backend of {name} broke off before its answer ended.");
    failure(Code::BackendAborted, 502, message, None)
}

pub(crate) fn invalid_answer(name: &str) -> Failure {
    let message = format!("The machine that publishes {name} sent an answer that cannot be used.");
    failure(Code::BackendAborted, 502, message, None)
}

pub(crate) fn stopped_by_owner(name: &str) -> Failure {
    let message = format!("The owner of the machine that publishes {name} stopped this request.");
    failure(Code::StoppedByOwner, 503, message, None)
}

pub(crate) fn first_byte_timeout(name: &str) -> Failure {
    let message = format!("{name} gave no answer in time. A shorter prompt may help.");
    failure(Code::FirstByteTimeout, 504, message, None)
}

pub(crate) fn answer_timeout(name: &str) -> Failure {
    let message = format!("The answer of {name} took too long and was stopped.");
    failure(Code::AnswerTimeout, 504, message, None)
}

pub(crate) fn shutdown() -> Failure {
    let message = "mcpd is shutting down. Try again in a moment.".to_owned();
    failure(Code::ServerShutdown, 503, message, Some(5))
}
