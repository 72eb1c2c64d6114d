//! The way up to a protocol-1 server: a streamed answer as one result per event, any other answer as
//! one result.

use super::token_usage::Tail;
use super::{ServerLink, broke_off, failure, taken};
use crate::backends::BackendResponse;
use crate::limits;
use futures_util::TryStreamExt as _;
use reqwest::header;
use serde_json::value::RawValue;
use wire::limits::SSE_EVENT;
use wire::publisher::{Chunk, FailureCode, TaskFailure, TaskResult};
use wire::sse::{Decoded, Decoder};

/// The payload that ends a stream in the OpenAI dialect.
const DONE: &str = "[DONE]";

pub(super) async fn deliver(
    link: &ServerLink,
    task: &str,
    answer: BackendResponse,
    tail: &Tail,
) -> Result<(), TaskFailure> {
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return events(link, task, answer, tail).await;
    }
    whole(link, task, answer, tail).await
}

async fn events(
    link: &ServerLink,
    task: &str,
    mut answer: BackendResponse,
    tail: &Tail,
) -> Result<(), TaskFailure> {
    let mut decoder = Decoder::new(SSE_EVENT, SSE_EVENT);
    let mut found = Vec::<Decoded>::new();
    while let Some(bytes) = answer.try_next().await.map_err(|_| broke_off())? {
        tail.pass(&bytes);
        decoder.feed(&bytes, &mut found);
        for decoded in found.drain(..) {
            // Without it the answer would lack a piece.
            let event = decoded
                .map_err(|too_long| failure(FailureCode::BackendAborted, too_long.to_string()))?;
            let done = event.data == DONE;
            chunk(link, task, Chunk { data: event.data, done }).await?;
            if done {
                return Ok(());
            }
        }
    }
    chunk(link, task, Chunk { data: String::new(), done: true }).await
}

async fn chunk(link: &ServerLink, task: &str, chunk: Chunk) -> Result<(), TaskFailure> {
    post(link, task, TaskResult { chunk: Some(chunk), ..<_>::default() }).await
}

async fn whole(
    link: &ServerLink,
    task: &str,
    mut answer: BackendResponse,
    tail: &Tail,
) -> Result<(), TaskFailure> {
    let status = answer.status.as_u16();
    let mut body = Vec::new();
    while let Some(bytes) = answer.try_next().await.map_err(|_| broke_off())? {
        if body.len() + bytes.len() > limits::WHOLE_ANSWER {
            let most = limits::WHOLE_ANSWER;
            return Err(failure(
                FailureCode::BackendAborted,
                format!("the answer is over {most} bytes"),
            ));
        }
        body.extend_from_slice(&bytes);
    }
    tail.pass(&body);
    let body = String::from_utf8(body).ok().and_then(|text| RawValue::from_string(text).ok());
    let body = body.ok_or_else(|| {
        let message = format!("the backend's answer ({status}) is no JSON; this way needs it");
        failure(FailureCode::BackendAborted, message)
    })?;
    let result = TaskResult { status: Some(status), body: Some(body), ..<_>::default() };
    post(link, task, result).await
}

async fn post(link: &ServerLink, task: &str, result: TaskResult) -> Result<(), TaskFailure> {
    taken(link.mcpd.result(&link.session, task, &result).await)
}
