//! The script `record`: a stream of `n` numbered pieces of call number `call`, `pauseMs` before each.
//! Every step is printed with its time, as [`EventLog::add_backend_log`] reads it. While the backend is
//! asleep, the response is 503; while no file named `open` exists in the backend's folder, the first
//! piece is held back.
//!
//! [`EventLog::add_backend_log`]: crate::event_log::EventLog::add_backend_log

use super::responses::{DONE, chunk_event, event_stream};
use super::{Shared, asleep};
use axum::response::Response;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::Value;
use std::time::Duration;

pub(super) fn respond(shared: &Shared, script: &Value) -> Response {
    if !shared.is_awake() {
        return asleep();
    }
    let number = |key: &str| script[key].as_u64().unwrap();
    let (call, pieces) = (number("call"), number("n"));
    let pause = Duration::from_millis(number("pauseMs"));
    let gate = shared.folder.join("open");
    print(&format!("runs {call}"));
    let open = OpenResponse(call);
    let events = stream::iter(0..=pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        if piece == pieces {
            print(&format!("finishes {call}"));
            return Ok(DONE);
        }
        print(&format!("writes {call} {piece}"));
        Ok(chunk_event(&format!("{call}:{piece} ")))
    });
    let after_gate = async move {
        while !gate.exists() {
            tokio::time::sleep(crate::POLL_INTERVAL).await;
        }
        events
    };
    event_stream(open, after_gate.flatten_stream())
}

/// Prints the end of the connection, whatever its cause.
struct OpenResponse(u64);

impl Drop for OpenResponse {
    fn drop(&mut self) {
        print(&format!("closes {}", self.0));
    }
}

#[expect(clippy::print_stdout, reason = "stdout is the log that tests read")]
fn print(step: &str) {
    println!("{} {step}", crate::event_log::unix_micros());
}
