//! Guarantees for callers, including those that comparable relays break.

use crate::{Setup, chat_body, with_keys};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::agent::{Agent, Home, provider};
use testkit::caller::{counted, error_code, read_stream, scripted_chat};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test]
async fn after_a_cancelled_stream_the_next_request_runs_at_once() {
    let setup = Setup::new().await;
    for _ in 0..5 {
        let response = setup.scripted_chat(json!({"do": "count", "n": 9_999, "pauseMs": 10})).await;
        let mut bytes = response.bytes_stream();
        bytes.next().await.unwrap().unwrap();
        drop(bytes);
        // `maxConcurrency` is 1: this request runs only after the slot was released.
        let streamed = read_stream(setup.scripted_chat(json!({"do": "count", "n": 3})).await).await;
        assert!(streamed.done, "{streamed:?}");
    }
    setup.backend.until_open_responses(0).await;
}

#[tokio::test]
async fn a_caller_that_disconnects_closes_the_backends_connection_streaming_or_not() {
    let setup = Setup::new().await;
    for script in [json!({"do": "count", "n": 9_999, "pauseMs": 10}), json!({"do": "never"})] {
        let body = scripted_chat("qwen", script);
        let call = async { read_stream(setup.chat(&body).await).await };
        tokio::select! {
            response = call => unreachable!("the response never ends: {response:?}"),
            () = setup.backend.until_open_responses(1) => {}
        }
        let left = Instant::now();
        setup.backend.until_open_responses(0).await;
        assert!(left.elapsed() < Duration::from_millis(1_000), "{:?}", left.elapsed());
    }
}

#[tokio::test]
async fn a_publisher_killed_in_mid_stream_gives_an_explicit_error_in_time_and_repeats_nothing() {
    let mut setup = Setup::new().await;
    let response = setup.scripted_chat(json!({"do": "count", "n": 60, "pauseMs": 30})).await;
    let mut bytes = response.bytes_stream();
    let mut text = String::new();
    while !text.contains(" 30\"") {
        text.push_str(std::str::from_utf8(&bytes.next().await.unwrap().unwrap()).unwrap());
    }
    setup.agent.process.kill();
    let killed = Instant::now();
    while let Some(piece) = bytes.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    // It might have come back within 15 s.
    assert!(killed.elapsed() < Duration::from_secs(17), "{:?}", killed.elapsed());
    assert!(text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
    let positions: Vec<u64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str()?.trim().parse().ok())
        .collect();
    assert_eq!(
        positions,
        (1..=positions.len() as u64).collect::<Vec<_>>(),
        "a prefix, without repetition"
    );
}

#[tokio::test]
async fn a_caller_that_stops_reading_costs_the_server_no_memory_and_delays_no_other_caller() {
    let change = |entry| with_keys(entry, &json!({"maxConcurrency": 2}));
    let setup = Setup::with_entry(change).await;
    // A first request allocates buffers and connections.
    read_stream(setup.scripted_chat(json!({"do": "count", "n": 100})).await).await;
    let before = setup.mcpd.process.resident_memory();

    let body = scripted_chat("qwen", json!({"do": "flood", "bytes": 320 << 20})).to_string();
    let address = setup.mcpd.url.trim_start_matches("http://");
    let mut lazy = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        setup.caller,
        body.len()
    );
    lazy.write_all(head.as_bytes()).await.unwrap();
    lazy.read_exact(&mut [0; 64 * 1024]).await.unwrap();

    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(setup.chat(&chat_body()).await.status(), 200);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let grown = setup.mcpd.process.resident_memory().saturating_sub(before);
    assert!(grown <= 2 << 20, "{grown} bytes");
    assert_eq!(setup.backend.open_responses(), 1, "the flood is held back, not cut off");
}

