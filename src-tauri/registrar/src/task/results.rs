//! The slow path, for a protocol-1 server and for networks that hold an upload back until it ends:
//! a streamed answer goes up as one result per event, any other answer as one result.

use super::{Road, cancelled, failure};
use crate::client::Delivery;
use crate::limits;
use crate::sse::Decoder;
use reqwest::{Response, header};
use serde_json::value::RawValue;
use wire::error::code;
use wire::limits::SSE_EVENT;
use wire::publisher::{Chunk, TaskFailure, TaskResult};

/// The payload that ends a stream in the OpenAI dialect.
const DONE: &str = "[DONE]";

pub(super) async fn deliver(
    road: &Road,
    task: &str,
    response: Response,
) -> Result<(), TaskFailure> {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return events(road, task, response).await;
    }
    whole(road, task, response).await
}

async fn events(road: &Road, task: &str, mut response: Response) -> Result<(), TaskFailure> {
    let mut decoder = Decoder::new(SSE_EVENT, SSE_EVENT);
    let mut found = Vec::new();
    let mut posted = Posted { road, task, seq: 0 };
    while let Some(bytes) = response.chunk().await.map_err(|_| broke_off())? {
        let fed = decoder.feed(&bytes, &mut found);
        fed.map_err(|too_long| failure(code::BACKEND_ABORTED, too_long.to_string()))?;
        for event in found.drain(..) {
            let done = event.data == DONE;
            posted.post(Chunk { data: event.data, done }).await?;
            if done {
                return Ok(());
            }
        }
    }
    posted.post(Chunk { data: String::new(), done: true }).await
}

struct Posted<'a> {
    road: &'a Road,
    task: &'a str,
    seq: u64,
}

impl Posted<'_> {
    async fn post(&mut self, chunk: Chunk) -> Result<(), TaskFailure> {
        let seq = self.road.is_current().then_some(self.seq);
        self.seq += 1;
        post(self.road, self.task, TaskResult { seq, chunk: Some(chunk), ..<_>::default() }).await
    }
}

async fn whole(road: &Road, task: &str, mut response: Response) -> Result<(), TaskFailure> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|_| broke_off())? {
        if body.len() + bytes.len() > limits::WHOLE_ANSWER {
            let most = limits::WHOLE_ANSWER;
            return Err(failure(code::BACKEND_ABORTED, format!("the answer is over {most} bytes")));
        }
        body.extend_from_slice(&bytes);
    }
    let body = String::from_utf8(body).ok().and_then(|text| RawValue::from_string(text).ok());
    let body = body.ok_or_else(|| {
        let message = format!("the backend's answer ({status}) is no JSON; this way needs it");
        failure(code::BACKEND_ABORTED, message)
    })?;
    let result = TaskResult { status: Some(status), body: Some(body), ..<_>::default() };
    post(road, task, result).await
}

async fn post(road: &Road, task: &str, result: TaskResult) -> Result<(), TaskFailure> {
    match road.mcpd.result(&road.ticket, task, &result).await {
        Delivery::Delivered => Ok(()),
        Delivery::Unwanted => Err(cancelled()),
        Delivery::Broken => {
            Err(failure(code::PUBLISHER_LOST, "a piece of the answer was not taken".into()))
        }
    }
}

fn broke_off() -> TaskFailure {
    failure(code::BACKEND_ABORTED, "the backend broke off".into())
}
