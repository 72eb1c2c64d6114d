//! One task, from its frame to its last byte: the request goes to the backend with the backend's
//! own model id, the answer goes up as it arrives, byte for byte. Whoever stops waiting, the
//! backend's connection is dropped at once.

pub(crate) mod backend_request;
mod chunked_upload;
mod results;
mod token_usage;
mod upload;

use crate::backends::{Backend, BackendResponse, Backends, NoSlot, SendError};
use crate::client::{Delivery, Mcpd, SessionRef};
use crate::limits;
use crate::running_tasks::{Outcome, Stop};
use reqwest::header::{self, HeaderMap, HeaderName};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use token_usage::Tail;
use wire::control::{InferTask, WakeTask};
use wire::headers;
use wire::publisher::{FailureCode, TaskFailure, TaskOutcome, TaskResult};

/// The way back to mcpd for the tasks of one registration.
pub(crate) struct ServerLink {
    pub(crate) mcpd: Mcpd,
    pub(crate) session: SessionRef,
    /// A proxy holds uploads back until they end: send each answer in pieces.
    pub(crate) chunked: AtomicBool,
    /// See [`crate::limits::Times::ack_after`].
    pub(crate) ack_after: Duration,
    /// What the log says of the server's mistakes.
    pub(crate) log_budget: LogBudget,
}

/// Lines that may still be logged of one registration: a server must not fill the log.
pub(crate) struct LogBudget(AtomicUsize);

impl Default for LogBudget {
    fn default() -> Self {
        Self(AtomicUsize::new(limits::COMPLAINTS))
    }
}

impl LogBudget {
    /// Logs it, unless there were too many.
    pub(crate) fn log(&self, what: impl FnOnce()) {
        let one_less = |left: usize| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(1) => {
                what();
                tracing::warn!("further such lines are left out until the next registration");
            }
            Ok(_) => what(),
            Err(_) => {}
        }
    }
}

impl ServerLink {
    /// Whether the server speaks protocol 2.
    fn is_current(&self) -> bool {
        self.session.epoch.is_some()
    }

    async fn fail(&self, task: &str, failure: TaskFailure) {
        let result = TaskResult { error: Some(failure), ..TaskResult::default() };
        self.mcpd.result(&self.session, task, &result).await;
    }
}

/// Runs a request and reports how it ended.
pub(crate) async fn infer(
    link: Arc<ServerLink>,
    backends: Arc<Backends>,
    task: InferTask,
    stop: Stop,
) -> Outcome {
    let tail = Arc::new(Tail::default());
    let failure = match run(&link, &backends, &task, &stop, &tail).await {
        Ok(()) => {
            let outcome = TaskOutcome::Done;
            return Outcome { outcome, tokens: tail.tokens(), cause: None };
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
            let word = outcome.as_str();
            tracing::debug!(task = id, llm, word, "the task did not complete");
        }
    }
    // The server may be slow to take the report, and the request is large.
    drop(task);
    if !by_owner {
        link.fail(&id, failure).await;
    }
    Outcome { outcome, tokens: tail.tokens(), cause }
}

/// Works until the end, or until somebody stops it. Dropping the work drops the backend's
/// connection: that comes before any report.
async fn run(
    link: &ServerLink,
    backends: &Arc<Backends>,
    task: &InferTask,
    stop: &Stop,
    tail: &Arc<Tail>,
) -> Result<(), TaskFailure> {
    let work = async {
        let backend = backends.find(&task.llm_name).ok_or_else(unpublished)?;
        let running = backends.begin(&backend).await;
        let _running = running.map_err(|refused| match refused {
            NoSlot::Busy => busy(),
            NoSlot::FallingAsleep => falling_asleep(),
        })?;
        relay(link, backends, &backend, task, tail).await
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = stop.unwanted.cancelled() => return Err(cancelled()),
        () = stop.by_owner.cancelled() => {}
    }
    // The server hears why before the answer breaks off: otherwise it would tell the caller that
    // the backend broke.
    let failure = failure(FailureCode::StoppedByOwner, "the owner stopped the request".into());
    let told = tokio::time::timeout(limits::STOP_TOLD, link.fail(&task.task_id, failure.clone()));
    tokio::select! {
        _ = &mut work => {}
        _ = told => {}
    }
    Err(failure)
}

