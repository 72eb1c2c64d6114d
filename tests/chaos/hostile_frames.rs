//! A caller whose request makes a frame that is too long for a publisher to read.

use crate::at_rest;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::figure::{figure, scale, scaled};
use testkit::mcpd::Mcpd;
use testkit::world::{World, and, whole};

/// Requests of each side.
const REQUESTS: usize = 5;

#[tokio::test]
async fn long_headers_and_a_long_line_of_one_caller_leave_the_machines_other_model_alone() {
    let (mcpd, backend) = (Mcpd::quiet(scale()).await, Backend::awake().await);
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer:other"));
    let attacker = mcpd.token("eve", "infer:qwen");
    let entries = [provider("qwen", &backend.url), provider("other", &backend.url)];
    let home = Home::with(&mcpd.url, &entries);
    let agent = Agent::scaled(&home, &publisher, scale());
    mcpd.active(&attacker, "qwen").await;
    mcpd.active(&caller, "other").await;

    let around = "{\"model\":\"qwen\",\"x\":\"\"}".len();
    let line = format!("{{\"model\":\"qwen\",\"x\":\"{}\"}}", "x".repeat(65_536 - around));
    let body = and(whole(), &json!({"model": "other"}));
    let (mut attacks, mut answered) = (Vec::new(), 0);
    for _ in 0..REQUESTS {
        let attack = mcpd.post("/v1/chat/completions", &attacker).body(line.clone());
        let attack = attack.header("anthropic-beta", "\"".repeat(60_000));
        attacks.push(tokio::spawn(attack.send()));
        tokio::time::sleep(scaled(Duration::from_secs(2))).await;
        let ask = mcpd.post("/v1/chat/completions", &caller).json(&body).send();
        let answer = tokio::time::timeout(scaled(Duration::from_secs(15)), ask).await;
        answered += usize::from(answer.is_ok_and(|a| a.is_ok_and(|a| a.status() == 200)));
        tokio::time::sleep(scaled(Duration::from_secs(18))).await;
    }
    figure(
        "hostile frames: a neighbour's requests answered meanwhile",
        format!("{answered} of {REQUESTS}"),
        "all",
    );
    assert_eq!(answered, REQUESTS);
    for refused in join_all(attacks).await {
        assert_eq!(refused.unwrap().unwrap().status(), 431);
    }
    at_rest(&World { agent, home, backend, mcpd, publisher, caller: attacker }).await;
}
