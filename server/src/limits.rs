//! Every number that is mcpd's alone. What both sides of the protocol share stands in
//! [`wire::limits`], what the relay decides in [`relay::Limits`].

use std::time::Duration;

/// Request line and headers must arrive within this time.
pub const HEADER_WAIT: Duration = Duration::from_secs(10);
/// Request line and headers together, in bytes; also what one read takes.
pub const HEADER_BYTES: usize = 64 * 1024;
/// A caller's body may pause for so long.
pub const BODY_IDLE: Duration = Duration::from_secs(15);
/// A connection without a valid key must have brought each of its requests within this time, headers
/// and body.
pub const UNPROVEN: Duration = Duration::from_secs(15);
/// Connections at once; fewer where the system allows fewer files.
pub const CONNECTIONS: usize = 20_000;
/// A connection without a valid key is left open for this long at least, when others want its place.
pub const UNPROVEN_LEAST: Duration = Duration::from_millis(250);
/// One of so many places is kept from connections without a valid key, and one from those with one.
pub const RESERVE: usize = 8;
/// Files that are not connections: the database, the listener, the log.
pub const FILES: usize = 64;
/// After an answer to a request that was not read to its end, what still comes is thrown away for so
/// long.
pub const LINGER: Duration = Duration::from_secs(1);
/// And so many bytes of it.
pub const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// Request bodies that the server holds at once, of all keys; a flag sets another number.
pub const BODY_BUDGET: usize = 512 * 1024 * 1024;
/// One key may hold one part of so many, unless a flag says otherwise.
pub const BODY_SHARE: usize = 4;
/// When the budget is used up, a caller is told to come back after this long.
pub const BODY_RETRY: Duration = Duration::from_secs(5);
/// A body has this long in all, and longer by its size.
pub const BODY_BASE: Duration = Duration::from_secs(10);
/// Bytes a second that a body must bring beyond that.
pub const BODY_RATE: u64 = 256 * 1024;
/// A body's memory grows by so much at least.
pub const BODY_STEP: usize = 64 * 1024;
/// When so much of a body has arrived, memory for all that was announced is set aside at once.
pub const BODY_BELIEVED: usize = 1024 * 1024;
/// More bytes than these are worked on beside the threads that serve everybody, or with a pause
/// after each so many.
pub const BODY_SLICE: usize = 256 * 1024;
/// Connections that wait in the kernel's queue; one that finds no room there tries again after a second.
pub const BACKLOG: u32 = 4096;
/// A peer that acknowledges nothing for this long is gone.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames that may wait in one control channel; one more and the channel is closed.
pub const CHANNEL_FRAMES: usize = 256;
/// Frames that wait go out together, up to so many bytes and the last of them.
pub const CHANNEL_WRITE: usize = 64 * 1024;
/// Events that may wait for one caller; notices are left out when they would fill it.
pub const CALLER_EVENTS: usize = 8;
/// A peer whose socket takes nothing for this long is cut.
pub const SLOW_CALLER: Duration = Duration::from_secs(30);
/// A backend that sends nothing for this long is given up.
pub const BACKEND_SILENCE: Duration = Duration::from_secs(300);
/// How long a broken answer waits for the relay's verdict.
pub const VERDICT_WAIT: Duration = Duration::from_secs(5);
/// Longest wait of a long poll.
pub const POLL_WAIT: Duration = Duration::from_secs(25);
/// A register, ack or error result.
pub const CONTROL_BODY: usize = 1024 * 1024;
/// A heartbeat: it names each running task, and there are at most [`INFLIGHT`].
pub const HEARTBEAT_BODY: usize = 16 * 1024 + 40 * INFLIGHT;
/// Tasks that one heartbeat can name: all that one owner's models can run.
pub const INFLIGHT: usize = wire::limits::LLMS_PER_OWNER * wire::limits::MAX_CONCURRENCY as usize;
/// The body that turns a pairing code into a key.
pub const PAIR_BODY: usize = 1024;
/// While an answer's bytes come, the relay hears of it so often.
pub const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
/// A whole answer that becomes one event, because a notice was sent before it.
pub const LATE_ANSWER: usize = 1024 * 1024;
/// Running answers get so long at the server's end.
pub const DRAIN: Duration = Duration::from_secs(30);
/// Connections get so long to close after that.
pub const CLOSE: Duration = Duration::from_secs(3);
/// Pairing codes that wait to be used.
pub const PAIRINGS: usize = 1_000;
/// Pairing codes of one admin that wait to be used.
pub const PAIRINGS_PER_MAKER: usize = 50;
/// A wrong pairing code is answered after this long: its connection can try four in a second.
pub const PAIRING_WRONG: Duration = Duration::from_millis(250);
/// Scopes of one token.
pub const SCOPES: usize = 64;
/// The longest life of a token that expires, in seconds: a hundred years.
pub const TOKEN_SECONDS: u64 = 100 * 365 * 86_400;
/// A dead token is deleted from the database this long after its death, in milliseconds.
pub const DEAD_TOKEN_MS: u64 = 30 * 86_400_000;
/// How often dead tokens are deleted, for the first time after so long: a clock that was wrong at the
/// machine's start is right by then.
pub const TOKEN_SWEEP: Duration = Duration::from_secs(3600);
/// Dead tokens that are deleted in one statement, so that other writers get between.
pub const TOKEN_SWEEP_STEP: u32 = 1_000;
/// Pause after a failed write of the catalogue.
pub const SAVE_AGAIN: Duration = Duration::from_secs(1);
/// Log lines that may wait for a slow reader of stderr; further ones are dropped.
pub const LOG_LINES: usize = 16_384;
/// How often revoked tokens are looked for.
pub const TOKEN_CHECK: Duration = Duration::from_millis(500);
/// How often uses of tokens are written down.
pub const TOKEN_SAVE: Duration = Duration::from_secs(30);
