//! The process log and the request log.

pub mod logging;
pub(crate) mod request_log;
