//! One task, from its frame to its last byte: the request goes to the backend with the backend's own
//! model id, the response goes up as it arrives, byte for byte. As soon as a task is cancelled, its
//! connection to the backend is closed.

pub(crate) mod backend_request;

use crate::backends::{Backend, Backends, NoSlot, SendError};
use crate::limits;
use crate::mcpd_client::Delivery;
use crate::relayed_response::{RelayedResponse, ResponseTail};
use crate::running_tasks::{Stop, TaskEnd};
use crate::server_link::ServerLink;
use crate::task_failure::{
    busy, cancelled, failure, falling_asleep, stopped_by_owner, unpublished,
};
use crate::uplink;
use std::sync::Arc;
use wire::control::{InferTask, WakeTask};
use wire::publisher::{FailureCode, TaskFailure, TaskOutcome, TaskResult};

/// Runs a request and reports its failure, if it fails.
pub(crate) async fn infer(
    link: Arc<ServerLink>,
    backends: Arc<Backends>,
    task: InferTask,
    stop: Stop,
) -> TaskEnd {
    let tail = Arc::new(ResponseTail::default());
    let failure = match run_until_stopped(&link, &backends, &task, &stop, &tail).await {
        Ok(()) => {
            return TaskEnd { outcome: TaskOutcome::Done, tokens: tail.tokens(), cause: None };
        }
        Err(failure) => failure,
    };
    let outcome = failure.code.clone().map_or_else(TaskOutcome::default, TaskOutcome::Failed);
    let by_owner = failure.code == Some(FailureCode::StoppedByOwner);
    let stopped = by_owner || failure.code == Some(FailureCode::Cancelled);
    let cause = (!stopped).then(|| failure.message.clone());
    let (id, llm) = (task.task_id.clone(), &task.llm_name);
    match (&failure.code, &cause) {
        (Some(FailureCode::PublisherLost | FailureCode::InvalidRequest), Some(cause)) => {
            link.log_budget.log(|| tracing::warn!(task = id, llm, "the task failed: {cause}"));
        }
        _ => {
            let outcome = outcome.as_str();
            tracing::debug!(task = id, llm, outcome, "the task did not complete");
        }
    }
    // The request may be large, and the server may be slow to take the report.
    drop(task);
    if !by_owner {
        link.report_failure(&id, failure).await;
    }
    TaskEnd { outcome, tokens: tail.tokens(), cause }
}

/// Runs a request until its end or until it is stopped. The connection to the backend is closed
/// before anything is reported, because that drops the work.
async fn run_until_stopped(
    link: &ServerLink,
    backends: &Arc<Backends>,
    task: &InferTask,
    stop: &Stop,
    tail: &Arc<ResponseTail>,
) -> Result<(), TaskFailure> {
    let mut work = std::pin::pin!(run(link, backends, task, tail));
    tokio::select! {
        done = &mut work => return done,
        () = stop.unwanted.cancelled() => return Err(cancelled()),
        () = stop.by_owner.cancelled() => {}
    }
    // The reason is reported before the response breaks off: the server would report a broken
    // backend to the caller otherwise.
    let failure = stopped_by_owner();
    let report = link.report_failure(&task.task_id, failure.clone());
    let reported = tokio::time::timeout(limits::STOP_REPORT, report);
    tokio::select! {
        _ = &mut work => {}
        _ = reported => {}
    }
    Err(failure)
}

async fn run(
    link: &ServerLink,
    backends: &Arc<Backends>,
    task: &InferTask,
    tail: &Arc<ResponseTail>,
) -> Result<(), TaskFailure> {
    let backend = backends.find(&task.llm_name).ok_or_else(unpublished)?;
    let _slot = backends.begin(&backend).await.map_err(|refused| match refused {
        NoSlot::Busy => busy(),
        NoSlot::FallingAsleep => falling_asleep(),
    })?;
    let body = backend_request::body(link, backends, task).await?;
    let request = backend_request::build(backends.http(), &backend.provider(), task, body.bytes)?;
    let sent = acknowledge_if_slow(link, task, backends.client().send(request)).await?;
    // The backend has the body.
    drop(body.permit);
    let response = sent.map_err(|error| send_failure(backends, &backend, error))?;
    let response = RelayedResponse::new(response, Arc::clone(tail));
    uplink::send(link, &task.task_id, response).await
}

/// Waits for the backend's response. If it takes a while, acknowledges the task; a response
/// or a fetched body shows the server by itself that the task has arrived.
///
/// # Errors
/// The server does not want the task any more.
async fn acknowledge_if_slow<T>(
    link: &ServerLink,
    task: &InferTask,
    response: impl Future<Output = T>,
) -> Result<T, TaskFailure> {
    let mut response = std::pin::pin!(response);
    if !link.session.speaks_v2() || task.body_ref {
        return Ok(response.await);
    }
    let acknowledge = async {
        tokio::time::sleep(link.ack_after).await;
        link.mcpd.acknowledge(&link.session, &task.task_id).await
    };
    tokio::select! {
        response = &mut response => return Ok(response),
        acknowledged = acknowledge => {
            if acknowledged == Delivery::Unwanted {
                return Err(cancelled());
            }
        }
    }
    Ok(response.await)
}

/// Reports an unreachable backend to [`Backends`], too.
fn send_failure(backends: &Backends, backend: &Backend, error: SendError) -> TaskFailure {
    match error {
        SendError::Broken(cause) => {
            failure(FailureCode::BackendAborted, format!("the backend {cause}"))
        }
        SendError::Unreachable(cause) => {
            let message = format!("the backend {cause}");
            backends.mark_unreachable(backend, cause);
            failure(FailureCode::BackendUnreachable, message)
        }
    }
}

/// Wakes a backend and reports the result.
pub(crate) async fn wake(link: Arc<ServerLink>, backends: Arc<Backends>, task: WakeTask) {
    let woken = match backends.find(&task.llm_name) {
        Some(backend) => backends.wake(&backend).await.map_err(|error| {
            // The full cause quotes the publisher's recipe: it stays on this machine.
            failure(error.code, "the backend could not be woken")
        }),
        None => Err(unpublished()),
    };
    match woken {
        Err(failure) => link.report_failure(&task.task_id, failure).await,
        Ok(_) => {
            let result = TaskResult { ok: Some(true), ..TaskResult::default() };
            link.mcpd.result(&link.session, &task.task_id, &result).await;
        }
    }
}

/// Reports that the event of a task was too long to be read.
pub(crate) async fn report_too_long(link: Arc<ServerLink>, task: String, cause: String) {
    link.report_failure(&task, failure(FailureCode::RequestTooLarge, cause)).await;
}
