//! The caller's request as the backend gets it. The server that sends it is not trusted: a request is
//! refused if it asks for anything but a relayed endpoint, or if its model cannot be replaced by the
//! published one.

use crate::backends::{BackendRequest, Backends, Target};
use crate::mcpd_client::Delivery;
use crate::server_link::ServerLink;
use crate::task_failure::{cancelled, failure};
use crate::{limits, provider};
use bytes::Bytes;
use client::response::{self, BodyError};
use reqwest::Response;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wire::body::{Format, with_model};
use wire::control::InferTask;
use wire::limits::BODY;
use wire::publisher::{FailureCode, TaskFailure};
use wire::{headers, paths};

/// Headers of most requests to a backend.
const HEADERS: usize = 6;

/// The body of a request.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    /// Its part of the memory for fetched bodies.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Takes the body from the frame, or fetches it.
///
/// # Errors
/// There is none, it is too large, it could not be fetched in time, or it is not wanted any more.
pub(super) async fn body(
    link: &ServerLink,
    backends: &Backends,
    task: &InferTask,
) -> Result<Body, TaskFailure> {
    if let Some(request) = &task.request {
        let bytes = Bytes::copy_from_slice(request.get().as_bytes());
        return Ok(Body { bytes, permit: None });
    }
    if !task.body_ref {
        return Err(refused("it has no body"));
    }
    let fetch = fetch(link, backends, task);
    let fetched = tokio::time::timeout(limits::FETCH, fetch).await;
    fetched.unwrap_or_else(|_| Err(not_fetched("it took too long")))
}

async fn fetch(
    link: &ServerLink,
    backends: &Backends,
    task: &InferTask,
) -> Result<Body, TaskFailure> {
    let response = link.mcpd.claim(&link.session, &task.task_id).await;
    let response = response.map_err(|delivery| match delivery {
        Delivery::Unwanted => cancelled(),
        Delivery::Delivered => not_fetched("no answer"),
        Delivery::Broken(cause) => not_fetched(&cause),
    })?;
    let max = announced_length(&response).ok_or_else(too_large)?;
    let permit = backends.reserve_body(max).await;
    let bytes = response::read_body(response, max).await.map_err(|unread| match unread {
        BodyError::TooLong(_) => too_large(),
        BodyError::Broken(cause) => not_fetched(&cause),
    })?;
    Ok(Body { bytes: bytes.into(), permit })
}

/// The largest number of bytes that the body can have; `None` if a request may not be that large.
fn announced_length(response: &Response) -> Option<usize> {
    let Some(length) = response.content_length() else {
        return Some(BODY);
    };
    usize::try_from(length).ok().filter(|length| *length <= BODY)
}

/// Builds the request for the backend. Only the listed headers pass, so that credentials of a caller
/// never reach a backend.
///
/// # Errors
/// The endpoint is not relayed, the method is not POST, the body is no JSON object or form with one
/// model, or the backend's key is not set.
pub(crate) fn build(
    target: &Target,
    task: &InferTask,
    body: &Bytes,
) -> Result<BackendRequest, TaskFailure> {
    let requested = task.path.as_deref().unwrap_or(paths::RELAYED[0]);
    let endpoint = target.endpoint(requested);
    let endpoint = endpoint.ok_or_else(|| refused("its path is not relayed"))?;
    if task.method.as_deref().is_some_and(|method| method != "POST") {
        return Err(refused("its method is not POST"));
    }
    let mut passed = HeaderMap::with_capacity(HEADERS);
    for (name, value) in &task.headers {
        if let Some(name) = headers::TO_BACKEND.iter().find(|known| *known == name)
            && let Ok(value) = HeaderValue::from_str(value)
        {
            passed.insert(HeaderName::from_static(name), value);
        }
    }
    let json = HeaderValue::from_static("application/json");
    let content_type = passed.entry(header::CONTENT_TYPE).or_insert(json).to_str().ok();
    let format = Format::of(requested, content_type);
    // The errors may quote the request, and the message goes into the log.
    let format = format.map_err(|_| refused("its content type is not that of a relayed body"))?;
    let provider = &target.provider;
    let body = with_model(&format, body, provider::model(provider)).map_err(|_| {
        refused("its body is no JSON object and no form in which the model can be replaced")
    })?;
    provider::add_key(provider, &mut passed).map_err(|_| {
        let message = "the backend's key is not set on its owner's machine";
        failure(FailureCode::BackendUnreachable, message)
    })?;
    Ok(BackendRequest { endpoint: Arc::clone(endpoint), headers: passed, body })
}

fn refused(cause: &str) -> TaskFailure {
    failure(FailureCode::InvalidRequest, format!("the publisher refused the request: {cause}"))
}

fn too_large() -> TaskFailure {
    failure(FailureCode::RequestTooLarge, format!("the request has more than {BODY} bytes"))
}

fn not_fetched(cause: &str) -> TaskFailure {
    failure(FailureCode::PublisherLost, format!("the request could not be fetched: {cause}"))
}
