//! The caller's side: one handler relays every inference endpoint as bytes.

mod dialect;
mod stream;

use crate::auth::Principal;
use crate::body;
use crate::driver::answer::AnswerHead;
use crate::driver::{CallerEvent, CallerRequest, Waiting};
use crate::error::ApiError;
use crate::state::{App, Times};
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use bytes::Bytes;
use dialect::Dialect;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use relay::Submit;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::Relayed;

/// `POST` of one of [`wire::paths::RELAYED`]: `model` in the body selects the LLM.
pub(crate) async fn relayed(
    State(app): State<Arc<App>>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read(&app, &principal, body).await?;
    let head = wire::body::head(&body).map_err(|why| ApiError::invalid(why, None))?;
    let Some(model) = head.model else {
        let message = "`model` is missing; it names the LLM to call, see /v1/models";
        return Err(ApiError::invalid(message, Some("model")));
    };
    relay(&app, principal, uri.path(), model, head.stream, &headers, body).await
}

/// `POST /api/v1/llms/:name/infer`: an OpenAI chat body for the LLM that the path names.
pub(crate) async fn infer(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Some(name) = path.strip_suffix("/infer") else {
        return Err(ApiError::not_found("there is no such endpoint"));
    };
    let body = read(&app, &principal, body).await?;
    let head = wire::body::head(&body).map_err(|why| ApiError::invalid(why, None))?;
    relay(&app, principal, "/v1/chat/completions", name.to_owned(), head.stream, &headers, body)
        .await
}

/// The body, after the key's right to call anything at all has been checked.
async fn read(app: &App, principal: &Principal, body: Body) -> Result<Bytes, ApiError> {
    if principal.allowed().is_none() {
        return Err(ApiError::forbidden("infer"));
    }
    if app.is_draining() {
        return Err(ApiError::shutting_down());
    }
    let body = body::read(body, wire::limits::BODY, app.times.body_idle).await?;
    if std::str::from_utf8(&body).is_err() {
        return Err(ApiError::invalid("the body is not UTF-8", None));
    }
    Ok(body)
}

async fn relay(
    app: &Arc<App>,
    principal: Principal,
    path: &str,
    name: String,
    streaming: bool,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Some(allowed) = principal.allowed() else {
        return Err(ApiError::forbidden("infer"));
    };
    let keepalive = headers.get(wire::headers::KEEPALIVE).is_none_or(|v| v != "off");
    let submit =
        Submit { name, key: principal.info.id.clone(), allowed, streaming, notices: keepalive };
    let request = CallerRequest {
        path: path.to_owned(),
        headers: to_backend(headers),
        body,
        streaming,
        user: principal.info.user.clone(),
    };
    let waiting = app.driver.submit(request, &submit)?;
    answer(waiting, principal, Dialect::of(path), app.times).await
}

/// Waits for the first thing that the caller must be told.
async fn answer(
    mut waiting: Waiting,
    principal: Principal,
    dialect: Dialect,
    times: Times,
) -> Result<Response, ApiError> {
    let event = tokio::select! {
        event = waiting.events.recv() => event,
        () = principal.alive.cancelled() => {
            waiting.guard.leave(relay::GoneReason::Revoked);
            return Err(ApiError::unauthorized("this key was revoked while the request waited"));
        }
    };
    match event {
        Some(CallerEvent::Answer(head, reader)) => {
            let relayed = Relayed::new(waiting, principal, dialect, times);
            let (body, length) = relayed.answering(&head, reader);
            let mut response = with_head(head, body);
            if let Some(length) = length {
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            }
            Ok(response)
        }
        Some(CallerEvent::Notice(notice)) => {
            let relayed = Relayed::new(waiting, principal, dialect, times);
            Ok(with_head(event_stream(), relayed.noticed(notice)))
        }
        Some(CallerEvent::Fail(failure)) => {
            waiting.guard.disarm();
            Err(failure.into())
        }
        None => Err(ApiError::internal("a task was forgotten before its end")),
    }
}

fn with_head(head: AnswerHead, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    // A proxy in front must pass tokens on as they come.
    let buffering = http::HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(buffering, HeaderValue::from_static("no"));
    response
}

fn event_stream() -> AnswerHead {
    let kind = HeaderValue::from_static("text/event-stream");
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]);
    AnswerHead { status: StatusCode::OK, headers, length: None }
}

fn to_backend(headers: &HeaderMap) -> BTreeMap<String, String> {
    let listed = wire::headers::TO_BACKEND.iter();
    let present = listed.filter_map(|name| {
        Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned()))
    });
    present.collect()
}
