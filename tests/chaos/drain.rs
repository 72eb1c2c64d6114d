//! A planned shutdown of the server.

use crate::setup_with;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::caller::{counted, read_stream, scripted_chat};
use testkit::figures::{ms, record, scale, thorough};
use tokio::time::Instant;

const STREAMS: usize = 50;

#[tokio::test]
async fn running_responses_complete_while_the_server_drains() {
    let mut setup = setup_with(&json!({"maxConcurrency": STREAMS})).await;
    // Responses of up to 20 s: each has two pieces more than the one before.
    let pause = if thorough() { 200 } else { 20 };
    let mut running = Vec::new();
    for number in 0..STREAMS as u64 {
        let script = json!({"do": "count", "n": 10 + number * 2, "pauseMs": pause});
        let mut response = setup.chat(&scripted_chat("qwen", script)).await;
        let first = response.chunk().await.unwrap().unwrap();
        running.push((number, first, response));
    }
    setup.mcpd.process.signal("TERM");
    let signalled = Instant::now();
    let complete = join_all(running.into_iter().map(async |(number, first, response)| {
        let rest = read_stream(response).await;
        let begun = String::from_utf8_lossy(&first).matches("content").count() as u64;
        let text = counted(10 + number * 2);
        rest.done && counted(begun) + &rest.text == text
    }));
    let complete = complete.await.into_iter().filter(|complete| *complete).count();
    let bound = Duration::from_secs(40).mul_f64(scale());
    testkit::within(bound, "the server exits", async || setup.mcpd.process.exit_status()).await;
    let took = signalled.elapsed().div_f64(scale());
    record("drain with 50 running streams: complete", format!("{complete} of {STREAMS}"), "all");
    record("drain with 50 running streams: exit after", ms(took), "≤ 35 s");
    assert_eq!(complete, STREAMS);
}
