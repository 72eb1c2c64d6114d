//! The numbers that both sides of the protocol must agree on. Times are milliseconds, sizes bytes.
//!
//! A limit that only one side needs is in that side's own `limits`.

/// A publisher's heartbeat while it is idle; jitter of 10 % is added.
pub const HEARTBEAT_MS: u64 = 30_000;
/// A publisher's heartbeat while it runs tasks.
pub const HEARTBEAT_BUSY_MS: u64 = 10_000;
/// A session without an authenticated request of its epoch for this long is inactive.
pub const LEASE_MS: u64 = 90_000;
/// Interval of the server's comments on the control channel.
pub const CHANNEL_COMMENT_MS: u64 = 15_000;
/// A control channel without a byte for this long is closed.
pub const CHANNEL_DEAD_MS: u64 = 45_000;
/// If `hello` does not arrive within this time, a proxy buffers the event stream.
pub const HELLO_WAIT_MS: u64 = 10_000;
/// If the server does not confirm the first bytes of a probe upload within this time, a proxy buffers
/// request bodies.
pub const PROBE_WAIT_MS: u64 = 2_000;
/// A dispatched task must be acknowledged within this time.
pub const ACK_WAIT_MS: u64 = 5_000;
/// Request bodies up to this size that are JSON on one line travel inside the task event.
pub const INLINE_BODY: usize = 64 * 1024;
/// The largest request body a caller may send.
pub const BODY: usize = 64 * 1024 * 1024;
/// Arrays and objects inside each other in a request body; a multiple of 64.
pub const JSON_DEPTH: usize = 1024;
/// A top-level key of a request body, or the value of its `model`, in bytes as written.
pub const JSON_KEY: usize = 1024;
/// The boundary of a form, in bytes.
pub const FORM_BOUNDARY: usize = 70;
/// Parts of a form.
pub const FORM_PARTS: usize = 1024;
/// The headers of one part of a form, in bytes.
pub const FORM_HEADER: usize = 4096;
/// Header lines of one part of a form.
pub const FORM_HEADERS: usize = 16;
/// The value of `model` or `stream` of a form, in bytes.
pub const FORM_FIELD: usize = 1024;
/// Payload of one frame of an uplink.
pub const FRAME: usize = 64 * 1024;
/// Bytes of an answer that a publisher may send before its caller has taken them, while the server
/// has granted no more.
pub const WINDOW: u64 = 256 * 1024;
/// The largest window that a server grants.
pub const WINDOW_MAX: u64 = 2 * 1024 * 1024;
/// Body of one request of an uplink in batches.
pub const BATCH: usize = 1024 * 1024;
/// One line of an event stream.
pub const SSE_LINE: usize = 128 * 1024;
/// One event of an event stream.
pub const SSE_EVENT: usize = 1024 * 1024;
/// Start of a skipped event that is reported with it, in bytes: enough to find its task's id.
pub const SSE_PREFIX: usize = 1024;
/// One forwarded request header, name and value, in bytes.
pub const FORWARDED_HEADER: usize = 1024;
/// All forwarded request headers of one request together, in bytes.
pub const FORWARDED_HEADERS: usize = 8 * 1024;
/// A text that a publisher or an admin sends (description, host name, label, user), in characters.
pub const TEXT: usize = 256;
/// Higher values of `maxConcurrency` count as this.
pub const MAX_CONCURRENCY: u32 = 256;
/// Name requests in one response to a publisher.
pub const NAME_REQUESTS: usize = 20;
/// Entries of `shareName`.
pub const SHARES: usize = 64;
/// Groups of one token's user.
pub const GROUPS: usize = 32;
/// Tokens in one response to `GET /api/v1/tokens`.
pub const TOKEN_PAGE: usize = 1_000;
/// LLMs per owner.
pub const LLMS_PER_OWNER: usize = 20;
/// Time limit of a wake whose recipe declares none, in seconds.
pub const WAKE_MAX_WAIT_SECS: u64 = 60;
/// The longest wake time that a recipe may declare, in seconds.
pub const WAKE_MAX_WAIT_CAP_SECS: u64 = 900;
/// A pairing code is valid for this long.
pub const PAIRING_MS: u64 = 10 * 60 * 1000;
/// Bytes at the end of a response that are searched for token counts.
pub const USAGE_TAIL: usize = 4 * 1024;
