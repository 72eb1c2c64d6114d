//! What the process reports about itself: its log.

pub mod logging;
