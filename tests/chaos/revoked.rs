//! A revoked token is invalid at once, also for what is already running.

use crate::setup;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::caller::{read_stream, scripted_chat};
use testkit::figures::{ms, record};
use testkit::setup::chat_body;
use tokio::time::Instant;

#[tokio::test]
async fn a_revoked_token_ends_streams_and_channels_within_a_second() {
    let setup = setup(4).await;
    let admin = setup.mcpd.token("ann", "admin");
    let id_of = |name: &'static str| {
        let (setup, admin) = (&setup, &admin);
        async move {
            let all = setup.mcpd.get("/api/v1/tokens", admin).send().await.unwrap();
            let all: Value = all.json().await.unwrap();
            let all = all["tokens"].as_array().unwrap().clone();
            let found = all.into_iter().find(|token| token["user"] == name).unwrap();
            found["id"].as_str().unwrap().to_owned()
        }
    };
    let body = scripted_chat("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}));
    let mut response = setup.chat(&body).await;
    response.chunk().await.unwrap().unwrap();

    // As an admin does at the console: in the database, without a request to the server.
    let caller = id_of("tom").await;
    let output = setup.mcpd.command(&["token", "revoke", &caller]);
    let revoked = Instant::now();
    let streamed = read_stream(response).await;
    let stream = revoked.elapsed();
    assert!(!streamed.done, "{streamed:?}");
    assert_eq!(setup.chat(&chat_body()).await.status(), 401, "{output}");
    setup.backend.until_open_responses(0).await;

    let publisher = id_of("mia").await;
    let _output = setup.mcpd.command(&["token", "revoke", &publisher]);
    let revoked = Instant::now();
    setup
        .home
        .until_status("the revocation", |status| status.to_string().contains("revoked"))
        .await;
    // At the real scale, status.json is written once a second.
    let shown = revoked.elapsed();
    let response = setup.mcpd.get("/api/v1/llms/qwen", &admin).send().await.unwrap();
    let entry: Value = response.json().await.unwrap();
    assert_eq!(entry["status"], "inactive", "{entry}");
    record("revoked token: an open stream ends after", ms(stream), "≤ 1 s");
    record("revoked token: its publisher shows it after", ms(shown), "≤ 1 s + 1 s to write it");
    assert!(stream <= Duration::from_secs(1), "{stream:?}");
    assert!(shown <= Duration::from_secs(3), "{shown:?}");
}
