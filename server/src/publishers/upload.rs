//! A response that a publisher uploads: its head, its body, and how it ended.

use crate::auth::{self, Principal};
use crate::http::error::ApiError;
use crate::relay_driver::{ResponseHead, ResponseWriter};
use crate::state::App;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use relay::{AnswerEnd, TaskId, TaskRefusal};
use std::sync::Arc;

/// Reports to the relay how an upload ended. If the publisher's connection dies, the handler is
/// dropped, and with it this guard: then the response was aborted.
pub(super) struct UploadGuard {
    app: Arc<App>,
    task: TaskId,
    end: Option<AnswerEnd>,
}

impl UploadGuard {
    pub(super) fn new(app: &Arc<App>, task: TaskId) -> Self {
        Self { app: Arc::clone(app), task, end: Some(AnswerEnd::Aborted) }
    }

    /// Sets the end to report.
    pub(super) fn ended(&mut self, end: AnswerEnd) {
        self.end = Some(end);
    }

    /// Reports nothing: more requests follow.
    pub(super) fn continues(&mut self) {
        self.end = None;
    }
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            let task = self.task;
            self.app.relay.with(|relay, now, out| relay.answer_ended(task, end, now, out));
        }
    }
}

/// Forwards a whole body to the caller, only as fast as the caller reads it.
///
/// # Errors
/// 410 if no caller waits any more, 401 if the publisher's token was revoked, 400 if the upload
/// broke off.
pub(super) async fn forward(
    app: &App,
    principal: &Principal,
    mut response: ResponseWriter,
    mut body: Body,
    mut guard: UploadGuard,
) -> Result<StatusCode, ApiError> {
    loop {
        let frame = tokio::select! {
            biased;
            () = response.stopped() => {
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
        let is_end = data.is_none();
        if let Err(gone) = response.push(&app.relay, data).await {
            guard.ended(AnswerEnd::Stopped);
            return Err(gone.into());
        }
        if is_end {
            guard.ended(AnswerEnd::Complete);
            return Ok(StatusCode::NO_CONTENT);
        }
    }
}

/// The head of a response as the publisher's headers state it.
///
/// # Errors
/// 400 for a status that is none.
pub(crate) fn response_head(headers: &HeaderMap) -> Result<ResponseHead, ApiError> {
    let status = headers.get(wire::headers::STATUS).and_then(|v| v.to_str().ok());
    let status = status.map_or(Ok(200), str::parse).map_err(|_| bad_status())?;
    let mut passed = HeaderMap::new();
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        passed.insert(header::CONTENT_TYPE, kind.clone());
    }
    for (name, value) in headers {
        let name = name.as_str().strip_prefix(wire::headers::BACKEND_PREFIX);
        if let Some(name) = wire::headers::TO_CALLER.iter().find(|listed| name == Some(**listed)) {
            passed.append(HeaderName::from_static(name), value.clone());
        }
    }
    Ok(ResponseHead { status: checked_status(status)?, headers: passed, length: None })
}

/// A backend's status, if a response can have it.
///
/// # Errors
/// 400 outside 200 to 599.
pub(super) fn checked_status(status: u16) -> Result<StatusCode, ApiError> {
    let valid = StatusCode::from_u16(status).ok().filter(|s| (200..600).contains(&s.as_u16()));
    valid.ok_or_else(bad_status)
}

fn bad_status() -> ApiError {
    ApiError::invalid("the backend's status must be between 200 and 599", None)
}

/// A head with nothing but a status and a content type.
pub(super) fn head_of_type(status: StatusCode, kind: &'static str) -> ResponseHead {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    ResponseHead { status, headers, length: None }
}
