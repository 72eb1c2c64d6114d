//! What a publisher sends for one task: claim of the body, acknowledgement, and the answer, either
//! as one streamed upload (protocol 2) or as results. See [`super::chunked_upload`] for answers in several requests
//! and [`super::results`] for those of protocol 1.

use super::chunked_upload;
use crate::auth::{self, Principal};
use crate::http::body;
use crate::http::error::ApiError;
use crate::relay_driver::response::{Answer, AnswerHead};
use crate::state::App;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use relay::{AnswerEnd, TaskId, TaskRefusal, TaskSender};
use std::sync::Arc;
use wire::error::Code;

/// The task that a publisher's request names, and who names it.
pub(crate) struct Named {
    pub(super) principal: Principal,
    pub(super) from: TaskSender,
    pub(super) task: TaskId,
}

impl FromRequestParts<Arc<App>> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, app).await?;
        principal.require("publish")?;
        let Path(id) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| TaskRefusal::Unknown)?;
        let task = id.parse().map_err(|_| TaskRefusal::Unknown)?;
        let session = parts.headers.get(wire::headers::SESSION).and_then(|v| v.to_str().ok());
        let session = session.map(str::parse).transpose().map_err(|_| TaskRefusal::Unknown)?;
        let from = TaskSender { owner: principal.owner().id, session };
        Ok(Self { principal, from, task })
    }
}

/// `GET _provider-task/:id/request`: the body, which is also the acknowledgement.
pub(crate) async fn request(
    State(app): State<Arc<App>>,
    Named { from, task, .. }: Named,
) -> Result<Response, ApiError> {
    app.relay.with(|relay, now, _| relay.acknowledge(&from, task, now))?;
    let request = app.relay.request(task).ok_or(TaskRefusal::Gone)?;
    let kind = request.headers.get("content-type").and_then(|v| HeaderValue::from_str(v).ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
    Ok(([(header::CONTENT_TYPE, kind)], request.body.clone()).into_response())
}

/// `POST _provider-task/:id/ack`.
pub(crate) async fn ack(
    State(app): State<Arc<App>>,
    Named { from, task, .. }: Named,
) -> Result<StatusCode, ApiError> {
    app.relay.with(|relay, now, _| relay.acknowledge(&from, task, now))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST _provider-task/:id/response`: the backend's response body as it arrives, read only as fast
/// as the caller takes it; or one numbered piece of it.
pub(crate) async fn response(
    State(app): State<Arc<App>>,
    Named { principal, from, task }: Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut head = answer_head(&headers)?;
    if let Some(piece) = chunked_upload::Piece::of(&headers)? {
        // Whose task it is comes first: to everybody else it is one that is not there.
        app.relay.with(|relay, now, _| relay.acknowledge(&from, task, now))?;
        let data = body::read(&app, &principal, body, wire::limits::RESPONSE_PIECE).await?;
        return chunked_upload::take(&app, &from, task, head, piece, data).await;
    }
    let upload = app.relay.upload(task).ok_or(TaskRefusal::Unknown)?;
    app.relay.with(|relay, now, _| relay.answer_begins(&from, task, now))?;
    let guard = EndGuard::new(&app, task);
    head.length = body.size_hint().exact();
    let answer = Answer::new(task, head, upload);
    Ok(forward(&app, &principal, answer, body, guard).await?.into_response())
}

/// Reports how the upload ended. When the publisher's connection dies, the handler is dropped, and
/// with it this guard: then the answer was broken off.
pub(super) struct EndGuard {
    app: Arc<App>,
    pub(super) task: TaskId,
    end: Option<AnswerEnd>,
}

impl EndGuard {
    pub(super) fn new(app: &Arc<App>, task: TaskId) -> Self {
        Self { app: Arc::clone(app), task, end: Some(AnswerEnd::Aborted) }
    }

    pub(super) fn ended(&mut self, end: AnswerEnd) {
        self.end = Some(end);
    }

    /// More requests follow.
    pub(super) fn goes_on(&mut self) {
        self.end = None;
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            let task = self.task;
            self.app.relay.with(|relay, now, out| relay.answer_ended(task, end, now, out));
        }
    }
}

/// Forwards a body, piece by piece.
pub(super) async fn forward(
    app: &App,
    principal: &Principal,
    mut answer: Answer,
    mut body: Body,
    mut guard: EndGuard,
) -> Result<StatusCode, ApiError> {
    loop {
        let frame = tokio::select! {
            biased;
            () = answer.stopped() => {
                guard.ended(AnswerEnd::Stopped);
                return Err(TaskRefusal::Gone.into());
            }
            () = principal.alive.cancelled() => {
                return Err(ApiError::unauthorized(auth::REVOKED));
            }
            frame = body.frame() => frame,
        };
        let data = match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
            Some(Err(_broken)) => return Err(ApiError::invalid("the upload broke off", None)),
            Some(Ok(Err(_trailers))) => continue,
            Some(Ok(Ok(data))) if data.is_empty() => continue,
            Some(Ok(Ok(data))) => Some(data),
            None => None,
        };
        let ends = data.is_none();
        if let Err(gone) = answer.push(&app.relay, data).await {
            guard.ended(AnswerEnd::Stopped);
            return Err(gone.into());
        }
        if ends {
            guard.ended(AnswerEnd::Complete);
            return Ok(StatusCode::NO_CONTENT);
        }
    }
}

/// What a publisher's headers say of an answer.
pub(crate) fn answer_head(headers: &HeaderMap) -> Result<AnswerHead, ApiError> {
    let status = headers.get(wire::headers::STATUS).and_then(|v| v.to_str().ok());
    let status = status.map_or(Ok(200), str::parse).map_err(|_| bad_status())?;
    let mut out = HeaderMap::new();
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        out.insert(header::CONTENT_TYPE, kind.clone());
    }
    for (name, value) in headers {
        let name = name.as_str().strip_prefix(wire::headers::BACKEND_PREFIX);
        if let Some(name) = wire::headers::TO_CALLER.iter().find(|listed| name == Some(**listed)) {
            out.append(HeaderName::from_static(name), value.clone());
        }
    }
    Ok(AnswerHead { status: status_of(status)?, headers: out, length: None })
}

pub(super) fn status_of(status: u16) -> Result<StatusCode, ApiError> {
    let valid = StatusCode::from_u16(status).ok().filter(|s| (200..600).contains(&s.as_u16()));
    valid.ok_or_else(bad_status)
}

fn bad_status() -> ApiError {
    ApiError::invalid("the backend's status must be between 200 and 599", None)
}

pub(super) fn with_type(status: StatusCode, kind: &'static str) -> AnswerHead {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    AnswerHead { status, headers, length: None }
}

impl From<TaskRefusal> for ApiError {
    fn from(refusal: TaskRefusal) -> Self {
        let status = match refusal {
            TaskRefusal::Unknown => StatusCode::NOT_FOUND,
            TaskRefusal::Answered => StatusCode::CONFLICT,
            TaskRefusal::Gone => StatusCode::GONE,
        };
        Self::new(status, Code::NotFound, refusal.to_string())
    }
}
