//! The server's planned end.

use crate::world_with;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::caller::{counted, read, scripted};
use testkit::figure::{figure, ms, scale, thorough};
use tokio::time::Instant;

const STREAMS: usize = 50;

#[tokio::test]
async fn running_answers_end_whole_while_the_server_drains() {
    let mut world = world_with(&json!({"maxConcurrency": STREAMS})).await;
    // Answers of up to 20 s: each has as many pieces as its number allows.
    let pause = if thorough() { 200 } else { 20 };
    let mut running = Vec::new();
    for number in 0..STREAMS as u64 {
        let script = json!({"do": "count", "n": 10 + number * 2, "pauseMs": pause});
        let mut answer = world.chat(&scripted("qwen", script)).await;
        let first = answer.chunk().await.unwrap().unwrap();
        running.push((number, first, answer));
    }
    world.mcpd.process.signal("TERM");
    let told = Instant::now();
    let whole = join_all(running.into_iter().map(async |(number, first, answer)| {
        let rest = read(answer).await;
        let begun = String::from_utf8_lossy(&first).matches("content").count() as u64;
        let text = counted(10 + number * 2);
        rest.done && counted(begun) + &rest.text == text
    }));
    let whole = whole.await.into_iter().filter(|whole| *whole).count();
    let bound = Duration::from_secs(40).mul_f64(scale());
    testkit::within(bound, "the server ends", async || world.mcpd.process.ended()).await;
    let took = told.elapsed().div_f64(scale());
    figure("drain with 50 running streams: complete", format!("{whole} of {STREAMS}"), "all");
    figure("drain with 50 running streams: exit after", ms(took), "≤ 35 s");
    assert_eq!(whole, STREAMS);
}
