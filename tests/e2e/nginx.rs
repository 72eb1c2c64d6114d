//! A real nginx between publisher, mcpd and caller, with its default settings: it buffers uploads and,
//! if it can, responses.

use crate::chat_body;
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::caller::{Streamed, counted, read_stream, scripted_chat};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::nginx::{Nginx, RECOMMENDED_LINES};
use testkit::process::CommandLine as _;
use testkit::setup::with_keys;

struct Proxied {
    mcpd: Mcpd,
    nginx: Nginx,
    backend: FakeBackend,
    home: Home,
    caller: String,
    _agent: Agent,
}

impl Proxied {
    async fn start(more: &str) -> Self {
        Self::with("", more).await
    }

    async fn with(defaults: &str, more: &str) -> Self {
        let (mcpd, backend) = (Mcpd::start().await, FakeBackend::awake().await);
        let nginx = Nginx::with_settings(&mcpd.url, defaults, more).await;
        let home = Home::with_config(&nginx.url, &[provider("qwen", &backend.url)]);
        let agent = Agent::start(&home, &mcpd.token("mia", "publish"));
        let caller = mcpd.token("tom", "infer");
        Self { mcpd, nginx, backend, home, caller, _agent: agent }
    }

    async fn chat(&self, body: &Value) -> reqwest::Response {
        let url = format!("{}/v1/chat/completions", self.nginx.url);
        let request = reqwest::Client::new().post(url).bearer_auth(&self.caller).json(body);
        request.send().await.unwrap()
    }

    /// Makes calls of several kinds and checks their responses.
    async fn assert_calls_work(&self) {
        let streamed =
            read_stream(self.chat(&scripted_chat("qwen", json!({"do": "count", "n": 40}))).await);
        let expected = Streamed { text: counted(40), done: true, ..Streamed::default() };
        assert_eq!(streamed.await, expected);
        let events = "event: message_start\ndata: {\"a\": 1}\n\nevent: message_stop\ndata: {}\n\n";
        let script = json!({
            "do": "status", "status": 200, "type": "text/event-stream", "body": events,
        });
        let response = self.chat(&scripted_chat("qwen", script)).await;
        assert_eq!(response.text().await.unwrap(), events, "byte for byte, including event names");
        let response: Value = self.chat(&chat_body()).await.json().await.unwrap();
        assert_eq!(response["choices"][0]["message"]["content"], "whole");
        let text = "{\"error\": \"no such thing\"}";
        let script = json!({"do": "status", "status": 418, "body": text});
        let response = self.chat(&scripted_chat("qwen", script)).await;
        assert_eq!(
            (response.status().as_u16(), response.text().await.unwrap().as_str()),
            (418, text)
        );
    }
}

#[tokio::test]
async fn uploads_that_nginx_buffers_are_sent_in_batches_and_the_status_shows_it() {
    let proxied = Proxied::start("").await;
    proxied.mcpd.until_active(&proxied.caller, "qwen").await;
    let held = |s: &Value| s["channel"] == "stream" && s["upload"] == "batches";
    proxied.home.until_status("batches", held).await;
    proxied.assert_calls_work().await;
    // Token by token: the first one arrives before the backend has sent the rest.
    let script = json!({"do": "count", "n": 5, "stallAt": 3});
    let mut response = proxied.chat(&scripted_chat("qwen", script)).await;
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: "), "{first:?}");
    drop(response);
    proxied.backend.until_open_responses(0).await;
}

#[tokio::test]
async fn a_control_channel_that_is_buffered_becomes_long_polling_and_the_status_shows_it() {
    // Some proxies buffer every response and ignore the headers that forbid it.
    let proxied = Proxied::start("proxy_ignore_headers X-Accel-Buffering;").await;
    proxied.mcpd.until_active(&proxied.caller, "qwen").await;
    proxied
        .home
        .until_status("polling", |s| s["channel"] == "poll" && s["upload"] == "batches")
        .await;
    proxied.assert_calls_work().await;
    proxied.home.run(&["unpublish", "qwen"]).await.expect_success();
    proxied.mcpd.until_gone(&proxied.caller, "qwen").await;
}

#[tokio::test]
async fn a_response_that_breaks_off_is_broken_for_a_caller_behind_nginx_too() {
    for (lines, upload) in [("", "batches"), (RECOMMENDED_LINES, "uplink")] {
        let proxied = Proxied::start(lines).await;
        proxied.mcpd.until_active(&proxied.caller, "qwen").await;
        proxied.home.until_status(upload, |status| status["upload"] == upload).await;
        let script = json!({"x_script": {"do": "half"}});
        let response = proxied.chat(&with_keys(chat_body(), &script)).await;
        assert_eq!(response.status(), 200);
        let read = response.text().await;
        assert!(read.is_err(), "with {lines:?} half a response looks complete: {read:?}");
        proxied.assert_calls_work().await;
    }
}

#[tokio::test]
async fn with_the_lines_of_the_readme_large_bodies_and_long_responses_pass() {
    tokio::join!(with_lines("", 413, 504), with_lines(RECOMMENDED_LINES, 200, 200));
}

/// Sends a large body and waits for a late response; expects these statuses.
async fn with_lines(lines: &str, large_status: u16, late_status: u16) {
    // The default timeouts are 60 s.
    let defaults = "proxy_read_timeout 1s; proxy_send_timeout 1s;";
    let large = with_keys(chat_body(), &json!({"picture": "x".repeat(2 << 20)}));
    let late = with_keys(chat_body(), &json!({"x_script": {"do": "late", "ms": 2_500}}));
    let proxied = Proxied::with(defaults, lines).await;
    proxied.mcpd.until_active(&proxied.caller, "qwen").await;
    assert_eq!(proxied.chat(&large).await.status(), large_status, "with {lines:?}");
    assert_eq!(proxied.chat(&late).await.status(), late_status, "with {lines:?}");
    if lines.is_empty() {
        return;
    }
    let streams = |s: &Value| s["channel"] == "stream" && s["upload"] == "uplink";
    proxied.home.until_status("streams", streams).await;
    proxied.assert_calls_work().await;
    // A request that is refused before its body was read gets the reason.
    let response = proxied.chat(&with_keys(large, &json!({"model": "nope"}))).await;
    assert_eq!(response.status(), 404);
    assert!(response.text().await.unwrap().contains("llm_not_found"));
}
