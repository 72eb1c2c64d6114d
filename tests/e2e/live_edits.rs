//! An edit of config.json takes effect within two seconds and touches nobody else's answers.

use crate::{World, and, whole};
use serde_json::json;
use std::time::Duration;
use testkit::agent::provider;
use testkit::backend::Backend;
use testkit::caller::{counted, read};
use testkit::process::CommandLine as _;

/// What people are promised.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn publishing_another_and_unpublishing_it_leaves_a_running_answer_alone() {
    let world = World::new().await;
    let url = &world.backend.url;
    let running = world.scripted(json!({"do": "count", "n": 60, "pauseMs": 50})).await;
    let edits = async {
        let is = async |name: &str, there: bool| {
            testkit::within(SOON, "the catalogue follows the file", async || {
                let path = format!("/api/v1/llms/{name}");
                let answer = world.mcpd.get(&path, &world.caller).send().await.unwrap();
                ((answer.status() == 200) == there).then_some(())
            })
            .await;
        };
        world.home.configure(&world.mcpd.url, &[provider("qwen", url), provider("other", url)]);
        is("other", true).await;
        world.home.configure(&world.mcpd.url, &[provider("qwen", url)]);
        is("other", false).await;
        is("qwen", true).await;
    };
    let (streamed, ()) = tokio::join!(read(running), edits);
    assert_eq!((streamed.text, streamed.done), (counted(60), true));
}

#[tokio::test]
async fn an_unpublished_model_takes_no_new_request_and_ends_the_one_that_runs() {
    let world = World::new().await;
    let running = world.scripted(json!({"do": "count", "n": 30, "pauseMs": 50})).await;
    let unpublish = async {
        world.home.run(&["unpublish", "qwen"]).await.good();
        testkit::within(SOON, "it is gone", async || {
            (world.chat(&whole()).await.status() == 404).then_some(())
        })
        .await;
    };
    let (streamed, ()) = tokio::join!(read(running), unpublish);
    assert_eq!((streamed.text, streamed.done), (counted(30), true));
}

#[tokio::test]
async fn a_new_url_of_one_provider_takes_its_next_request() {
    let world = World::new().await;
    let second = Backend::awake().await;
    assert_eq!(world.chat(&whole()).await.status(), 200);
    world.home.configure(&world.mcpd.url, &[provider("qwen", &second.url)]);
    testkit::within(SOON, "the new backend is asked", async || {
        assert_eq!(world.chat(&whole()).await.status(), 200);
        (!second.seen().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_mended_recipe_is_the_one_that_runs() {
    let backend = Backend::asleep().await;
    let good = backend.wake_command();
    let mcpd = testkit::mcpd::Mcpd::start().await;
    let bad = json!({"wake": {"type": "command", "command": "false"}});
    let world = World::on(mcpd, backend, |entry| and(entry, &bad)).await;
    let mended = and(provider("qwen", &world.backend.url), &json!({"wake": good}));
    world.home.configure(&world.mcpd.url, &[mended]);
    // Nothing about the recipe is in the catalogue: the wake itself shows which one is in force.
    tokio::time::sleep(SOON).await;
    assert_eq!(world.chat(&whole()).await.status(), 200);
    assert_eq!(world.backend.recipe_runs(), 1);
}

#[tokio::test]
async fn the_command_line_switches_a_model_on_in_the_file() {
    let world = World::with(|entry| entry).await;
    let private = and(provider("private", &world.backend.url), &json!({"publish": false}));
    world.home.configure(&world.mcpd.url, &[provider("qwen", &world.backend.url), private]);
    world.home.run(&["publish", "private"]).await.good();
    world.mcpd.active(&world.caller, "private").await;
    let text = world.home.run(&["publish", "nothing"]).await.bad();
    assert!(text.contains("private"), "{text}");
}
