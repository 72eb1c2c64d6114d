//! Errors that mcpd itself returns over HTTP, and their three shapes.
//!
//! A handler returns [`ApiError`] with a status, a stable code, and a sentence with what failed,
//! why, and what to do. The shape is chosen by path in [`super::format_errors`]. Failures inside
//! mcpd are [`ApiError::internal`]: their cause goes to the log, not to the caller. A backend's own
//! errors are responses and never become an [`ApiError`].

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use relay::{Failure, SubmitRefusal};
use serde_json::json;
use wire::error::{Code, ErrorBody, ErrorDetail, Problem};

/// An error on its way to the client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Why, for programs.
    pub(crate) code: Code,
    /// Names the failure, its cause and the remedy.
    pub(crate) message: String,
    /// The field at fault.
    pub(crate) param: Option<&'static str>,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
}

impl ApiError {
    /// An error with this status, code and message.
    #[must_use]
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, retry_after: None }
    }

    /// 400, naming the field at fault if there is one.
    #[must_use]
    pub(crate) fn invalid(message: impl Into<String>, param: Option<&'static str>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, Code::InvalidRequest, message);
        Self { param, ..error }
    }

    /// 401 for a missing, unknown, revoked or expired key.
    #[must_use]
    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::InvalidApiKey, message)
    }

    /// 403 for a missing scope.
    #[must_use]
    pub(crate) fn forbidden(scope: &str) -> Self {
        let message =
            format!("this key lacks the scope `{scope}`; ask an admin for one that has it");
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
    }

    /// 404 for an object that does not exist.
    #[must_use]
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, message)
    }

    /// 404 for a path that mcpd does not have.
    #[must_use]
    pub(crate) fn no_such_endpoint(method: &str, path: &str) -> Self {
        let path: String = path.chars().take(wire::limits::TEXT).collect();
        let message = format!(
            "there is no such endpoint here: {method} {path}; {} lists those that there are",
            wire::paths::OPENAPI
        );
        Self::new(StatusCode::NOT_FOUND, Code::NoSuchEndpoint, message)
    }

    /// 503 while the server drains.
    #[must_use]
    pub(crate) fn shutting_down() -> Self {
        let message = "mcpd is shutting down; try again in a moment";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let error = Self::new(status, Code::ServerShutdown, message);
        Self { retry_after: Some(5), ..error }
    }

    /// 413 for a request body above the limit, in bytes.
    #[must_use]
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("a request body may have at most {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::RequestTooLarge, message)
    }

    /// 500; the cause is logged and not shown to the client.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed inside mcpd");
        let message = "mcpd failed inside; its log has the cause. Try again.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, message)
    }

    /// OpenAI's error `type` for the status.
    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            status if status < 500 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The body in OpenAI's shape.
    #[must_use]
    pub(crate) fn openai(&self) -> String {
        let error = ErrorDetail {
            message: self.message.clone(),
            kind: self.kind().into(),
            param: self.param.map(Into::into),
            code: self.code,
        };
        to_text(&ErrorBody { error })
    }

    /// The body in Anthropic's shape.
    #[must_use]
    pub(crate) fn anthropic(&self) -> String {
        let kind = match (self.status.as_u16(), self.kind()) {
            (413, _) => "request_too_large",
            (503, _) => "overloaded_error",
            (_, "server_error") => "api_error",
            (_, kind) => kind,
        };
        let error = json!({"type": kind, "message": self.message, "code": self.code});
        to_text(&json!({"type": "error", "error": error}))
    }

    /// The body as problem details (RFC 9457).
    #[must_use]
    pub(crate) fn problem(&self) -> String {
        to_text(&Problem {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail: self.message.clone(),
            code: self.code,
        })
    }
}

fn to_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let status =
            StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = Self::new(status, failure.code, failure.message);
        Self { retry_after: failure.retry_after_secs, ..error }
    }
}

impl From<SubmitRefusal> for ApiError {
    fn from(refusal: SubmitRefusal) -> Self {
        match refusal {
            SubmitRefusal::Failure(failure) => failure.into(),
            SubmitRefusal::NotFound { usable } => Self::no_such_model(&usable),
        }
    }
}

impl ApiError {
    /// 404 that lists the models which the key may use; the same for unknown and forbidden names.
    #[must_use]
    pub(crate) fn no_such_model(usable: &[String]) -> Self {
        let message = if usable.is_empty() {
            "no such model; nothing is published that this key may use".to_owned()
        } else {
            format!("no such model; this key may use: {}", usable.join(", "))
        };
        let error = Self::new(StatusCode::NOT_FOUND, Code::LlmNotFound, message);
        Self { param: Some("model"), ..error }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(secs) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, secs.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response.extensions_mut().insert(self);
        response
    }
}
