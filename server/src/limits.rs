//! Every limit that is mcpd's alone. Limits that both sides of the protocol share are in
//! [`wire::limits`], those of the relay in [`relay::Limits`].

use std::time::Duration;

/// Time for the request line and headers to arrive.
pub const HEADER_WAIT: Duration = Duration::from_secs(10);
/// Time for a TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Interval of checks whether the files of the TLS certificate have changed; a change counts when
/// the next check finds no further one.
pub const CERTIFICATE_CHECK: Duration = Duration::from_secs(2);
/// Bytes of a file with a TLS certificate or its key.
pub const CERTIFICATE_FILE: u64 = 1024 * 1024;
/// A browser may reuse the response to its question whether a page may call mcpd for this long.
pub const CORS_MAX_AGE: Duration = Duration::from_secs(2 * 3600);
/// Bytes of request line and headers together; also the size of one read.
pub const HEADER_BYTES: usize = 64 * 1024;
/// Longest pause between two pieces of a request body.
pub const BODY_IDLE: Duration = Duration::from_secs(15);
/// Time in which a connection without a valid key must have sent each of its requests, headers and
/// body.
pub const UNPROVEN: Duration = Duration::from_secs(15);
/// Connections at once; fewer if the system allows the process fewer files.
pub const CONNECTIONS: usize = 20_000;
/// Least time that a connection without a valid key stays open when others need its place.
pub const UNPROVEN_LEAST: Duration = Duration::from_millis(250);
/// One place in this many is reserved for connections with a valid key, and one for those without.
pub const RESERVE: usize = 8;
/// Files that are not connections: the database, the listener, the log.
pub const FILES: usize = 64;
/// Unread input is discarded for this long after the response to a request that was not read whole.
pub const LINGER: Duration = Duration::from_secs(1);
/// Bytes of unread input that are discarded then.
pub const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of request bodies that the server holds at once, over all keys; a flag sets another
/// number.
pub const BODY_BUDGET: usize = 512 * 1024 * 1024;
/// One key may hold the budget divided by this, unless a flag sets another number.
pub const BODY_SHARE: usize = 4;
/// `Retry-After` when the budget is used up.
pub const BODY_RETRY: Duration = Duration::from_secs(5);
/// Total time for an empty body; larger bodies get more.
pub const BODY_BASE: Duration = Duration::from_secs(10);
/// Bytes per second that a body must bring beyond that.
pub const BODY_RATE: u64 = 256 * 1024;
/// Least number of bytes by which a body's buffer grows.
pub const BODY_STEP: usize = 64 * 1024;
/// Once this many bytes of a body have arrived, memory for its whole announced length is reserved.
pub const BODY_BELIEVED: usize = 1024 * 1024;
/// Work on more bytes than this runs on the blocking pool, or yields after each so many bytes.
pub const BODY_SLICE: usize = 256 * 1024;
/// Length of the kernel's accept queue. A connection that finds it full is retried after a second.
pub const BACKLOG: u32 = 4096;
/// A peer that acknowledges nothing for this long is considered gone.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames that may wait in one control channel; one more closes the channel.
pub const CHANNEL_FRAMES: usize = 256;
/// Bytes of waiting frames that go out in one write; the frame that exceeds it is the last one.
pub const CHANNEL_WRITE: usize = 64 * 1024;
/// Time that the news of finished answers wait for another event of their channel.
pub const NEWS_WAIT: Duration = Duration::from_millis(20);
/// A long poll returns after this when it has nothing but what an earlier one may have told already.
pub const TOLD_AGAIN_WAIT: Duration = Duration::from_secs(1);
/// Finished answers in one event; the publisher learns of further ones by its heartbeat.
pub const FINISHED_NEWS: usize = 1_024;
/// Pieces of an answer below this many bytes are copied while they wait for the caller. A larger one
/// keeps at most [`HEADER_BYTES`], which is one read, in memory.
pub const SMALL_PIECE: usize = 16 * 1024;
/// A peer whose socket accepts nothing for this long is disconnected.
pub const SLOW_CALLER: Duration = Duration::from_secs(30);
/// A backend that sends nothing for this long has failed.
pub const BACKEND_SILENCE: Duration = Duration::from_secs(300);
/// Longest wait of a long poll.
pub const POLL_WAIT: Duration = Duration::from_secs(25);
/// Bytes of a register, acknowledgement or error result.
pub const CONTROL_BODY: usize = 1024 * 1024;
/// Bytes of a heartbeat, which names each running task; there are at most [`INFLIGHT`].
pub const HEARTBEAT_BODY: usize = 16 * 1024 + 40 * INFLIGHT;
/// Tasks that one heartbeat can name: all that one owner's models can run.
pub const INFLIGHT: usize = wire::limits::LLMS_PER_OWNER * wire::limits::MAX_CONCURRENCY as usize;
/// Bytes of the body that turns a pairing code into a key.
pub const PAIR_BODY: usize = 1024;
/// Interval at which the relay is notified that a response is still arriving.
pub const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
/// Bytes of a whole response that is sent as one event because a notice was sent before it.
pub const LATE_RESPONSE: usize = 1024 * 1024;
/// Running responses get this long when the server shuts down.
pub const DRAIN: Duration = Duration::from_secs(30);
/// Connections get this long to close after that.
pub const CLOSE: Duration = Duration::from_secs(3);
/// Unused pairing codes in total.
pub const PAIRINGS: usize = 1_000;
/// Unused pairing codes of one admin.
pub const PAIRINGS_PER_MAKER: usize = 50;
/// Delay of the response to a wrong pairing code: one connection can try four per second.
pub const PAIRING_WRONG: Duration = Duration::from_millis(250);
/// Scopes of one token.
pub const SCOPES: usize = 64;
/// Longest life of a token that expires, in seconds: a hundred years.
pub const TOKEN_SECONDS: u64 = 100 * 365 * 86_400;
/// A dead token is deleted from the database this long after its death, in milliseconds.
pub const DEAD_TOKEN_MS: u64 = 30 * 86_400_000;
/// Interval between deletions of dead tokens, and delay of the first one: a clock that was wrong at
/// boot is right by then.
pub const TOKEN_SWEEP: Duration = Duration::from_secs(3600);
/// Dead tokens deleted per statement, so that other writers are not blocked for long.
pub const TOKEN_SWEEP_STEP: u32 = 1_000;
/// Pause after a failed write of the catalogue.
pub const SAVE_AGAIN: Duration = Duration::from_secs(1);
/// Log lines that may wait for a slow reader of stderr; further ones are dropped.
pub const LOG_LINES: usize = 16_384;
/// Interval between checks for revoked tokens.
pub const TOKEN_CHECK: Duration = Duration::from_millis(500);
/// Interval between writes of the tokens' last use.
pub const TOKEN_SAVE: Duration = Duration::from_secs(30);

