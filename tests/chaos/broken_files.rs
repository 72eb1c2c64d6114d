//! Files of the folder that somebody, or something, has damaged.

use crate::world;
use serde_json::{Value, json};
use testkit::agent::provider;
use testkit::figure::{figure, times};
use testkit::world::{World, and, whole};
use trust::choices::Choices;

/// What an editor, a crash or a sync tool may leave of a text.
fn damaged(text: &str, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=choices.below(3) {
        let at = choices.index(bytes.len().max(1));
        match choices.below(5) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = u8::try_from(choices.below(256)).unwrap(),
            2 => drop(bytes.drain(at..(at + choices.index(40)).min(bytes.len()))),
            3 => bytes.splice(at..at, b"[{\"1e999,:".iter().copied()).for_each(drop),
            _ => bytes.insert(at, b'"'),
        }
    }
    bytes
}

/// Writes a good file again, and waits until the catalogue shows that it, and no older one, was read.
async fn mended(world: &World, round: usize) -> String {
    let description = format!("round {round}");
    let more = json!({"maxConcurrency": 2, "description": description});
    world.home.configure(&world.mcpd.url, &[and(provider("qwen", &world.backend.url), &more)]);
    let is_read = |row: &Value| row["description"] == description && row["status"] == "active";
    world.mcpd.row(&world.caller, "qwen", |row| is_read(row) && row["connected"] == true).await;
    world.home.read("config.json")
}

#[tokio::test]
async fn damaged_files_never_end_the_agent_and_the_last_good_word_stays() {
    let mut world = world(2).await;
    let mut good = world.home.read("config.json");
    let session = world.home.read("provider-session");
    let mut choices = Choices::from_seed(1);
    let (mut tried, mut published) = (0, 0);
    for round in 0..times(10_000, 300) {
        let bytes = damaged(&good, &mut choices);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        std::fs::write(world.home.file("config.json"), &bytes).unwrap();
        let broken =
            std::str::from_utf8(&bytes).is_err() || registrar::config::parse(&text).is_err();
        if broken {
            // What cannot be read changes nothing: the model can be called.
            let answer = world.chat(&whole()).await;
            assert_eq!(answer.status(), 200, "round {round}: {text}");
            published += 1;
        } else {
            // It may say something else now; the next one shall be broken against a good one.
            good = mended(&world, round).await;
        }
        tried += 1;
        assert!(world.agent.process.ended().is_none(), "it ended over {text}");
    }
    mended(&world, 0).await;

    for _ in 0..times(100, 5) {
        world.agent.process.stop().await;
        std::fs::write(world.home.file("provider-session"), damaged(&session, &mut choices))
            .unwrap();
        world.agent = crate::Agent::scaled(&world.home, &world.publisher, crate::scale());
        world.mcpd.active(&world.caller, "qwen").await;
        tried += 1;
    }
    let panics = world.agent.process.err().matches("panicked").count();
    let said =
        format!("{panics} panics in {tried}; still published in all {published} broken ones");
    figure("damaged config and session files", said, "0 panics in 10,000, last good kept");
    assert_eq!(panics, 0);
    let status: Value = world.home.status();
    assert!(!status.is_null());
}
