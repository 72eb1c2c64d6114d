//! The request log: one line per finished request, target `mcpd::requests`, level INFO.

use crate::accounting::Finished;
use std::time::Duration;

/// Writes the line of a finished request. Times are in milliseconds.
pub(crate) fn write(finished: &Finished<'_>) {
    tracing::info!(
        target: "mcpd::requests",
        request = finished.request_id,
        task = finished.task.map(tracing::field::display),
        key = finished.key,
        user = finished.user,
        model = finished.model,
        publisher = finished.publisher,
        path = finished.path,
        status = finished.status,
        code = finished.code.map(|code| code.as_str()),
        queued_ms = millis(finished.queued),
        waking_ms = millis(finished.waking),
        first_byte_ms = finished.first_byte.map(millis),
        total_ms = millis(finished.total),
        bytes_in = finished.bytes_in,
        bytes_out = finished.bytes_out,
        prompt_tokens = finished.tokens.and_then(|tokens| tokens.prompt),
        completion_tokens = finished.tokens.map(|tokens| tokens.completion),
        "request finished"
    );
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
