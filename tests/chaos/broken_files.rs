//! Damaged files in the agent's folder.

use crate::setup;
use serde_json::{Value, json};
use testkit::agent::provider;
use testkit::figures::{record, times};
use testkit::setup::{Setup, chat_body, with_keys};
use trust::choices::Choices;

/// Damages a text as an editor, a crash or a sync tool might.
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

/// Writes a valid configuration, and waits until the catalogue shows that exactly this one was read.
async fn repair(setup: &Setup, round: usize) -> String {
    let description = format!("round {round}");
    let more = json!({"maxConcurrency": 2, "description": description});
    setup
        .home
        .configure(&setup.mcpd.url, &[with_keys(provider("qwen", &setup.backend.url), &more)]);
    let is_read =
        |entry: &Value| entry["description"] == description && entry["status"] == "active";
    setup
        .mcpd
        .until_entry(&setup.caller, "qwen", |entry| is_read(entry) && entry["connected"] == true)
        .await;
    setup.home.read("config.json")
}

#[tokio::test]
async fn damaged_files_do_not_end_the_agent_and_the_last_valid_configuration_stays_in_force() {
    let mut setup = setup(2).await;
    let mut good = setup.home.read("config.json");
    let session = setup.home.read("provider-session");
    let mut choices = Choices::from_seed(1);
    let (mut tried, mut published) = (0, 0);
    for round in 0..times(10_000, 300) {
        let bytes = damaged(&good, &mut choices);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        std::fs::write(setup.home.file("config.json"), &bytes).unwrap();
        let broken =
            std::str::from_utf8(&bytes).is_err() || registrar::config::parse(&text).is_err();
        if broken {
            // A file that cannot be read changes nothing: the model can still be called.
            let response = setup.chat(&chat_body()).await;
            assert_eq!(response.status(), 200, "round {round}: {text}");
            published += 1;
        } else {
            // The file is valid but may mean something else: start again from a known one.
            good = repair(&setup, round).await;
        }
        tried += 1;
        assert!(setup.agent.process.exit_status().is_none(), "the agent exited because of {text}");
    }
    repair(&setup, 0).await;

    for _ in 0..times(100, 5) {
        setup.agent.process.stop().await;
        std::fs::write(setup.home.file("provider-session"), damaged(&session, &mut choices))
            .unwrap();
        setup.agent = crate::Agent::scaled(&setup.home, &setup.publisher, crate::scale());
        setup.mcpd.until_active(&setup.caller, "qwen").await;
        tried += 1;
    }
    let panics = setup.agent.process.stderr().matches("panicked").count();
    let found =
        format!("{panics} panics in {tried}; still published in all {published} broken ones");
    record("damaged config and session files", found, "0 panics in 10,000, last good kept");
    assert_eq!(panics, 0);
    let status: Value = setup.home.status();
    assert!(!status.is_null());
}
