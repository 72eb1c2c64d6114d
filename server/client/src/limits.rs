//! Limits of this package.

use std::time::Duration;

/// Connecting to mcpd.
pub const CONNECT: Duration = Duration::from_secs(10);
/// A request that does not stream, from start to end.
pub const REQUEST: Duration = Duration::from_secs(30);
/// An idle connection to mcpd is reused within this time; mcpd keeps it open for longer.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(5);
/// Interval of TCP keep-alive probes.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes that are read of an error response.
pub const ERROR_BODY: usize = 1024 * 1024;
/// Time for reading an error response's body.
pub const ERROR_WAIT: Duration = Duration::from_secs(10);
/// Bytes that are read of a token from a pipe.
pub const TOKEN: u64 = 4096;
