//! The usual channel: one response that never ends.

use super::{Reader, Signal, ended};
use crate::reconnect_policy::Ending;
use reqwest::Response;
use std::time::Duration;
use tokio::time::timeout;
use wire::limits::{SSE_EVENT, SSE_LINE};
use wire::sse::{Decoded, Decoder};

pub(super) async fn read(reader: &Reader) -> Signal {
    match timeout(reader.times.hello, reader.mcpd.stream(&reader.session)).await {
        Err(_) => Signal::HeldBack,
        Ok(Err(fault)) => Signal::Ended(Ending::Fault(fault)),
        Ok(Ok(response)) => {
            reader.report_open(response.remote_addr()).await;
            match read_events(reader, response).await {
                Ok(end) | Err(end) => end,
            }
        }
    }
}

/// Reads until the stream ends; both results are the last signal.
async fn read_events(reader: &Reader, mut response: Response) -> Result<Signal, Signal> {
    let mut decoder = Decoder::new(SSE_LINE, SSE_EVENT);
    let mut events = Vec::<Decoded>::new();
    // Only a protocol-2 server sends `hello`.
    let mut is_live = !reader.session.speaks_v2();
    loop {
        let wait = if is_live { reader.times.silence } else { reader.times.hello };
        let bytes = match timeout(wait, response.chunk()).await {
            Err(_) if !is_live => return Ok(Signal::HeldBack),
            Err(_) => {
                return Ok(ended(format!("the server was silent for {}", in_seconds(wait))));
            }
            Ok(Err(_)) => return Ok(ended("the connection to the server broke")),
            Ok(Ok(None)) => return Ok(ended("the server closed the control channel")),
            Ok(Ok(Some(bytes))) => bytes,
        };
        decoder.feed(&bytes, &mut events);
        for decoded in events.drain(..) {
            is_live = true;
            reader.report(decoded).await?;
        }
    }
}

fn in_seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs_f64().round())
}
