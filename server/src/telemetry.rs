//! What the process reports about itself: its log and the log of requests.

pub mod logging;
pub(crate) mod request_log;
