//! Requests that must not wait for a database that does not respond.

use crate::responses::SSE;
use crate::server::Server;
use serde_json::json;
use sqlx::Executor as _;
use std::time::Duration;
use testkit::fake_publisher::{frame, ok};

/// Notices come every half second, and a request waits three seconds for its turn.
const SCALE: f64 = 0.05;

#[tokio::test]
async fn a_locked_database_stops_neither_notices_nor_deadlines() {
    let server = Server::start_scaled(SCALE).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let running = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    // The answer goes on until the test's end.
    let answering = tokio::spawn(async move {
        for offset in (0..).step_by(9) {
            uplink.send(frame::data(&task, offset, b"data: 1\n\n")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let running = running.await.unwrap().unwrap();
    let other = server.token("eve", &["publish"]).await;

    let mut database = server.database().await;
    database.execute("BEGIN EXCLUSIVE").await.unwrap();
    let register = json!({"protocol": 2, "providers": [{"name": "other"}]});
    let register = tokio::spawn(server.post(wire::paths::REGISTER, &other).json(&register).send());
    server.entry_where(&caller, "other", |entry| entry["name"] == "other").await;
    let waits = server.chat(&caller, "qwen").send().await.unwrap();
    let text = waits.text().await.unwrap();
    let notices = text.lines().filter(|line| line.starts_with(':')).count();
    assert!(text.contains("queue_timeout"), "{text}");
    assert!(notices >= 2, "the time stood still while the database was locked: {text}");

    database.execute("ROLLBACK").await.unwrap();
    register.await.unwrap().unwrap();
    answering.abort();
    drop(running);
    // Changes that could not be written are written later.
    let stored = async {
        loop {
            let found = sqlx::query("SELECT 1 FROM llms WHERE provider LIKE '%other%'");
            if found.fetch_optional(&mut database).await.unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::server::PATIENCE, stored)
        .await
        .expect("the entry is stored in time");
}
