//! A real nginx between publisher, mcpd and caller, with the settings that it comes with: it holds
//! back what it can.

use crate::whole;
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::{Streamed, counted, read, scripted};
use testkit::mcpd::Mcpd;
use testkit::nginx::{LINES, Nginx};
use testkit::process::CommandLine as _;
use testkit::world::and;

struct Proxied {
    mcpd: Mcpd,
    nginx: Nginx,
    backend: Backend,
    home: Home,
    caller: String,
    _agent: Agent,
}

impl Proxied {
    async fn start(more: &str) -> Self {
        Self::with("", more).await
    }

    async fn with(defaults: &str, more: &str) -> Self {
        let (mcpd, backend) = (Mcpd::start().await, Backend::awake().await);
        let nginx = Nginx::with(&mcpd.url, defaults, more).await;
        let home = Home::with(&nginx.url, &[provider("qwen", &backend.url)]);
        let agent = Agent::start(&home, &mcpd.token("mia", "publish"));
        let caller = mcpd.token("tom", "infer");
        Self { mcpd, nginx, backend, home, caller, _agent: agent }
    }

    async fn chat(&self, body: &Value) -> reqwest::Response {
        let url = format!("{}/v1/chat/completions", self.nginx.url);
        let request = reqwest::Client::new().post(url).bearer_auth(&self.caller).json(body);
        request.send().await.unwrap()
    }

    async fn answers(&self) {
        let streamed = read(self.chat(&scripted("qwen", json!({"do": "count", "n": 40}))).await);
        let expected = Streamed { text: counted(40), done: true, ..Streamed::default() };
        assert_eq!(streamed.await, expected);
        let events = "event: message_start\ndata: {\"a\": 1}\n\nevent: message_stop\ndata: {}\n\n";
        let script = json!({
            "do": "status", "status": 200, "type": "text/event-stream", "body": events,
        });
        let answer = self.chat(&scripted("qwen", script)).await;
        assert_eq!(answer.text().await.unwrap(), events, "byte for byte, names of events too");
        let answer: Value = self.chat(&whole()).await.json().await.unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "whole");
        let text = "{\"error\": \"no such thing\"}";
        let script = json!({"do": "status", "status": 418, "body": text});
        let answer = self.chat(&scripted("qwen", script)).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (418, text));
    }
}

#[tokio::test]
async fn uploads_that_nginx_holds_back_travel_in_pieces_and_the_status_says_so() {
    let proxied = Proxied::start("").await;
    proxied.mcpd.active(&proxied.caller, "qwen").await;
    let held = |s: &Value| s["channel"] == "stream" && s["upload"] == "pieces";
    proxied.home.shows("pieces", held).await;
    proxied.answers().await;
    // Token by token: the first is here while the backend has not sent the rest.
    let script = json!({"do": "count", "n": 5, "stallAt": 3});
    let mut answer = proxied.chat(&scripted("qwen", script)).await;
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: "), "{first:?}");
    drop(answer);
    proxied.backend.until_open(0).await;
}

#[tokio::test]
async fn a_control_channel_that_is_held_back_becomes_long_polling_and_the_status_says_so() {
    // What some companies' proxies do: the answer is buffered whatever its headers ask.
    let proxied = Proxied::start("proxy_ignore_headers X-Accel-Buffering;").await;
    proxied.mcpd.active(&proxied.caller, "qwen").await;
    proxied.home.shows("polling", |s| s["channel"] == "poll" && s["upload"] == "pieces").await;
    proxied.answers().await;
    proxied.home.run(&["unpublish", "qwen"]).await.good();
    proxied.mcpd.gone(&proxied.caller, "qwen").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_for_the_caller_behind_nginx_too() {
    for (lines, upload) in [("", "pieces"), (LINES, "stream")] {
        let proxied = Proxied::start(lines).await;
        proxied.mcpd.active(&proxied.caller, "qwen").await;
        proxied.home.shows(upload, |status| status["upload"] == upload).await;
        let answer = proxied.chat(&and(whole(), &json!({"x_script": {"do": "half"}}))).await;
        assert_eq!(answer.status(), 200);
        let read = answer.text().await;
        assert!(read.is_err(), "with {lines:?} half an answer looks complete: {read:?}");
        proxied.answers().await;
    }
}

#[tokio::test]
async fn with_the_lines_of_the_readme_large_bodies_and_long_answers_pass() {
    // What nginx does by itself after 60 s, after 2.
    let defaults = "proxy_read_timeout 2s; proxy_send_timeout 2s;";
    let large = and(whole(), &json!({"picture": "x".repeat(2 << 20)}));
    let late = and(whole(), &json!({"x_script": {"do": "late", "ms": 4_000}}));
    for (lines, body_status, late_status) in [("", 413, 504), (LINES, 200, 200)] {
        let proxied = Proxied::with(defaults, lines).await;
        proxied.mcpd.active(&proxied.caller, "qwen").await;
        assert_eq!(proxied.chat(&large).await.status(), body_status, "with {lines:?}");
        assert_eq!(proxied.chat(&late).await.status(), late_status, "with {lines:?}");
        if lines.is_empty() {
            continue;
        }
        proxied
            .home
            .shows("streams", |s| s["channel"] == "stream" && s["upload"] == "stream")
            .await;
        proxied.answers().await;
        // What is refused before it was read is refused with its reason.
        let answer = proxied.chat(&and(large.clone(), &json!({"model": "nope"}))).await;
        assert_eq!(answer.status(), 404);
        assert!(answer.text().await.unwrap().contains("llm_not_found"));
    }
}
