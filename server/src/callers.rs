//! The caller's side: one handler relays every inference endpoint as bytes.

mod dialect;
mod stream;

use crate::auth::Principal;
use crate::http::body::Reading;
use crate::http::connection::Connection;
use crate::http::error::ApiError;
use crate::relay_driver::response::AnswerHead;
use crate::relay_driver::{CallerEvent, CallerRequest, Waiting};
use crate::state::{App, Times};
use axum::Extension;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use bytes::Bytes;
use dialect::Dialect;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use relay::{Allowed, Submit};
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::Relayed;
use wire::body::{Head, Scanner};
use wire::error::Code;
use wire::limits::{FORWARDED_HEADER, FORWARDED_HEADERS};

/// `POST` of one of [`wire::paths::RELAYED`]: `model` in the body selects the LLM.
pub(crate) async fn relayed(
    State(app): State<Arc<App>>,
    principal: Principal,
    Extension(connection): Extension<Arc<Connection>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let call = Call::new(app, principal, connection, uri.path(), &headers)?;
    let (head, body) = call.read(body, None).await?;
    let Some(model) = head.model else {
        let message = "`model` is missing; it names the LLM to call, see /v1/models";
        return Err(ApiError::invalid(message, Some("model")));
    };
    call.relay(model, head.stream, body).await
}

/// `POST /api/v1/llms/:name/infer`: an OpenAI chat body for the LLM that the path names.
pub(crate) async fn infer(
    State(app): State<Arc<App>>,
    principal: Principal,
    Extension(connection): Extension<Arc<Connection>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Some(name) = path.strip_suffix("/infer") else {
        return Err(ApiError::no_such_endpoint("POST", &format!("{}/{path}", wire::paths::LLMS)));
    };
    let call = Call::new(app, principal, connection, "/v1/chat/completions", &headers)?;
    let (head, body) = call.read(body, Some(name)).await?;
    call.relay(name.to_owned(), head.stream, body).await
}

/// A caller's request whose body has not been read yet.
struct Call {
    app: Arc<App>,
    principal: Principal,
    connection: Arc<Connection>,
    allowed: Allowed,
    path: String,
    headers: BTreeMap<String, String>,
    notices: bool,
}

impl Call {
    /// Refuses what needs no body to be refused.
    fn new(
        app: Arc<App>,
        principal: Principal,
        connection: Arc<Connection>,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        let Some(allowed) = principal.allowed() else {
            return Err(ApiError::forbidden("infer"));
        };
        if app.is_draining() {
            return Err(ApiError::shutting_down());
        }
        let notices = headers.get(wire::headers::KEEPALIVE).is_none_or(|v| v != "off");
        let (path, headers) = (path.to_owned(), to_backend(headers)?);
        Ok(Self { app, principal, connection, allowed, path, headers, notices })
    }

    /// The body, and what of it the relay must know. As soon as it is known which model is wanted,
    /// the rest is read only for a request that can be taken.
    async fn read(&self, body: Body, name: Option<&str>) -> Result<(Head, Bytes), ApiError> {
        let mut reading = Reading::of(&self.app, &self.principal, body, wire::limits::BODY)?;
        let mut is_checked = name.is_some();
        if let Some(name) = name {
            self.check(name)?;
        }
        let mut scanner = Scanner::default();
        while let Some(piece) = reading.next().await? {
            scanner.feed(piece).map_err(|why| ApiError::invalid(why, None))?;
            if let Some(model) = scanner.model().filter(|_| !is_checked && !reading.is_at_end()) {
                is_checked = true;
                self.check(model)?;
            }
        }
        let scan = scanner.finish().map_err(|why| ApiError::invalid(why, None))?;
        Ok((scan.head, reading.whole()))
    }

    fn check(&self, name: &str) -> Result<(), ApiError> {
        Ok(self.app.relay.check(&self.submit(name.to_owned(), false))?)
    }

    fn submit(&self, name: String, streaming: bool) -> Submit {
        Submit {
            name,
            key: self.principal.info.id.clone(),
            allowed: self.allowed.clone(),
            streaming,
            notices: self.notices,
        }
    }

    async fn relay(self, name: String, streaming: bool, body: Bytes) -> Result<Response, ApiError> {
        let submit = self.submit(name, streaming);
        let user = self.principal.info.user.clone();
        let dialect = Dialect::of(&self.path);
        let request =
            CallerRequest { path: self.path, headers: self.headers, body, streaming, user };
        let waiting = self.app.relay.submit(request, &submit)?;
        let answer = Answering {
            principal: self.principal,
            connection: self.connection,
            dialect,
            times: self.app.times,
        };
        answer.wait(waiting).await
    }
}

/// Who waits for an answer, and how it must be told.
struct Answering {
    principal: Principal,
    connection: Arc<Connection>,
    dialect: Dialect,
    times: Times,
}

impl Answering {
    /// Waits for the first thing that the caller must be told.
    async fn wait(self, mut waiting: Waiting) -> Result<Response, ApiError> {
        let event = tokio::select! {
            event = waiting.events.recv() => event,
            () = self.principal.alive.cancelled() => {
                waiting.guard.leave(relay::GoneReason::Revoked);
                let message = "this key was revoked while the request waited";
                return Err(ApiError::unauthorized(message));
            }
        };
        match event {
            Some(CallerEvent::Answer(head, reader)) => {
                let (body, length) = self.relayed(waiting).answering(&head, reader);
                let mut response = with_head(head, body);
                if let Some(length) = length {
                    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                }
                Ok(response)
            }
            Some(CallerEvent::Notice(notice)) => {
                Ok(with_head(event_stream(), self.relayed(waiting).noticed(notice)))
            }
            Some(CallerEvent::Fail(failure)) => {
                waiting.guard.disarm();
                Err(failure.into())
            }
            None => Err(ApiError::internal("a task was forgotten before its end")),
        }
    }

    fn relayed(self, waiting: Waiting) -> Relayed {
        Relayed::new(waiting, self.principal, self.dialect, self.times, self.connection.answers())
    }
}

fn with_head(head: AnswerHead, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    // A proxy in front must pass tokens on as they come, and what a publisher has written is never
    // a page with rights of its own.
    for (name, value) in
        [("x-accel-buffering", "no"), ("content-security-policy", "default-src 'none'; sandbox")]
    {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
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

/// The headers that are passed on.
///
/// # Errors
/// 431, naming the header that is too long.
fn to_backend(headers: &HeaderMap) -> Result<BTreeMap<String, String>, ApiError> {
    let (mut passed, mut bytes) = (BTreeMap::new(), 0);
    for name in wire::headers::TO_BACKEND {
        let Some(value) = headers.get(*name).and_then(|value| value.to_str().ok()) else {
            continue;
        };
        let length = name.len() + value.len();
        bytes += length;
        let why = if length > FORWARDED_HEADER {
            format!(
                "the header {name} has {length} bytes, and at most {FORWARDED_HEADER} are passed on"
            )
        } else if bytes > FORWARDED_HEADERS {
            format!(
                "the headers that are passed on have more than {FORWARDED_HEADERS} bytes with {name}"
            )
        } else {
            passed.insert((*name).to_owned(), value.to_owned());
            continue;
        };
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(ApiError::new(status, Code::HeaderTooLarge, format!("{why}; shorten it")));
    }
    Ok(passed)
}
