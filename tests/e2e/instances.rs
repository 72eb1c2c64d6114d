//! One registrar per folder.

use crate::{World, whole};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use testkit::agent::{Agent, Home, provider};
use testkit::process::CommandLine as _;

#[tokio::test]
async fn of_two_agents_on_one_folder_one_publishes_and_the_other_takes_over_when_it_ends() {
    let mut world = World::new().await;
    let row = world.mcpd.active(&world.caller, "qwen").await;
    let mut second = Agent::start(&world.home, &world.publisher);
    testkit::until("the second shows the first", async || {
        second.process.err().contains("another process publishes").then_some(())
    })
    .await;
    assert!(second.process.ended().is_none());
    assert_eq!(world.home.status()["pid"], world.agent.process.pid());

    world.agent.process.kill();
    let pid = second.process.pid();
    testkit::within(Duration::from_secs(5), "the second takes over", async || {
        let status = world.home.status();
        (status["pid"] == pid && status["connection"]["state"] == "online").then_some(())
    })
    .await;
    let again = world.mcpd.active(&world.caller, "qwen").await;
    assert_eq!(again["id"], row["id"]);
    assert_eq!(world.chat(&whole()).await.status(), 200);
    assert!(second.process.stop().await.success());
}

#[tokio::test]
async fn the_status_command_reads_what_the_publishing_process_wrote() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    world.home.shows("online", |s| s["connection"]["state"] == "online").await;
    let file = std::fs::metadata(world.home.file("status.json")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let text = world.home.run(&["status"]).await.good();
    assert!(text.contains("online") && text.contains("qwen"), "{text}");
    let text = world.home.run(&["status", "--json"]).await.good();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["connection"]["state"], "online");
}

#[tokio::test]
async fn a_session_that_another_machine_holds_is_taken_over_when_its_owner_says_so() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    // The folder came to another machine; that one has an instance id of its own.
    let copy = Home::with(&world.mcpd.url, &[provider("qwen", &world.backend.url)]);
    let nobody = copy.run(&["takeover"]).await.bad();
    assert!(nobody.contains("nothing publishes"), "{nobody}");
    std::fs::copy(world.home.file("provider-session"), copy.file("provider-session")).unwrap();
    let other = Agent::start(&copy, &world.publisher);
    let is_told = |status: &serde_json::Value| {
        let message = status["connection"]["message"].as_str().unwrap_or_default();
        message.contains("another machine") && message.contains("mcplocal-agent takeover")
    };
    copy.shows("what can be done", is_told).await;

    copy.run(&["takeover"]).await.good();
    copy.shows("online", |s| s["connection"]["state"] == "online").await;
    let lost = |status: &serde_json::Value| status["connection"]["state"] != "online";
    world.home.shows("that it lost the session", lost).await;
    assert_eq!(world.chat(&whole()).await.status(), 200);
    assert_eq!(other.home.status()["providers"][0]["state"], "ready");
}
