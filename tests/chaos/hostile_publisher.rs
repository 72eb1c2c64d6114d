//! One publish token that tries to fill the server's catalogue, memory and disk.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::fake_publisher::{FakePublisher, frame, ok, register};
use testkit::figures::{record, scale};
use testkit::mcpd::Mcpd;
use testkit::setup::chat_body;

/// Registers of the attack.
const REGISTERS: usize = 60;
/// Bound of sessions with a channel.
const SESSIONS: usize = 20;
/// Bound of the database's growth. The write-ahead log alone grows to 4 MB before a checkpoint.
const DATABASE_KB: u64 = 8 * 1024;
/// Pieces of one byte that nobody takes, each sent with a frame of 64 KiB that is skipped.
const PIECES: usize = 2_000;
/// MiB by which mcpd may grow for them.
const STUCK: u64 = 16;

/// Bytes of the database and of SQLite's files beside it.
fn on_disk(mcpd: &Mcpd) -> u64 {
    let files = std::fs::read_dir(mcpd.folder.path().join("data")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn one_publish_token_fills_neither_the_catalogue_nor_the_memory_nor_the_disk() {
    let mcpd = Mcpd::logging("info", scale().max(0.5)).await;
    let (eve, admin) = (mcpd.token("eve", "publish"), mcpd.token("root", "admin"));
    let disk_before = on_disk(&mcpd);

    // Ten new names with each register; none is ever served.
    let mut session = Value::Null;
    for round in 0..REGISTERS {
        let names = (0..10).map(|n| json!({"name": format!("name-{round}-{n}"), "pool": "p"}));
        let providers = names.collect::<Vec<_>>();
        let body = json!({"providerSessionId": session, "providers": providers});
        let registered: Value = register(&mcpd.url, &eve, &body).await.json().await.unwrap();
        session = registered["providerSessionId"].clone();
    }
    let list = mcpd.get(wire::paths::NAMES, &admin).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let names = list["names"].as_array().unwrap().len();
    record(
        "hostile publisher: names that it owns after registering 600",
        names,
        "11 (10 live, 1 pool)",
    );
    assert_eq!(names, 11);

    // Long texts, and a session for each register.
    let long = json!({"instance": {"id": "i", "name": "x".repeat(900_000)}, "providers": []});
    for _ in 0..10 {
        assert_eq!(register(&mcpd.url, &eve, &long).await.status(), 400);
    }
    let mut publishers = Vec::new();
    let mut refused = 0;
    for _ in 0..REGISTERS {
        let response = register(&mcpd.url, &eve, &json!({"providers": []})).await;
        if response.status() == 429 {
            refused += 1;
            continue;
        }
        let registered = response.json().await.unwrap();
        publishers.push(FakePublisher::open_channel(&mcpd.url, &eve, registered).await);
    }
    record("hostile publisher: sessions with a channel", publishers.len(), "≤ 20");
    assert!(publishers.len() <= SESSIONS && refused + publishers.len() == REGISTERS);
    let grown = on_disk(&mcpd).saturating_sub(disk_before) / 1024;
    record("hostile publisher: the database grew by, KB", grown, "≤ 8192");
    assert!(grown <= DATABASE_KB, "{grown} KB");

    // Other users are served as before.
    let mia = mcpd.token("mia", "publish");
    let body = json!({"providers": [{"name": "qwen"}]});
    assert_eq!(register(&mcpd.url, &mia, &body).await.status(), 201);
}

#[tokio::test]
async fn pieces_that_nobody_takes_hold_no_more_memory_than_their_window() {
    let mcpd = Mcpd::logging("info", 1.0).await;
    let (eve, caller) = (mcpd.token("eve", "publish"), mcpd.token("eve", "infer"));
    let wish = json!({"protocol": 2, "providers": [{"name": "qwen"}]});
    let mut publisher = FakePublisher::connect(&mcpd.url, &eve, &wish).await;
    let chat = mcpd.post("/v1/chat/completions", &caller).json(&chat_body());
    let chat = tokio::spawn(chat.send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok("text/event-stream"))).await;
    // A quarter of the window at a time, until the sockets to the caller are full.
    let mut sent = 0;
    let quarter = vec![b'x'; 65_536];
    loop {
        uplink.send(frame::data(&task, sent, &quarter)).await;
        sent += quarter.len();
        let taken = publisher.flow("taken");
        if tokio::time::timeout(Duration::from_millis(500), taken).await.is_err() {
            break;
        }
    }
    let unread = chat.await.unwrap().unwrap();

    let before = mcpd.process.resident_memory();
    let skipped = frame::frame(200, &task, 0, &[0; 65_000]);
    for piece in 0..PIECES {
        let piece = frame::data(&task, sent + piece, b"x");
        uplink.send([&piece[..], &skipped].concat()).await;
    }
    // All of them have been read when the gap behind them is found.
    uplink.send(frame::data(&task, sent + PIECES + 1, b"x")).await;
    assert_eq!(publisher.event().await.0, "cancel");
    let grown = mcpd.process.resident_memory().saturating_sub(before) >> 20;
    record(
        "hostile publisher: 2,000 pieces of one byte that nobody takes",
        format!("+{grown} MB"),
        "≤ +16 MB",
    );
    assert!(grown <= STUCK, "{grown} MB");
    drop(unread);
}
