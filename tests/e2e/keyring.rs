//! Tokens in a real gnome-keyring.

use serde_json::json;
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::keyring::Keyring;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

#[tokio::test]
async fn the_agents_token_is_stored_in_the_keyring_used_from_it_and_deleted_from_it() {
    let (keyring, mcpd, backend) =
        (Keyring::unlocked().await, Mcpd::start().await, FakeBackend::awake().await);
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let token = mcpd.token("mia", "publish");
    // A credentials file of the earlier system exists; signing in removes it.
    std::fs::write(home.file("credentials"), json!({"token": token}).to_string()).unwrap();
    let login = ["login", "--url", &mcpd.url];
    let output = home.run_with(&login, &token, &keyring.environment()).await.expect_success();
    assert!(output.contains("in the keychain"), "{output}");
    assert!(!home.file("credentials").exists());
    let mut agent = Agent::with_environment(&home, &keyring.environment());
    let status = home.until_status("online", |s| s["connection"]["state"] == "online").await;
    assert_eq!(status["credentials"], "keychain");
    agent.process.stop().await;

    home.run_with(&["logout"], "", &keyring.environment()).await.expect_success();
    let _agent = Agent::with_environment(&home, &keyring.environment());
    home.until_status("not configured", |s| s["connection"]["state"] == "notConfigured").await;
}

#[tokio::test]
async fn the_agent_waits_for_a_locked_keyring_and_publishes_when_it_is_unlocked() {
    let (mut keyring, mcpd, backend) =
        (Keyring::unlocked().await, Mcpd::start().await, FakeBackend::awake().await);
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let login = ["login", "--url", &mcpd.url];
    let token = mcpd.token("mia", "publish");
    home.run_with(&login, &token, &keyring.environment()).await.expect_success();
    keyring.lock();
    let _agent = Agent::with_environment(&home, &keyring.environment());
    home.until_status("waiting", |s| s["connection"]["state"] == "waitingForKeyring").await;
    keyring.unlock();
    home.until_status("online", |s| s["connection"]["state"] == "online").await;
}

#[tokio::test]
async fn mcpctl_stores_its_token_in_the_keyring_apart_from_the_agents() {
    let (keyring, mcpd) = (Keyring::unlocked().await, Mcpd::start().await);
    let mcpctl = Mcpctl::fresh();
    mcpctl.run(&["config", "set-url", &mcpd.url]).await.expect_success();
    let environment = keyring.environment();
    let key = mcpd.token("tom", "infer");
    mcpctl.run_with(&["config", "set-token"], &key, &environment).await.expect_success();
    assert!(!std::fs::read_to_string(mcpctl.file()).unwrap().contains(&key));
    mcpctl.run_with(&["get", "llm"], "", &environment).await.expect_success();
    let shown = mcpctl.run_with(&["config", "show"], "", &environment).await.expect_success();
    assert!(shown.contains("from keychain"), "{shown}");
    let home = Home::with_config(&mcpd.url, &[provider("qwen", "http://127.0.0.1:9")]);
    let _agent = Agent::with_environment(&home, &environment);
    home.until_status("not configured", |s| s["connection"]["state"] == "notConfigured").await;
    mcpctl.run_with(&["config", "unset"], "", &environment).await.expect_success();
    mcpctl.run_with(&["get", "llm"], "", &environment).await.expect_failure();
}
