//! One task, from its frame to its last byte: the request goes to the backend with the backend's own
//! model id, the response goes up as it arrives, byte for byte. As soon as a task is cancelled, its
//! connection to the backend is closed.

pub(crate) mod backend_request;

use crate::backends::{Backend, Backends, NoSlot, SendError};
use crate::protocol1;
use crate::relayed_response::{RelayedResponse, ResponseTail};
use crate::running_tasks::{Stop, TaskEnd};
use crate::server_link::ServerLink;
use crate::task_failure::{
    busy, cancelled, failure, falling_asleep, stopped_by_owner, unpublished,
};
use crate::uplink::Answers;
use std::sync::Arc;
use wire::control::{InferTask, WakeTask};
use wire::publisher::{FailureCode, TaskFailure, TaskOutcome, TaskResult};

/// How the answer of a task goes up.
pub(crate) enum Route {
    /// With all others, under this number.
    Uplink(Arc<Answers>, u128),
    /// As results of protocol 1.
    Results,
}

/// Runs a request. A failure is reported here to a protocol-1 server, and with the returned end to any
/// other.
pub(crate) async fn infer(
    link: Arc<ServerLink>,
    backends: Arc<Backends>,
    route: Route,
    task: InferTask,
    stop: Stop,
) -> TaskEnd {
    let tail = Arc::new(ResponseTail::default());
    let failure = match run_until_stopped(&link, &backends, &route, &task, &stop, &tail).await {
        Ok(()) => {
            let (outcome, tokens) = (TaskOutcome::Done, tail.tokens());
            return TaskEnd { outcome, tokens, cause: None, report: None };
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
    let mut report = None;
    match route {
        Route::Uplink(..) => report = Some(failure),
        Route::Results if by_owner => {}
        Route::Results => link.report_failure(&id, failure).await,
    }
    TaskEnd { outcome, tokens: tail.tokens(), cause, report }
}

/// Runs a request until its end or until it is stopped. The connection to the backend is closed
/// before anything is reported, because that drops the work.
async fn run_until_stopped(
    link: &ServerLink,
    backends: &Arc<Backends>,
    route: &Route,
    task: &InferTask,
    stop: &Stop,
    tail: &Arc<ResponseTail>,
) -> Result<(), TaskFailure> {
    let mut work = std::pin::pin!(run(link, backends, route, task, tail));
    tokio::select! {
        done = &mut work => return done,
        () = stop.unwanted.cancelled() => return Err(cancelled()),
        () = stop.by_owner.cancelled() => {}
    }
    if matches!(route, Route::Results) {
        protocol1::report_stop(link, &task.task_id, work).await;
    }
    Err(stopped_by_owner())
}

async fn run(
    link: &ServerLink,
    backends: &Arc<Backends>,
    route: &Route,
    task: &InferTask,
    tail: &Arc<ResponseTail>,
) -> Result<(), TaskFailure> {
    let backend = backends.find(&task.llm_name).ok_or_else(unpublished)?;
    let _slot = backends.begin(&backend).await.map_err(|refused| match refused {
        NoSlot::Busy => busy(),
        NoSlot::FallingAsleep => falling_asleep(),
    })?;
    let body = backend_request::body(link, backends, task).await?;
    let request = backend_request::build(&backend.target(), task, &body.bytes)?;
    let sent = backends.client().send(&request).await;
    drop(request);
    // The backend has the body.
    drop(body.permit);
    let response = sent.map_err(|error| send_failure(backends, &backend, error))?;
    let response = RelayedResponse::new(response, Arc::clone(tail));
    match route {
        Route::Uplink(answers, answer) => answers.relay(*answer, response).await,
        Route::Results => protocol1::send_results(link, &task.task_id, response).await,
    }
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
