//! A body that takes long to read.

use crate::{at_rest, world};
use std::time::Duration;
use testkit::figure::{figure, ms};
use testkit::world::whole;
use tokio::time::Instant;

#[tokio::test]
async fn sixty_megabytes_of_numbers_keep_nobody_waiting() {
    let world = world(4).await;
    let numbers = format!("{{\"x\":[{}1],\"model\":\"nope\"}}", "1,".repeat(30 << 20));
    let body = numbers.len() >> 20;
    let large = world.mcpd.post("/v1/chat/completions", &world.caller).body(numbers);
    let large = tokio::spawn(async move {
        let began = Instant::now();
        let answer = large.send().await.unwrap();
        (began.elapsed(), answer.status().as_u16())
    });
    let (mut longest, mut asked) = (Duration::ZERO, 0);
    while !large.is_finished() {
        let began = Instant::now();
        assert_eq!(world.chat(&whole()).await.status(), 200);
        longest = longest.max(began.elapsed());
        asked += 1;
    }
    let (took, status) = large.await.unwrap();
    assert_eq!(status, 404);
    let name =
        format!("hostile bodies: longest wait of others while {body} MB of numbers are read");
    figure(&name, format!("{} ({asked} asked in {})", ms(longest), ms(took)), "≤ 100 ms");
    // On a busy machine everything takes longer; read in one piece, the body is most of the wait.
    let most = Duration::from_millis(500).max(took / 3);
    assert!(longest <= most, "{longest:?} of {took:?}, {asked} asked");
    at_rest(&world).await;
}
