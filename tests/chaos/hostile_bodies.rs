//! A body that takes a long time to parse.

use crate::{setup, until_idle};
use std::time::Duration;
use testkit::figures::{ms, record};
use testkit::setup::chat_body;
use tokio::time::Instant;

#[tokio::test]
async fn a_body_of_sixty_megabytes_does_not_delay_other_callers() {
    let setup = setup(4).await;
    let numbers = format!("{{\"x\":[{}1],\"model\":\"nope\"}}", "1,".repeat(30 << 20));
    let body = numbers.len() >> 20;
    let large = setup.mcpd.post("/v1/chat/completions", &setup.caller).body(numbers);
    let large = tokio::spawn(async move {
        let began = Instant::now();
        let response = large.send().await.unwrap();
        (began.elapsed(), response.status().as_u16())
    });
    let (mut longest, mut calls) = (Duration::ZERO, 0);
    while !large.is_finished() {
        let began = Instant::now();
        assert_eq!(setup.chat(&chat_body()).await.status(), 200);
        longest = longest.max(began.elapsed());
        calls += 1;
    }
    let (took, status) = large.await.unwrap();
    assert_eq!(status, 404);
    let name = format!(
        "hostile bodies: longest wait of other callers while {body} MB of numbers are read"
    );
    record(&name, format!("{} ({calls} calls in {})", ms(longest), ms(took)), "≤ 100 ms");
    // On a busy machine all times are longer. A body that is read without a pause takes most of `took`.
    let most = Duration::from_millis(500).max(took / 3);
    assert!(longest <= most, "{longest:?} of {took:?}, {calls} calls");
    until_idle(&setup).await;
}
