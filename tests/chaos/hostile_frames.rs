//! A caller whose request becomes a frame that is too long for its publisher.

use crate::until_idle;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::figures::{record, scale, scaled, times};
use testkit::mcpd::Mcpd;
use testkit::setup::{Setup, chat_body, with_keys};

#[tokio::test]
async fn long_headers_and_a_long_line_of_one_caller_do_not_affect_another_model_of_the_machine() {
    let (mcpd, backend) = (Mcpd::logging("info", scale()).await, FakeBackend::awake().await);
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer:other"));
    let attacker = mcpd.token("eve", "infer:qwen");
    let entries = [provider("qwen", &backend.url), provider("other", &backend.url)];
    let home = Home::with_config(&mcpd.url, &entries);
    let agent = Agent::scaled(&home, &publisher, scale());
    mcpd.until_active(&attacker, "qwen").await;
    mcpd.until_active(&caller, "other").await;

    let around = "{\"model\":\"qwen\",\"x\":\"\"}".len();
    let line = format!("{{\"model\":\"qwen\",\"x\":\"{}\"}}", "x".repeat(65_536 - around));
    let body = with_keys(chat_body(), &json!({"model": "other"}));
    let requests = times(5, 3);
    let (mut attacks, mut answered) = (Vec::new(), 0);
    for _ in 0..requests {
        let attack = mcpd.post("/v1/chat/completions", &attacker).body(line.clone());
        let attack = attack.header("anthropic-beta", "\"".repeat(60_000));
        attacks.push(tokio::spawn(attack.send()));
        tokio::time::sleep(scaled(Duration::from_secs(2))).await;
        let call = mcpd.post("/v1/chat/completions", &caller).json(&body).send();
        let response = tokio::time::timeout(scaled(Duration::from_secs(15)), call).await;
        answered += usize::from(response.is_ok_and(|r| r.is_ok_and(|r| r.status() == 200)));
        tokio::time::sleep(scaled(Duration::from_secs(18))).await;
    }
    record(
        "hostile frames: requests of another caller answered meanwhile",
        format!("{answered} of {requests}"),
        "all",
    );
    assert_eq!(answered, requests);
    for refused in join_all(attacks).await {
        assert_eq!(refused.unwrap().unwrap().status(), 431);
    }
    until_idle(&Setup { agent, home, backend, mcpd, publisher, caller: attacker }).await;
}
