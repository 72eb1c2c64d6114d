//! Header names of the protocol, and the headers that may cross the relay.

/// The provider session, on every publisher request but register.
pub const SESSION: &str = "x-mcpctl-provider-session";
/// The session's epoch, on publisher requests that name a task (protocol 2).
pub const EPOCH: &str = "x-mcpctl-epoch";
/// The id of a probe upload, which the event `probe` repeats (protocol 2).
pub const PROBE_ID: &str = "x-mcpctl-probe-id";
/// `off` disables the comments that a streaming caller gets while it waits.
pub const KEEPALIVE: &str = "x-mcpctl-keepalive";
/// On every response of mcpd.
pub const REQUEST_ID: &str = "x-request-id";

/// Request headers of a caller that reach the backend, lower case. Never `authorization`,
/// `x-api-key` or cookies: a caller's credentials are for mcpd only.
pub const TO_BACKEND: &[&str] = &[
    "accept",
    "content-type",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// Response headers of a backend that reach the caller, lower case, beside `content-type`.
pub const TO_CALLER: &[&str] = &[
    "cache-control",
    "content-encoding",
    "retry-after",
    "openai-processing-ms",
    "openai-version",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
];
