//! Limits of this package.

use std::time::Duration;

/// Connecting to mcpd.
pub const CONNECT: Duration = Duration::from_secs(10);
/// A request that does not stream, from start to end.
pub const REQUEST: Duration = Duration::from_secs(30);
/// An idle connection to mcpd is reused within this time; mcpd keeps it open for longer.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(5);
/// Silence of a connection before TCP probes it.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Interval of the probes after an unanswered one.
pub const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(3);
/// Unanswered probes after which the connection is gone.
pub const KEEP_ALIVE_TRIES: u32 = 3;
/// Time in which TCP must see sent bytes acknowledged (Linux). Less than the server keeps the tasks of
/// a publisher that it has lost.
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// Bytes that are read of an error response.
pub const ERROR_BODY: usize = 1024 * 1024;
/// Time for reading an error response's body.
pub const ERROR_WAIT: Duration = Duration::from_secs(10);
/// Bytes that are read of a token from a pipe.
pub const TOKEN: u64 = 4096;
