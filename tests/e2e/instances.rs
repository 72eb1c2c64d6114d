//! One publishing process per folder.

use crate::{Setup, chat_body};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use testkit::agent::{Agent, Home, provider};
use testkit::process::CommandLine as _;

#[tokio::test]
async fn of_two_agents_on_one_folder_one_publishes_and_the_other_takes_over_when_it_exits() {
    let mut setup = Setup::new().await;
    let entry = setup.mcpd.until_active(&setup.caller, "qwen").await;
    let mut second = Agent::start(&setup.home, &setup.publisher);
    testkit::until("the second agent logs that another process publishes", async || {
        second.process.stderr().contains("another process publishes").then_some(())
    })
    .await;
    assert!(second.process.exit_status().is_none());
    assert_eq!(setup.home.status()["pid"], setup.agent.process.pid());

    setup.agent.process.kill();
    let pid = second.process.pid();
    testkit::within(Duration::from_secs(5), "the second takes over", async || {
        let status = setup.home.status();
        (status["pid"] == pid && status["connection"]["state"] == "online").then_some(())
    })
    .await;
    let again = setup.mcpd.until_active(&setup.caller, "qwen").await;
    assert_eq!(again["id"], entry["id"]);
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    assert!(second.process.stop().await.success());
}

#[tokio::test]
async fn the_status_command_shows_the_status_of_the_publishing_process() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    setup.home.until_status("online", |s| s["connection"]["state"] == "online").await;
    let file = std::fs::metadata(setup.home.file("status.json")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let text = setup.home.run(&["status"]).await.expect_success();
    assert!(text.contains("online") && text.contains("qwen"), "{text}");
    let text = setup.home.run(&["status", "--json"]).await.expect_success();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["connection"]["state"], "online");
}

#[tokio::test]
async fn a_session_that_another_machine_holds_is_taken_over_by_the_takeover_command() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    // The session file was copied to another machine, which has an instance id of its own.
    let copy = Home::with_config(&setup.mcpd.url, &[provider("qwen", &setup.backend.url)]);
    let error = copy.run(&["takeover"]).await.expect_failure();
    assert!(error.contains("nothing publishes"), "{error}");
    std::fs::copy(setup.home.file("provider-session"), copy.file("provider-session")).unwrap();
    let other = Agent::start(&copy, &setup.publisher);
    let offers_takeover = |status: &serde_json::Value| {
        let message = status["connection"]["message"].as_str().unwrap_or_default();
        message.contains("another machine") && message.contains("mcplocal-agent takeover")
    };
    copy.until_status("the takeover command", offers_takeover).await;

    copy.run(&["takeover"]).await.expect_success();
    copy.until_status("online", |s| s["connection"]["state"] == "online").await;
    let lost = |status: &serde_json::Value| status["connection"]["state"] != "online";
    setup.home.until_status("that the session is lost", lost).await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    assert_eq!(other.home.status()["providers"][0]["state"], "ready");
}
