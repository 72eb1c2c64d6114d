//! A caller of a scenario: makes a call of the recording backend and records what it sees.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::event_log::EventLog;
use trust::history::Fact;

/// One call of a caller.
pub(crate) struct Call {
    /// Wait before the request.
    pub(crate) delay: Duration,
    /// Pieces of the response.
    pub(crate) pieces: u64,
    /// Milliseconds before each piece.
    pub(crate) pause_ms: u64,
    /// Longest wait for the response; then the caller disconnects.
    pub(crate) patience: Duration,
}

/// Makes a call and records what the caller sees; true if the response was complete.
pub(crate) fn make_call(
    number: u64,
    call: &Call,
    request: reqwest::RequestBuilder,
    event_log: EventLog,
) -> impl Future<Output = bool> + Send + use<> {
    let script =
        json!({"do": "record", "call": number, "n": call.pieces, "pauseMs": call.pause_ms});
    let body = testkit::caller::scripted_chat("qwen", script);
    let request = request.header("x-request-id", number).json(&body);
    let (delay, patience) = (call.delay, call.patience);
    async move {
        tokio::time::sleep(delay).await;
        event_log.record(Fact::Requested(number));
        let read = read_response(number, request, &event_log);
        let complete = tokio::time::timeout(patience, read).await;
        event_log.record(match complete {
            Ok(complete) => Fact::Ended { call: number, complete },
            Err(_) => Fact::Disconnected(number),
        });
        complete.unwrap_or(false)
    }
}

/// Sends the request and reads the response; true if it was complete.
async fn read_response(
    number: u64,
    request: reqwest::RequestBuilder,
    event_log: &EventLog,
) -> bool {
    let Ok(mut response) = request.send().await else { return false };
    if !response.status().is_success() {
        return false;
    }
    let (mut rest, mut done) = (String::new(), false);
    while let Ok(Some(bytes)) = response.chunk().await {
        rest.push_str(std::str::from_utf8(&bytes).unwrap());
        while let Some((line, after)) = rest.split_once('\n') {
            done |= line == "data: [DONE]";
            record_piece(number, line, event_log);
            rest = after.to_owned();
        }
    }
    done
}

fn record_piece(call: u64, line: &str, event_log: &EventLog) {
    let Some(data) = line.strip_prefix("data: ") else { return };
    let Ok(event) = serde_json::from_str::<Value>(data) else { return };
    let Some(text) = event["choices"][0]["delta"]["content"].as_str() else { return };
    let (of, piece) = text.trim().split_once(':').unwrap();
    let (of, piece) = (of.parse().unwrap(), piece.parse().unwrap());
    event_log.record(Fact::Received { call, written_for: of, chunk: piece });
}
