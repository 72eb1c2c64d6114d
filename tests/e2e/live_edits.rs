//! An edit of config.json takes effect within two seconds and does not affect other requests.

use crate::{Setup, chat_body, with_keys};
use serde_json::json;
use std::time::Duration;
use testkit::agent::provider;
use testkit::caller::{counted, read_stream};
use testkit::fake_backend::FakeBackend;
use testkit::process::CommandLine as _;

/// The promised time for an edit to take effect.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn publishing_and_unpublishing_another_model_does_not_affect_a_running_response() {
    let setup = Setup::new().await;
    let url = &setup.backend.url;
    let running = setup.scripted_chat(json!({"do": "count", "n": 60, "pauseMs": 50})).await;
    let edits = async {
        let is = async |name: &str, there: bool| {
            testkit::within(SOON, "the catalogue follows the file", async || {
                let path = format!("/api/v1/llms/{name}");
                let response = setup.mcpd.get(&path, &setup.caller).send().await.unwrap();
                ((response.status() == 200) == there).then_some(())
            })
            .await;
        };
        setup.home.configure(&setup.mcpd.url, &[provider("qwen", url), provider("other", url)]);
        is("other", true).await;
        setup.home.configure(&setup.mcpd.url, &[provider("qwen", url)]);
        is("other", false).await;
        is("qwen", true).await;
    };
    let (streamed, ()) = tokio::join!(read_stream(running), edits);
    assert_eq!((streamed.text, streamed.done), (counted(60), true));
}

#[tokio::test]
async fn an_unpublished_model_takes_no_new_request_and_completes_the_running_one() {
    let setup = Setup::new().await;
    let running = setup.scripted_chat(json!({"do": "count", "n": 30, "pauseMs": 50})).await;
    let unpublish = async {
        setup.home.run(&["unpublish", "qwen"]).await.expect_success();
        testkit::within(SOON, "the model is gone", async || {
            (setup.chat(&chat_body()).await.status() == 404).then_some(())
        })
        .await;
    };
    let (streamed, ()) = tokio::join!(read_stream(running), unpublish);
    assert_eq!((streamed.text, streamed.done), (counted(30), true));
}

#[tokio::test]
async fn a_new_url_of_a_provider_takes_effect_with_the_next_request() {
    let setup = Setup::new().await;
    let second = FakeBackend::awake().await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    setup.home.configure(&setup.mcpd.url, &[provider("qwen", &second.url)]);
    testkit::within(SOON, "the new backend gets a request", async || {
        assert_eq!(setup.chat(&chat_body()).await.status(), 200);
        (!second.requests().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_changed_recipe_is_the_one_that_runs() {
    let backend = FakeBackend::asleep().await;
    let good = backend.wake_command();
    let mcpd = testkit::mcpd::Mcpd::start().await;
    let bad = json!({"wake": {"type": "command", "command": "false"}});
    let setup = Setup::with_parts(mcpd, backend, |entry| with_keys(entry, &bad)).await;
    let changed = with_keys(provider("qwen", &setup.backend.url), &json!({"wake": good}));
    setup.home.configure(&setup.mcpd.url, &[changed]);
    // The catalogue does not show recipes, so the test cannot wait for the change itself.
    tokio::time::sleep(SOON).await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    assert_eq!(setup.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn the_publish_command_switches_a_model_on_in_the_configuration() {
    let setup = Setup::with_entry(|entry| entry).await;
    let private = with_keys(provider("private", &setup.backend.url), &json!({"publish": false}));
    setup.home.configure(&setup.mcpd.url, &[provider("qwen", &setup.backend.url), private]);
    setup.home.run(&["publish", "private"]).await.expect_success();
    setup.mcpd.until_active(&setup.caller, "private").await;
    let text = setup.home.run(&["publish", "nothing"]).await.expect_failure();
    assert!(text.contains("private"), "{text}");
}
