//! HTTP paths. Base path of the provider protocol: `/api/v1/llms`.

/// Register the session's whole set of LLMs (POST).
pub const REGISTER: &str = "/api/v1/llms/_provider-register";
/// The control channel, an SSE response (GET; protocol 2 also POST).
pub const STREAM: &str = "/api/v1/llms/_provider-stream";
/// Long polling for networks that buffer an SSE answer (GET, protocol 2).
pub const POLL: &str = "/api/v1/llms/_provider-poll";
/// Heartbeat (POST).
pub const HEARTBEAT: &str = "/api/v1/llms/_provider-heartbeat";
/// The uplink: answers of all tasks of the session, in frames (POST, protocol 2).
pub const UPLINK: &str = "/api/v1/llms/_provider-uplink";
/// Prefix of everything that names one task.
pub const TASK_PREFIX: &str = "/api/v1/llms/_provider-task";
/// The probe upload that shows whether a proxy buffers request bodies (POST, protocol 2).
pub const PROBE: &str = "/api/v1/llms/_provider-probe";
/// The catalogue (GET), and with a name one entry of it.
pub const LLMS: &str = "/api/v1/llms";
/// Token administration (GET; POST; DELETE with an id or `?user=`).
pub const TOKENS: &str = "/api/v1/tokens";
/// Pairing codes instead of tokens (GET; POST; DELETE with an id; scope `admin`).
pub const PAIRINGS: &str = "/api/v1/pairings";
/// Exchanges a pairing code for a token (POST, without a token).
pub const PAIR: &str = "/api/v1/pair";
/// Names and who may serve them (GET; with a name: DELETE frees it, PUT `/share` shares it; scope
/// `admin`).
pub const NAMES: &str = "/api/v1/names";
/// All endpoints as an OpenAPI document (GET, without a token).
pub const OPENAPI: &str = "/openapi.json";
/// Liveness: the process answers.
pub const HEALTHZ: &str = "/healthz";
/// Readiness: an error while the server drains.
pub const READYZ: &str = "/readyz";

/// `POST` of a whole response, a chunk, an error or a wake's outcome (protocol 1 and 2).
#[must_use]
pub fn task_result(task_id: &str) -> String {
    format!("{TASK_PREFIX}/{task_id}/result")
}

/// `GET` of the request body as the caller sent it (protocol 2).
#[must_use]
pub fn task_request(task_id: &str) -> String {
    format!("{TASK_PREFIX}/{task_id}/request")
}

/// The endpoints that are relayed as bytes: one handler serves them all.
pub const RELAYED: &[&str] = &[
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/rerank",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/edits",
    "/v1/images/generations",
    "/v1/images/variations",
    "/v1/messages",
    "/v1/messages/count_tokens",
];

/// The relayed endpoints that take a form (`multipart/form-data`) as well as JSON.
pub const FORMS: &[&str] = &[
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/edits",
    "/v1/images/variations",
];

/// True for the endpoints of callers: inference, and the lists of models.
#[must_use]
pub fn is_callers(path: &str) -> bool {
    let entry = |path: &str| path.starts_with('/') && !path.starts_with("/_provider-");
    path.starts_with("/v1/") || path.strip_prefix(LLMS).is_some_and(|p| p.is_empty() || entry(p))
}

/// True if errors on this path take the Anthropic shape.
#[must_use]
pub fn is_anthropic(path: &str) -> bool {
    path.starts_with("/v1/messages")
}