#[tokio::test]
async fn a_callers_credentials_never_reach_the_backend() {
    let setup = Setup::new().await;
    let request = setup.mcpd.post("/v1/chat/completions", &setup.caller).json(&chat_body());
    let request = request.header("x-api-key", "canary").header("cookie", "canary=1");
    let request = request.header("openai-beta", "assistants=v2").header("x-other", "canary");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let seen = &setup.backend.requests()[0];
    let headers = format!("{:?}", seen.headers);
    assert!(!headers.contains("canary") && !headers.contains(&setup.caller), "{headers}");
    assert!(!headers.contains(&setup.publisher) && !headers.contains("authorization"), "{headers}");
    assert_eq!(seen.headers["openai-beta"], "assistants=v2");
}

#[tokio::test]
async fn small_and_large_bodies_arrive_unchanged_except_for_the_model() {
    let setup = Setup::new().await;
    let parameters = r#""seed": 7, "logprobs": true, "response_format": {"type":"json_object"},
        "x_unheard_of": {"n": 1.50, "big": 12345678901234567890123, "u": "\u00e9"}"#;
    for pad in [10, 3 << 20] {
        let padding = "p".repeat(pad);
        let body = |model: &str| {
            format!("{{ \"pad\": \"{padding}\",\n  \"model\": \"{model}\",\t{parameters} }}")
        };
        let request = setup.mcpd.post("/v1/chat/completions", &setup.caller);
        let request = request.header("content-type", "application/json").body(body("qwen"));
        assert_eq!(request.send().await.unwrap().status(), 200);
        let seen = setup.backend.requests().pop().unwrap();
        assert!(seen.body == body("the-backends-own-name"), "the body was changed");
    }
}

#[tokio::test]
async fn every_relayed_endpoint_reaches_the_same_path_of_the_backend() {
    let setup = Setup::new().await;
    for path in wire::paths::RELAYED {
        let response =
            setup.mcpd.post(path, &setup.caller).json(&chat_body()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(setup.backend.requests().pop().unwrap().path, *path);
    }
    let infer = "/api/v1/llms/qwen/infer";
    let body = json!({"messages": []});
    let response = setup.mcpd.post(infer, &setup.caller).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200, "{infer}");
    assert_eq!(setup.backend.requests().pop().unwrap().path, "/v1/chat/completions");
}

#[tokio::test]
async fn a_response_is_the_backends_byte_for_byte_wherever_its_events_are_split() {
    let setup = Setup::new().await;
    for split in [1, 5, 6, 40] {
        let script = json!({"do": "count", "n": 30, "split": split, "commentsFirst": 2});
        let relayed = setup.scripted_chat(script.clone()).await.bytes().await.unwrap();
        let direct =
            reqwest::Client::new().post(format!("{}/v1/chat/completions", setup.backend.url));
        let direct =
            direct.json(&scripted_chat("x", script)).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(relayed, direct, "split at {split}");
    }
}

