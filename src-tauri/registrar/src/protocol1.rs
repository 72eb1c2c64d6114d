//! Everything that only a server of protocol 1 (register, stream, heartbeat, result) needs.
//!
//! Such a server has no `hello`, no epochs and no uploads. Other modules only distinguish by
//! [`SessionRef::speaks_v2`]; [`crate::transport`] chooses the modes.
//!
//! [`SessionRef::speaks_v2`]: crate::mcpd_client::SessionRef::speaks_v2

use crate::limits;
use crate::mcpd_client::SessionRef;
use crate::relayed_response::RelayedResponse;
use crate::server_link::ServerLink;
use crate::task_failure::{check_delivery, failure, stopped_by_owner};
use serde_json::value::RawValue;
use wire::control::event;
use wire::limits::SSE_EVENT;
use wire::publisher::{Chunk, FailureCode, Registered, TaskFailure, TaskResult};
use wire::sse::{Decoded, Decoder};

/// Payload that ends a stream in the OpenAI dialect.
const DONE: &str = "[DONE]";
/// Name of an event that the stream does not name.
const UNNAMED: &str = "message";

/// The session that a register has created or resumed. A protocol-1 server has no epochs.
pub(crate) fn session_of(registered: &Registered) -> SessionRef {
    let speaks_v2 = registered.protocol >= wire::PROTOCOL_2;
    SessionRef {
        id: registered.provider_session_id.clone(),
        epoch: speaks_v2.then_some(registered.epoch),
    }
}

/// True if an event of this name is a task. The seed system's events may be unnamed.
pub(crate) fn is_task(event_name: &str) -> bool {
    matches!(event_name, event::TASK | UNNAMED)
}

/// Sends a response as results: an event stream as one result for each event, any other response as
/// one result.
pub(crate) async fn send_results(
    link: &ServerLink,
    task: &str,
    response: RelayedResponse,
) -> Result<(), TaskFailure> {
    if response.is_event_stream() {
        return send_events(link, task, response).await;
    }
    send_whole(link, task, response).await
}

/// Reports that the owner stopped a task while the work on it goes on: the server would report a
/// broken backend to the caller if the response broke off first.
pub(crate) async fn report_stop(
    link: &ServerLink,
    task: &str,
    work: impl Future<Output = Result<(), TaskFailure>>,
) {
    let report = link.report_failure(task, stopped_by_owner());
    tokio::select! {
        _ = work => {}
        _ = tokio::time::timeout(limits::STOP_REPORT, report) => {}
    }
}

async fn send_events(
    link: &ServerLink,
    task: &str,
    mut response: RelayedResponse,
) -> Result<(), TaskFailure> {
    let mut decoder = Decoder::new(SSE_EVENT, SSE_EVENT);
    let mut events = Vec::<Decoded>::new();
    while let Some(bytes) = response.next().await? {
        decoder.feed(&bytes, &mut events);
        for decoded in events.drain(..) {
            // Without the event the response would have a gap.
            let event = decoded
                .map_err(|too_long| failure(FailureCode::BackendAborted, too_long.to_string()))?;
            let done = event.data == DONE;
            send_chunk(link, task, Chunk { data: event.data, done }).await?;
            if done {
                return Ok(());
            }
        }
    }
    send_chunk(link, task, Chunk { data: String::new(), done: true }).await
}

async fn send_chunk(link: &ServerLink, task: &str, chunk: Chunk) -> Result<(), TaskFailure> {
    post(link, task, TaskResult { chunk: Some(chunk), ..<_>::default() }).await
}

async fn send_whole(
    link: &ServerLink,
    task: &str,
    mut response: RelayedResponse,
) -> Result<(), TaskFailure> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(bytes) = response.next().await? {
        if body.len() + bytes.len() > limits::WHOLE_RESPONSE {
            let max = limits::WHOLE_RESPONSE;
            return Err(failure(
                FailureCode::BackendAborted,
                format!("the answer is over {max} bytes"),
            ));
        }
        body.extend_from_slice(&bytes);
    }
    let body = String::from_utf8(body).ok().and_then(|text| RawValue::from_string(text).ok());
    let body = body.ok_or_else(|| {
        let message = format!("the backend's answer ({status}) is no JSON; this way needs it");
        failure(FailureCode::BackendAborted, message)
    })?;
    let result = TaskResult { status: Some(status), body: Some(body), ..<_>::default() };
    post(link, task, result).await
}

async fn post(link: &ServerLink, task: &str, result: TaskResult) -> Result<(), TaskFailure> {
    check_delivery(link.mcpd.result(&link.session, task, &result).await)
}
