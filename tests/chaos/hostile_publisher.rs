//! One publish key that tries to fill the catalogue, the memory and the disk of the server.

use reqwest::Response;
use serde_json::{Value, json};
use testkit::figure::{figure, scale};
use testkit::mcpd::Mcpd;

/// Registers of the attack.
const REGISTERS: usize = 60;
/// What was promised.
const SESSIONS: usize = 20;
/// The write-ahead log alone grows to 4 MB before it is written back.
const DATABASE_KB: u64 = 8 * 1024;

async fn register(mcpd: &Mcpd, key: &str, wish: &Value) -> Response {
    mcpd.post(wire::paths::REGISTER, key).json(wish).send().await.unwrap()
}

/// Bytes of the database and of what SQLite keeps beside it.
fn on_disk(mcpd: &Mcpd) -> u64 {
    let files = std::fs::read_dir(mcpd.folder.path().join("data")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn one_publish_key_fills_neither_the_catalogue_nor_the_memory_nor_the_disk() {
    let mcpd = Mcpd::quiet(scale().max(0.5)).await;
    let (eve, admin) = (mcpd.token("eve", "publish"), mcpd.token("root", "admin"));
    let disk_before = on_disk(&mcpd);

    // Ten names each time, ten others the next: none was ever served.
    let mut session = Value::Null;
    for round in 0..REGISTERS {
        let names = (0..10).map(|n| json!({"name": format!("name-{round}-{n}"), "pool": "p"}));
        let wish = json!({
            "providerSessionId": session, "providers": names.collect::<Vec<_>>(),
        });
        let registered: Value = register(&mcpd, &eve, &wish).await.json().await.unwrap();
        session = registered["providerSessionId"].clone();
    }
    let list = mcpd.get(wire::paths::NAMES, &admin).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let names = list["names"].as_array().unwrap().len();
    figure("hostile publisher: names that are its own after 600", names, "11 (10 live, 1 pool)");
    assert_eq!(names, 11);

    // Long texts, and a session for each.
    let long = json!({
        "instance": {"id": "i", "name": "x".repeat(900_000)}, "providers": [],
    });
    for _ in 0..10 {
        assert_eq!(register(&mcpd, &eve, &long).await.status(), 400);
    }
    let mut channels = Vec::new();
    let mut refused = 0;
    for _ in 0..REGISTERS {
        let answer = register(&mcpd, &eve, &json!({"providers": []})).await;
        if answer.status() == 429 {
            refused += 1;
            continue;
        }
        let registered: Value = answer.json().await.unwrap();
        let session = registered["providerSessionId"].as_str().unwrap().to_owned();
        let stream = mcpd.get(wire::paths::STREAM, &eve).header(wire::headers::SESSION, session);
        channels.push(stream.send().await.unwrap());
    }
    figure("hostile publisher: sessions with a channel", channels.len(), "≤ 20");
    assert!(channels.len() <= SESSIONS && refused + channels.len() == REGISTERS);
    let grown = on_disk(&mcpd).saturating_sub(disk_before) / 1024;
    figure("hostile publisher: the database grew by, KB", grown, "≤ 8192");
    assert!(grown <= DATABASE_KB, "{grown} KB");

    // Everybody else is served as before.
    let mia = mcpd.token("mia", "publish");
    let wish = json!({"providers": [{"name": "qwen"}]});
    assert_eq!(register(&mcpd, &mia, &wish).await.status(), 201);
}