#[tokio::test]
async fn parallel_responses_are_not_mixed_up() {
    let setup = Setup::with_entry(|entry| with_keys(entry, &json!({"maxConcurrency": 16}))).await;
    let calls = (1..=32).map(|n| {
        let setup = &setup;
        async move {
            let script = json!({"do": "count", "n": n * 3, "pauseMs": 1});
            let streamed = read_stream(setup.scripted_chat(script).await).await;
            assert_eq!((streamed.text, streamed.done), (counted(n * 3), true));
        }
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn a_response_goes_on_while_its_uplink_is_replaced() {
    let (mcpd, backend) = (Mcpd::start().await, FakeBackend::awake().await);
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    // An uplink lasts 2.5 s.
    let agent = Agent::scaled(&home, &publisher, 0.05);
    mcpd.until_active(&caller, "qwen").await;
    let setup = Setup { agent, home, backend, mcpd, publisher, caller };
    let response = setup.scripted_chat(json!({"do": "count", "n": 400, "pauseMs": 10})).await;
    let streamed = read_stream(response).await;
    assert_eq!((streamed.text, streamed.done), (counted(400), true));
    assert_eq!(setup.backend.requests().len(), 1);
}

#[tokio::test]
async fn a_backends_own_errors_are_relayed_unchanged() {
    let setup = Setup::new().await;
    let cases = [
        (400, "application/json", "{\"error\":{\"message\":\"context too long\"}}"),
        (429, "application/json", "{\"error\":\"busy\"}"),
        (500, "text/html", "<h1>oops</h1>"),
    ];
    for (status, kind, body) in cases {
        let script = json!({"do": "status", "status": status, "type": kind, "body": body});
        let response = setup.scripted_chat(script).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], kind);
        assert_eq!(response.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_backend_that_breaks_off_is_an_explicit_error_and_not_a_complete_response() {
    let setup = Setup::new().await;
    let script = json!({"do": "count", "n": 20, "abortAt": 8, "pauseMs": 20});
    let broken = read_stream(setup.scripted_chat(script).await).await;
    assert_eq!(broken.text, counted(7));
    assert_eq!((broken.done, broken.error.as_deref()), (false, Some("backend_aborted")));
    let streamed = read_stream(setup.scripted_chat(json!({"do": "count", "n": 3})).await).await;
    assert!(streamed.done, "the next request works");
}

#[tokio::test]
async fn a_backend_that_breaks_off_before_its_first_byte_is_an_error_with_a_status() {
    let setup = Setup::new().await;
    let response = setup.scripted_chat(json!({"do": "count", "n": 20, "abortAt": 1})).await;
    assert_eq!(response.status(), 502);
    assert_eq!(error_code(response).await, "backend_aborted");
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_is_reported_to_the_caller_and_in_the_catalogue() {
    let mut setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    // Gone between two readiness checks: the first request finds out.
    setup.backend.stop_listening().await;
    let response = setup.chat(&chat_body()).await;
    let status = response.status();
    let code = error_code(response).await;
    assert!(
        (status == 502 && code == "backend_unreachable")
            || (status == 503 && code == "llm_inactive"),
        "{status} {code}"
    );
    setup.mcpd.until_entry(&setup.caller, "qwen", |entry| entry["status"] == "inactive").await;
}

#[tokio::test]
async fn the_added_time_to_the_first_byte_is_small_on_an_idle_machine() {
    let setup = Setup::new().await;
    let direct = format!("{}/v1/chat/completions", setup.backend.url);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = scripted_chat("qwen", json!({"do": "count", "n": 1}));
    let first_byte = async |request: reqwest::RequestBuilder| {
        let began = Instant::now();
        let mut bytes = request.json(&body).send().await.unwrap().bytes_stream();
        bytes.next().await.unwrap().unwrap();
        let took = began.elapsed();
        while bytes.next().await.is_some() {}
        took
    };
    let (mut direct_times, mut relayed_times) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        direct_times.push(first_byte(http.post(&direct)).await);
        let url = format!("{}/v1/chat/completions", setup.mcpd.url);
        relayed_times.push(first_byte(http.post(url).bearer_auth(&setup.caller)).await);
    }
    direct_times.sort();
    relayed_times.sort();
    let added = relayed_times[50].saturating_sub(direct_times[50]);
    assert!(added <= Duration::from_millis(3), "{added:?} at the median");
}

#[tokio::test]
async fn a_request_to_a_full_queue_is_refused_at_once() {
    let setup =
        Setup::with_parts(Mcpd::start().await, FakeBackend::awake().await, |entry| entry).await;
    let never = scripted_chat("qwen", json!({"do": "never"}));
    let running = async { setup.chat(&never).await };
    let rest = async {
        setup.backend.until_open_responses(1).await;
        let body = chat_body();
        let mut waiting: Vec<_> = (0..101).map(|_| Box::pin(setup.chat(&body))).collect();
        // One runs and a hundred may wait: one of these is refused.
        let (response, _, _) = futures_util::future::select_all(&mut waiting).await;
        assert_eq!(response.status(), 429);
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(error_code(response).await, "queue_full");
    };
    tokio::select! {
        _ = running => unreachable!("the backend never responds"),
        () = rest => {}
    }
}
