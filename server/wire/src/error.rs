//! Error codes and the bodies that carry them.

use serde::Serialize;

words! {
    /// A stable code of mcpd's own errors.
    pub enum Code {
        /// 404: no such LLM, or none that this key may use.
        LlmNotFound = "llm_not_found",
        /// 503: its publisher is gone or its backend is down.
        LlmInactive = "llm_inactive",
        /// 503: it is being woken; try again.
        LlmWaking = "llm_waking",
        /// 503: it could not be woken.
        LlmWakeFailed = "llm_wake_failed",
        /// 429: too many requests wait for it.
        QueueFull = "queue_full",
        /// 503: no free slot within the queue's time.
        QueueTimeout = "queue_timeout",
        /// 502: the publisher did not take the task.
        DispatchTimeout = "dispatch_timeout",
        /// 502, or inside a stream: the publisher vanished.
        PublisherLost = "publisher_lost",
        /// 502: the publisher could not reach its backend.
        BackendUnreachable = "backend_unreachable",
        /// 502, or inside a stream: the backend broke off.
        BackendAborted = "backend_aborted",
        /// Inside a stream: the backend answered with an error that is no JSON.
        BackendError = "backend_error",
        /// 503, or inside a stream: the owner of the machine stopped it.
        StoppedByOwner = "stopped_by_owner",
        /// 504: no byte of the response in time.
        FirstByteTimeout = "first_byte_timeout",
        /// 504, or inside a stream: the response took too long or fell silent.
        AnswerTimeout = "answer_timeout",
        /// 413.
        RequestTooLarge = "request_too_large",
        /// 429: the bodies of requests hold all the memory that they may.
        BodyBudget = "body_budget",
        /// 431: a header that would be passed on is too long.
        HeaderTooLarge = "header_too_large",
        /// 503: no room for another connection.
        ServerBusy = "server_busy",
        /// 400.
        InvalidRequest = "invalid_request",
        /// 401.
        InvalidApiKey = "invalid_api_key",
        /// 403.
        Forbidden = "forbidden",
        /// 429.
        RateLimited = "rate_limited",
        /// 503: mcpd is going down.
        ServerShutdown = "server_shutdown",
        /// 500: the cause is in mcpd's log.
        Internal = "internal",
        /// 404 of the publisher side: unknown or foreign session or task.
        NotFound = "not_found",
        /// 404: this server has no such endpoint; the URL, or its path, is not mcpd's.
        NoSuchEndpoint = "no_such_endpoint",
        /// 409 of the publisher side: another machine holds this session.
        SessionConflict = "session_conflict",
        /// 409 of the publisher side: a newer register replaced this one.
        StaleEpoch = "stale_epoch",
        /// 409 of the publisher side: a newer uplink of the session is open.
        Superseded = "superseded",
    }
}

/// The OpenAI error shape: `{"error": {message, type, param, code}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// Inside of [`ErrorBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetail {
    /// For people: what failed, why, and what to do.
    pub message: String,
    /// `invalid_request_error`, `authentication_error`, `server_error`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault.
    pub param: Option<String>,
    /// The reason, for programs.
    pub code: Code,
}

/// RFC 9457 problem details, on management and publisher endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A URI reference; `about:blank` here.
    #[serde(rename = "type")]
    pub kind: String,
    /// HTTP status in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// For people: what failed, why, and what to do.
    pub detail: String,
    /// The reason, for programs.
    pub code: Code,
}
