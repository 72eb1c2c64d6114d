//! The bearer in a real gnome-keyring.

use serde_json::json;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::keyring::Keyring;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

#[tokio::test]
async fn the_bearer_is_kept_in_the_keyring_used_from_there_and_deleted_from_there() {
    let (keyring, mcpd, backend) =
        (Keyring::unlocked().await, Mcpd::start().await, Backend::awake().await);
    let home = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    // The seed system's file is there still; signing in moves out of it.
    std::fs::write(home.file("credentials"), json!({"token": token}).to_string()).unwrap();
    let login = ["login", "--url", &mcpd.url];
    let said = home.run_with(&login, &token, &keyring.environment()).await.good();
    assert!(said.contains("in the keychain"), "{said}");
    assert!(!home.file("credentials").exists());
    let mut agent = Agent::with(&home, &keyring.environment());
    let status = home.shows("online", |s| s["connection"]["state"] == "online").await;
    assert_eq!(status["credentials"], "keychain");
    agent.process.stop().await;

    home.run_with(&["logout"], "", &keyring.environment()).await.good();
    let _agent = Agent::with(&home, &keyring.environment());
    home.shows("not configured", |s| s["connection"]["state"] == "notConfigured").await;
}

#[tokio::test]
async fn a_locked_keyring_is_waited_for_and_publishing_begins_when_it_is_unlocked() {
    let (mut keyring, mcpd, backend) =
        (Keyring::unlocked().await, Mcpd::start().await, Backend::awake().await);
    let home = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let login = ["login", "--url", &mcpd.url];
    let token = mcpd.token("mia", "publish");
    home.run_with(&login, &token, &keyring.environment()).await.good();
    keyring.lock();
    let _agent = Agent::with(&home, &keyring.environment());
    home.shows("waiting", |s| s["connection"]["state"] == "waitingForKeyring").await;
    keyring.unlock();
    home.shows("online", |s| s["connection"]["state"] == "online").await;
}

#[tokio::test]
async fn mcpctl_keeps_its_key_there_too_apart_from_the_agents() {
    let (keyring, mcpd) = (Keyring::unlocked().await, Mcpd::start().await);
    let mcpctl = Mcpctl::fresh();
    mcpctl.run(&["config", "set-url", &mcpd.url]).await.good();
    let environment = keyring.environment();
    let key = mcpd.token("tom", "infer");
    mcpctl.run_with(&["config", "set-token"], &key, &environment).await.good();
    assert!(!std::fs::read_to_string(mcpctl.file()).unwrap().contains(&key));
    mcpctl.run_with(&["get", "llm"], "", &environment).await.good();
    let shown = mcpctl.run_with(&["config", "show"], "", &environment).await.good();
    assert!(shown.contains("from keychain"), "{shown}");
    let home = Home::with(&mcpd.url, &[provider("qwen", "http://127.0.0.1:9")]);
    let _agent = Agent::with(&home, &environment);
    home.shows("not configured", |s| s["connection"]["state"] == "notConfigured").await;
    mcpctl.run_with(&["config", "unset"], "", &environment).await.good();
    mcpctl.run_with(&["get", "llm"], "", &environment).await.bad();
}
