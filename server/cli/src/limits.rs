//! Limits of `mcpctl`.

use std::time::Duration;

/// Longest prompt that is read from a pipe, in bytes.
pub(crate) const PROMPT: u64 = 32 * 1024 * 1024;
/// Longest line and longest event of a streamed response, in bytes.
pub(crate) const EVENT: usize = 1024 * 1024;
/// Longest response that does not stream, in bytes: a catalogue of some ten thousand models.
pub(crate) const RESPONSE: usize = 64 * 1024 * 1024;
/// Longest message of an error response that is shown, in characters.
pub(crate) const ERROR_MESSAGE: usize = 2_000;
/// Longest excerpt of an error response without a message, in characters.
pub(crate) const ERROR_EXCERPT: usize = 300;
/// Largest settings file that is read, in bytes.
pub(crate) const SETTINGS: u64 = 1024 * 1024;
/// Interval of requests for the catalogue with `get --watch`.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_secs(1);
