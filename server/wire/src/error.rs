//! Error codes and the shapes that errors take.

use serde::{Deserialize, Serialize};

/// Stable codes of mcpd's own errors on the caller's surface.
pub mod code {
    /// 404: no such LLM, or none that this key may use.
    pub const LLM_NOT_FOUND: &str = "llm_not_found";
    /// 503: its publisher is gone or its backend is down.
    pub const LLM_INACTIVE: &str = "llm_inactive";
    /// 503: it is being woken; try again.
    pub const LLM_WAKING: &str = "llm_waking";
    /// 503: it could not be woken.
    pub const LLM_WAKE_FAILED: &str = "llm_wake_failed";
    /// 429: too many requests wait for it.
    pub const QUEUE_FULL: &str = "queue_full";
    /// 503: no free slot within the queue's time.
    pub const QUEUE_TIMEOUT: &str = "queue_timeout";
    /// 502: the publisher did not take the task.
    pub const DISPATCH_TIMEOUT: &str = "dispatch_timeout";
    /// 502, or inside a stream: the publisher vanished.
    pub const PUBLISHER_LOST: &str = "publisher_lost";
    /// 502: the publisher could not reach its backend.
    pub const BACKEND_UNREACHABLE: &str = "backend_unreachable";
    /// 502, or inside a stream: the backend broke off.
    pub const BACKEND_ABORTED: &str = "backend_aborted";
    /// 503, or inside a stream: the owner of the machine stopped it.
    pub const STOPPED_BY_OWNER: &str = "stopped_by_owner";
    /// 504: no byte of the answer in time.
    pub const FIRST_BYTE_TIMEOUT: &str = "first_byte_timeout";
    /// 504, or inside a stream: the answer took too long or fell silent.
    pub const ANSWER_TIMEOUT: &str = "answer_timeout";
    /// In a stream: the caller stopped reading.
    pub const SLOW_CONSUMER: &str = "slow_consumer";
    /// 413.
    pub const REQUEST_TOO_LARGE: &str = "request_too_large";
    /// 429: the bodies of requests hold all the memory that they may.
    pub const BODY_BUDGET: &str = "body_budget";
    /// 431: a header that would be passed on is too long.
    pub const HEADER_TOO_LARGE: &str = "header_too_large";
    /// 503: no room for another connection.
    pub const SERVER_BUSY: &str = "server_busy";
    /// 400.
    pub const INVALID_REQUEST: &str = "invalid_request";
    /// 401.
    pub const INVALID_API_KEY: &str = "invalid_api_key";
    /// 403.
    pub const FORBIDDEN: &str = "forbidden";
    /// 429.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// 503: mcpd is going down.
    pub const SERVER_SHUTDOWN: &str = "server_shutdown";
    /// 404 of the publisher side: unknown or foreign session or task.
    pub const NOT_FOUND: &str = "not_found";
    /// 404: this server has no such endpoint; the URL, or its path, is not mcpd's.
    pub const NO_SUCH_ENDPOINT: &str = "no_such_endpoint";
    /// 409 of the publisher side: another machine holds this session.
    pub const SESSION_CONFLICT: &str = "session_conflict";
    /// 409 of the publisher side: a newer register replaced this one.
    pub const STALE_EPOCH: &str = "stale_epoch";
}

/// The OpenAI error shape: `{"error": {message, type, param, code}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// Inside of [`ErrorBody`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// What failed, why, and what to do.
    pub message: String,
    /// `invalid_request_error`, `authentication_error`, `server_error`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault.
    pub param: Option<String>,
    /// A stable code of [`code`].
    pub code: Option<String>,
}

/// RFC 9457 problem details, on management and publisher endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// A URI reference; `about:blank` here.
    #[serde(rename = "type")]
    pub kind: String,
    /// HTTP status in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What failed, why, and what to do.
    pub detail: String,
    /// A stable code of [`code`].
    pub code: String,
}
