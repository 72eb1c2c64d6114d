//! The caller's request as the backend gets it. The server that sends it is not trusted: what cannot be
//! rewritten to the published model, or asks for anything but a relayed endpoint, is refused.

use super::{ServerLink, cancelled, failure};
use crate::backends::Backends;
use crate::client::Delivery;
use crate::config::ProviderConfig;
use crate::http_clients::{self, Unread};
use crate::{limits, provider};
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use wire::control::InferTask;
use wire::limits::BODY;
use wire::publisher::{FailureCode, TaskFailure};
use wire::{headers, paths};

/// A request's body.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    /// Its share of what all fetched bodies may take.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// The body out of the frame, or fetched.
pub(super) async fn body(
    link: &ServerLink,
    backends: &Backends,
    task: &InferTask,
) -> Result<Body, TaskFailure> {
    if let Some(request) = &task.request {
        let bytes = Bytes::copy_from_slice(request.get().as_bytes());
        return Ok(Body { bytes, room: None });
    }
    if !task.body_ref {
        return Err(refused("it has no body"));
    }
    let fetching = fetch(link, backends, task);
    let fetched = tokio::time::timeout(limits::CLAIM, fetching).await;
    fetched.unwrap_or_else(|_| Err(unfetched("it took too long")))
}

async fn fetch(
    link: &ServerLink,
    backends: &Backends,
    task: &InferTask,
) -> Result<Body, TaskFailure> {
    let claimed = link.mcpd.claim(&link.session, &task.task_id).await;
    let response = claimed.map_err(|delivery| match delivery {
        Delivery::Unwanted => cancelled(),
        Delivery::Delivered => unfetched("no answer"),
        Delivery::Broken(why) => unfetched(&why),
    })?;
    let announced = announced(&response).ok_or_else(too_large)?;
    let room = backends.room_for_body(announced).await;
    let bytes =
        http_clients::bounded(response, announced).await.map_err(|unread| match unread {
            Unread::TooLong(_) => too_large(),
            Unread::Broken(why) => unfetched(&why),
        })?;
    Ok(Body { bytes: bytes.into(), room })
}

/// The most bytes that the body can have; none when that is more than a request may have.
fn announced(response: &Response) -> Option<usize> {
    let Some(length) = response.content_length() else {
        return Some(BODY);
    };
    usize::try_from(length).ok().filter(|length| *length <= BODY)
}

/// The request for the backend. Of the headers only the listed ones pass, so that no credentials of a
/// caller ever reach a backend.
pub(crate) fn build(
    http: &Client,
    provider: &ProviderConfig,
    task: &InferTask,
    body: Bytes,
) -> Result<Request, TaskFailure> {
    let asked = task.path.as_deref().unwrap_or(paths::RELAYED[0]);
    let path = paths::RELAYED.iter().find(|path| **path == asked);
    let path = path.ok_or_else(|| refused("its path is not relayed"))?;
    if task.method.as_deref().is_some_and(|method| method != "POST") {
        return Err(refused("its method is not POST"));
    }
    let mut out = HeaderMap::new();
    for name in headers::TO_BACKEND {
        let value = task.headers.get(*name).and_then(|v| HeaderValue::from_str(v).ok());
        if let Some(value) = value {
            out.insert(HeaderName::from_static(name), value);
        }
    }
    out.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    // Its reason may quote the body, and this one goes into the log.
    let body = wire::body::with_model(&body, provider::model(provider))
        .map_err(|_| refused("its body is no JSON object in which the model can be replaced"))?;
    let request = http.request(Method::POST, provider::endpoint(provider, path));
    let request = provider::authorize(provider, request.headers(out).body(body)).map_err(|_| {
        let message = "the backend's key is not set on its owner's machine";
        failure(FailureCode::BackendUnreachable, message.into())
    })?;
    request.build().map_err(|_| refused("it cannot be sent on"))
}

fn refused(why: &str) -> TaskFailure {
    failure(FailureCode::InvalidRequest, format!("the publisher refused the request: {why}"))
}

fn too_large() -> TaskFailure {
    failure(FailureCode::RequestTooLarge, format!("the request has more than {BODY} bytes"))
}

fn unfetched(why: &str) -> TaskFailure {
    failure(FailureCode::PublisherLost, format!("the request could not be fetched: {why}"))
}
