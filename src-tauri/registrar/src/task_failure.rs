//! Failures of a task, as they are reported to the server.

use crate::mcpd_client::Delivery;
use wire::publisher::{FailureCode, TaskFailure};

pub(crate) fn failure(code: FailureCode, message: impl Into<String>) -> TaskFailure {
    TaskFailure { message: message.into(), code: Some(code) }
}

/// The caller or the server does not wait for the request any more.
pub(crate) fn cancelled() -> TaskFailure {
    failure(FailureCode::Cancelled, "the request was stopped")
}

/// The publisher stopped the request.
pub(crate) fn stopped_by_owner() -> TaskFailure {
    failure(FailureCode::StoppedByOwner, "the owner stopped the request")
}

/// As many requests as the publisher allows run and wait.
pub(crate) fn busy() -> TaskFailure {
    failure(
        FailureCode::QueueFull,
        "as many requests run and wait for this model as its owner allows",
    )
}

/// A sleep recipe runs. The server wakes the backend again if it has a wake recipe.
pub(crate) fn falling_asleep() -> TaskFailure {
    failure(FailureCode::BackendUnreachable, "the backend is being put to sleep")
}

pub(crate) fn unpublished() -> TaskFailure {
    failure(FailureCode::Unpublished, "its owner does not publish this model any more")
}

/// The connection to the backend broke in the middle of its response.
pub(crate) fn backend_broke_off() -> TaskFailure {
    failure(FailureCode::BackendAborted, "the backend broke off")
}

/// The result of sending a response, or a part of it.
pub(crate) fn check_delivery(delivery: Delivery) -> Result<(), TaskFailure> {
    match delivery {
        Delivery::Delivered => Ok(()),
        Delivery::Unwanted => Err(cancelled()),
        Delivery::Broken(why) => {
            let message = format!("the answer did not arrive at the server: {why}");
            Err(failure(FailureCode::PublisherLost, message))
        }
    }
}
