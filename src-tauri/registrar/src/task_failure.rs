//! Failures of a task, as they are reported to the server.

use crate::client::Delivery;
use wire::error::code;
use wire::publisher::TaskFailure;

/// Code of a request that was cancelled.
pub(crate) const CANCELLED: &str = "cancelled";
/// Code of a request for a model that is not published any more.
const UNPUBLISHED: &str = "unpublished";

pub(crate) fn failure(code: &str, message: impl Into<String>) -> TaskFailure {
    TaskFailure { message: message.into(), code: Some(code.into()) }
}

/// The caller or the server does not wait for the request any more.
pub(crate) fn cancelled() -> TaskFailure {
    failure(CANCELLED, "the request was stopped")
}

/// The publisher stopped the request.
pub(crate) fn stopped_by_owner() -> TaskFailure {
    failure(code::STOPPED_BY_OWNER, "the owner stopped the request")
}

/// As many requests as the publisher allows run and wait.
pub(crate) fn busy() -> TaskFailure {
    failure(code::QUEUE_FULL, "as many requests run and wait for this model as its owner allows")
}

/// A sleep recipe runs. The server wakes the backend again if it has a wake recipe.
pub(crate) fn falling_asleep() -> TaskFailure {
    failure(code::BACKEND_UNREACHABLE, "the backend is being put to sleep")
}

pub(crate) fn unpublished() -> TaskFailure {
    failure(UNPUBLISHED, "its owner does not publish this model any more")
}

/// The connection to the backend broke in the middle of its response.
pub(crate) fn backend_broke_off() -> TaskFailure {
    failure(code::BACKEND_ABORTED, "the backend broke off")
}

/// The result of sending a response, or a part of it.
pub(crate) fn check_delivery(delivery: Delivery) -> Result<(), TaskFailure> {
    match delivery {
        Delivery::Delivered => Ok(()),
        Delivery::Unwanted => Err(cancelled()),
        Delivery::Broken(why) => {
            let message = format!("the answer did not arrive at the server: {why}");
            Err(failure(code::PUBLISHER_LOST, message))
        }
    }
}
