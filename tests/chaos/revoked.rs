//! A token that is taken away is dead at once, for what runs too.

use crate::world;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::caller::{read, scripted};
use testkit::figure::{figure, ms};
use testkit::world::whole;
use tokio::time::Instant;

#[tokio::test]
async fn a_revoked_token_ends_streams_and_channels_within_a_second() {
    let world = world(4).await;
    let admin = world.mcpd.token("ann", "admin");
    let ids = |name: &'static str| {
        let (world, admin) = (&world, &admin);
        async move {
            let all = world.mcpd.get("/api/v1/tokens", admin).send().await.unwrap();
            let all: Value = all.json().await.unwrap();
            let all = all["tokens"].as_array().unwrap().clone();
            let found = all.into_iter().find(|token| token["user"] == name).unwrap();
            found["id"].as_str().unwrap().to_owned()
        }
    };
    let body = scripted("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}));
    let mut answer = world.chat(&body).await;
    answer.chunk().await.unwrap().unwrap();

    // As an admin does it at the console, behind the server's back.
    let caller = ids("tom").await;
    let said = world.mcpd.command(&["token", "revoke", &caller]);
    let revoked = Instant::now();
    let streamed = read(answer).await;
    let stream = revoked.elapsed();
    assert!(!streamed.done, "{streamed:?}");
    assert_eq!(world.chat(&whole()).await.status(), 401, "{said}");
    world.backend.until_open(0).await;

    let publisher = ids("mia").await;
    let _said = world.mcpd.command(&["token", "revoke", &publisher]);
    let revoked = Instant::now();
    world.home.shows("stopped", |status| status.to_string().contains("revoked")).await;
    // The status is written once a second.
    let shown = revoked.elapsed();
    let rows = world.mcpd.get("/api/v1/llms/qwen", &admin).send().await.unwrap();
    let row: Value = rows.json().await.unwrap();
    assert_eq!(row["status"], "inactive", "{row}");
    figure("revoked token: an open stream ends after", ms(stream), "≤ 1 s");
    figure("revoked token: its publisher says so after", ms(shown), "≤ 1 s + 1 s to write it");
    assert!(stream <= Duration::from_secs(1), "{stream:?}");
    assert!(shown <= Duration::from_secs(3), "{shown:?}");
}