async fn relay(
    link: &ServerLink,
    backends: &Backends,
    backend: &Backend,
    task: &InferTask,
    tail: &Arc<Tail>,
) -> Result<(), TaskFailure> {
    let body = backend_request::body(link, backends, task).await?;
    let request = backend_request::build(backends.http(), &backend.provider(), task, body.bytes)?;
    let asked = acknowledged(link, task, backends.client().send(request)).await?;
    // The backend has the body.
    drop(body.room);
    let answer = asked.map_err(|unanswered| match unanswered {
        SendError::Broken(why) => {
            failure(FailureCode::BackendAborted, format!("the backend {why}"))
        }
        SendError::Unreachable(why) => {
            let message = format!("the backend {why}");
            backends.unreachable(backend, why);
            failure(FailureCode::BackendUnreachable, message)
        }
    })?;
    if !link.is_current() {
        return results::deliver(link, &task.task_id, answer, tail).await;
    }
    let head = head(&answer);
    if link.chunked.load(Ordering::Relaxed) {
        return chunked_upload::deliver(link, &task.task_id, head, answer, tail).await;
    }
    upload::deliver(link, &task.task_id, head, answer, Arc::clone(tail)).await
}

/// Waits for the backend. When it takes a while, the server hears that the task is here; an answer
/// says so by itself, and so does a body that was fetched.
async fn acknowledged<T>(
    link: &ServerLink,
    task: &InferTask,
    answer: impl Future<Output = T>,
) -> Result<T, TaskFailure> {
    let mut answer = std::pin::pin!(answer);
    if !link.is_current() || task.body_ref {
        return Ok(answer.await);
    }
    let told = async {
        tokio::time::sleep(link.ack_after).await;
        link.mcpd.acknowledge(&link.session, &task.task_id).await
    };
    tokio::select! {
        answer = &mut answer => return Ok(answer),
        told = told => if told == Delivery::Unwanted { return Err(cancelled()) },
    }
    Ok(answer.await)
}

/// Status and headers of the backend's answer, as they travel on the upload.
fn head(answer: &BackendResponse) -> HeaderMap {
    let mut head = HeaderMap::new();
    head.insert(HeaderName::from_static(headers::STATUS), answer.status.as_u16().into());
    if let Some(kind) = answer.headers.get(header::CONTENT_TYPE) {
        head.insert(header::CONTENT_TYPE, kind.clone());
    }
    for (name, value) in &answer.headers {
        if headers::TO_CALLER.contains(&name.as_str())
            && let Ok(prefixed) = format!("{}{name}", headers::BACKEND_PREFIX).try_into()
        {
            head.append::<HeaderName>(prefixed, value.clone());
        }
    }
    head
}

/// Runs a wake and reports how it ended.
pub(crate) async fn wake(link: Arc<ServerLink>, backends: Arc<Backends>, task: WakeTask) {
    let woken = match backends.find(&task.llm_name) {
        Some(backend) => backends.wake(&backend).await.map_err(|error| {
            // The full cause quotes the owner's recipe: it stays on this machine.
            failure(error.code, "the backend could not be woken".into())
        }),
        None => Err(unpublished()),
    };
    match woken {
        Err(failure) => link.fail(&task.task_id, failure).await,
        Ok(_took) => {
            let result = TaskResult { ok: Some(true), ..TaskResult::default() };
            link.mcpd.result(&link.session, &task.task_id, &result).await;
        }
    }
}

/// Reports that a task's event was left out because it was too long.
pub(crate) async fn left_out(link: Arc<ServerLink>, task: String, why: String) {
    link.fail(&task, failure(FailureCode::RequestTooLarge, why)).await;
}

/// What became of a part of the answer, or of all of it.
fn taken(delivery: Delivery) -> Result<(), TaskFailure> {
    match delivery {
        Delivery::Delivered => Ok(()),
        Delivery::Unwanted => Err(cancelled()),
        Delivery::Broken(why) => {
            let message = format!("the answer did not arrive at the server: {why}");
            Err(failure(FailureCode::PublisherLost, message))
        }
    }
}

fn broke_off() -> TaskFailure {
    failure(FailureCode::BackendAborted, "the backend broke off".into())
}

fn failure(code: FailureCode, message: String) -> TaskFailure {
    TaskFailure { message, code: Some(code) }
}

fn cancelled() -> TaskFailure {
    failure(FailureCode::Cancelled, "the request was stopped".into())
}

fn busy() -> TaskFailure {
    let message = "as many requests run and wait for this model as its owner allows";
    failure(FailureCode::QueueFull, message.into())
}

/// The server wakes it again, where its owner has a recipe for that.
fn falling_asleep() -> TaskFailure {
    failure(FailureCode::BackendUnreachable, "the backend is being put to sleep".into())
}

fn unpublished() -> TaskFailure {
    failure(FailureCode::Unpublished, "its owner does not publish this model any more".into())
}