/// Time limits in force: the documented ones, multiplied by a factor that tests set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Between two comments on a control channel.
    pub(crate) channel_comment: Duration,
    /// [`SLOW_CALLER`].
    pub(crate) slow_caller: Duration,
    /// [`BACKEND_SILENCE`].
    pub(crate) backend_silence: Duration,
    /// [`BODY_IDLE`]; also the total time of a control body.
    pub(crate) body_idle: Duration,
    /// [`BODY_BASE`].
    pub(crate) body_base: Duration,
    /// Additional time for each MiB of a body, see [`BODY_RATE`].
    pub(crate) body_per_mib: Duration,
    /// [`UNPROVEN`].
    pub(crate) unproven: Duration,
    /// [`HEADER_WAIT`].
    pub(crate) header_wait: Duration,
    /// [`HANDSHAKE`].
    pub(crate) handshake: Duration,
    /// [`CERTIFICATE_CHECK`].
    pub(crate) certificate_check: Duration,
    /// [`DRAIN`].
    pub(crate) drain: Duration,
}

impl Times {
    /// The documented times, multiplied by `factor`.
    #[must_use]
    pub(crate) fn scaled(factor: f64) -> Self {
        let comment = Duration::from_millis(wire::limits::CHANNEL_COMMENT_MS);
        let per_mib = Duration::from_secs((1 << 20) / BODY_RATE);
        Self {
            channel_comment: comment.mul_f64(factor),
            slow_caller: SLOW_CALLER.mul_f64(factor),
            backend_silence: BACKEND_SILENCE.mul_f64(factor),
            body_idle: BODY_IDLE.mul_f64(factor),
            body_base: BODY_BASE.mul_f64(factor),
            body_per_mib: per_mib.mul_f64(factor),
            unproven: UNPROVEN.mul_f64(factor),
            header_wait: HEADER_WAIT.mul_f64(factor),
            handshake: HANDSHAKE.mul_f64(factor),
            certificate_check: CERTIFICATE_CHECK.mul_f64(factor),
            drain: DRAIN.mul_f64(factor),
        }
    }
}
