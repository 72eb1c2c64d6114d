//! What the nearest peers get wrong, and what a caller may rely on.

use crate::{World, and, whole};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::backend::Backend;
use testkit::caller::{code, counted, read, scripted};
use testkit::mcpd::Mcpd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test]
async fn after_a_cancelled_stream_the_next_request_runs_at_once() {
    let world = World::new().await;
    for _ in 0..5 {
        let answer = world.scripted(json!({"do": "count", "n": 9_999, "pauseMs": 10})).await;
        let mut bytes = answer.bytes_stream();
        bytes.next().await.unwrap().unwrap();
        drop(bytes);
        // `maxConcurrency` is 1: this one can only run when the slot has been given back.
        let streamed = read(world.scripted(json!({"do": "count", "n": 3})).await).await;
        assert!(streamed.done, "{streamed:?}");
    }
    world.backend.until_open(0).await;
}

#[tokio::test]
async fn a_caller_who_leaves_closes_the_backends_connection_streaming_or_not() {
    let world = World::new().await;
    for script in [json!({"do": "count", "n": 9_999, "pauseMs": 10}), json!({"do": "never"})] {
        let body = scripted("qwen", script);
        let call = async { read(world.chat(&body).await).await };
        tokio::select! {
            answer = call => unreachable!("it never ends: {answer:?}"),
            () = world.backend.until_open(1) => {}
        }
        let left = Instant::now();
        world.backend.until_open(0).await;
        assert!(left.elapsed() < Duration::from_millis(1_000), "{:?}", left.elapsed());
    }
}

#[tokio::test]
async fn a_publisher_killed_in_the_middle_gives_an_explicit_error_and_repeats_nothing() {
    let mut world = World::new().await;
    let answer = world.scripted(json!({"do": "count", "n": 60, "pauseMs": 30})).await;
    let mut bytes = answer.bytes_stream();
    let mut text = String::new();
    while !text.contains(" 30\"") {
        text.push_str(std::str::from_utf8(&bytes.next().await.unwrap().unwrap()).unwrap());
    }
    world.agent.process.kill();
    let killed = Instant::now();
    while let Some(piece) = bytes.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert!(text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
    let positions: Vec<u64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str()?.trim().parse().ok())
        .collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>(), "a prefix, once");
}

#[tokio::test]
async fn a_caller_who_stops_reading_costs_the_server_no_memory_and_delays_nobody() {
    let change = |entry| and(entry, &json!({"maxConcurrency": 2}));
    let world = World::with(change).await;
    // Warm: buffers and connections are there.
    read(world.scripted(json!({"do": "count", "n": 100})).await).await;
    let before = world.mcpd.process.memory();

    let body = scripted("qwen", json!({"do": "flood", "bytes": 320 << 20})).to_string();
    let address = world.mcpd.url.trim_start_matches("http://");
    let mut lazy = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.caller,
        body.len()
    );
    lazy.write_all(head.as_bytes()).await.unwrap();
    lazy.read_exact(&mut [0; 64 * 1024]).await.unwrap();

    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(world.chat(&whole()).await.status(), 200);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let grown = world.mcpd.process.memory().saturating_sub(before);
    assert!(grown <= 2 << 20, "{grown} bytes");
    assert_eq!(world.backend.open(), 1, "the flood is held back, not cut");
}

#[tokio::test]
async fn a_callers_credentials_never_reach_the_backend() {
    let world = World::new().await;
    let request = world.mcpd.post("/v1/chat/completions", &world.caller).json(&whole());
    let request = request.header("x-api-key", "canary").header("cookie", "canary=1");
    let request = request.header("openai-beta", "assistants=v2").header("x-other", "canary");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let seen = &world.backend.seen()[0];
    let headers = format!("{:?}", seen.headers);
    assert!(!headers.contains("canary") && !headers.contains(&world.caller), "{headers}");
    assert!(!headers.contains(&world.publisher) && !headers.contains("authorization"), "{headers}");
    assert_eq!(seen.headers["openai-beta"], "assistants=v2");
}

#[tokio::test]
async fn a_body_arrives_unchanged_but_for_the_model_small_and_large() {
    let world = World::new().await;
    let parameters = r#""seed": 7, "logprobs": true, "response_format": {"type":"json_object"},
        "x_unheard_of": {"n": 1.50, "big": 12345678901234567890123, "u": "\u00e9"}"#;
    for pad in [10, 3 << 20] {
        let padding = "p".repeat(pad);
        let body = |model: &str| {
            format!("{{ \"pad\": \"{padding}\",\n  \"model\": \"{model}\",\t{parameters} }}")
        };
        let request = world.mcpd.post("/v1/chat/completions", &world.caller);
        let request = request.header("content-type", "application/json").body(body("qwen"));
        assert_eq!(request.send().await.unwrap().status(), 200);
        let seen = world.backend.seen().pop().unwrap();
        assert!(seen.body == body("the-backends-own-name"), "the body has changed");
    }
}

#[tokio::test]
async fn every_relayed_endpoint_reaches_the_same_path_of_the_backend() {
    let world = World::new().await;
    for path in wire::paths::RELAYED {
        let answer = world.mcpd.post(path, &world.caller).json(&whole()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(world.backend.seen().pop().unwrap().path, *path);
    }
    let seed = "/api/v1/llms/qwen/infer";
    let body = json!({"messages": []});
    let answer = world.mcpd.post(seed, &world.caller).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{seed}");
    assert_eq!(world.backend.seen().pop().unwrap().path, "/v1/chat/completions");
}

#[tokio::test]
async fn an_answer_is_the_backends_to_the_byte_wherever_its_events_are_cut() {
    let world = World::new().await;
    for split in [1, 5, 6, 40] {
        let script = json!({"do": "count", "n": 30, "split": split, "commentsFirst": 2});
        let ours = world.scripted(script.clone()).await.bytes().await.unwrap();
        let direct =
            reqwest::Client::new().post(format!("{}/v1/chat/completions", world.backend.url));
        let direct =
            direct.json(&scripted("x", script)).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(ours, direct, "split at {split}");
    }
}

#[tokio::test]
async fn parallel_answers_never_cross() {
    let world = World::with(|entry| and(entry, &json!({"maxConcurrency": 16}))).await;
    let calls = (1..=32).map(|n| {
        let world = &world;
        async move {
            let script = json!({"do": "count", "n": n * 3, "pauseMs": 1});
            let streamed = read(world.scripted(script).await).await;
            assert_eq!((streamed.text, streamed.done), (counted(n * 3), true));
        }
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn a_backends_own_errors_pass_as_they_are() {
    let world = World::new().await;
    let cases = [
        (400, "application/json", "{\"error\":{\"message\":\"context too long\"}}"),
        (429, "application/json", "{\"error\":\"busy\"}"),
        (500, "text/html", "<h1>oops</h1>"),
    ];
    for (status, kind, body) in cases {
        let script = json!({"do": "status", "status": status, "type": kind, "body": body});
        let answer = world.scripted(script).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], kind);
        assert_eq!(answer.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_backend_that_breaks_off_is_an_explicit_error_and_never_a_complete_answer() {
    let world = World::new().await;
    let script = json!({"do": "count", "n": 20, "abortAt": 8, "pauseMs": 20});
    let broken = read(world.scripted(script).await).await;
    assert_eq!(broken.text, counted(7));
    assert_eq!((broken.done, broken.error.as_deref()), (false, Some("backend_aborted")));
    let streamed = read(world.scripted(json!({"do": "count", "n": 3})).await).await;
    assert!(streamed.done, "the next one works");
}

#[tokio::test]
async fn a_backend_that_breaks_off_before_its_first_byte_is_an_error_with_a_status() {
    let world = World::new().await;
    let answer = world.scripted(json!({"do": "count", "n": 20, "abortAt": 1})).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(code(answer).await, "backend_aborted");
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_is_said_and_seen() {
    let mut world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    // Gone between two looks: the first request finds out.
    world.backend.stop_listening().await;
    let answer = world.chat(&whole()).await;
    let status = answer.status();
    let code = code(answer).await;
    assert!(
        (status == 502 && code == "backend_unreachable")
            || (status == 503 && code == "llm_inactive"),
        "{status} {code}"
    );
    world.mcpd.row(&world.caller, "qwen", |row| row["status"] == "inactive").await;
}

#[tokio::test]
async fn the_added_time_to_the_first_byte_is_small_on_an_idle_machine() {
    let world = World::new().await;
    let direct = format!("{}/v1/chat/completions", world.backend.url);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = scripted("qwen", json!({"do": "count", "n": 1}));
    let first_byte = async |request: reqwest::RequestBuilder| {
        let began = Instant::now();
        let mut bytes = request.json(&body).send().await.unwrap().bytes_stream();
        bytes.next().await.unwrap().unwrap();
        let took = began.elapsed();
        while bytes.next().await.is_some() {}
        took
    };
    let (mut straight, mut relayed) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        straight.push(first_byte(http.post(&direct)).await);
        let url = format!("{}/v1/chat/completions", world.mcpd.url);
        relayed.push(first_byte(http.post(url).bearer_auth(&world.caller)).await);
    }
    straight.sort();
    relayed.sort();
    let added = relayed[50].saturating_sub(straight[50]);
    assert!(added <= Duration::from_millis(3), "{added:?} at the median");
}

#[tokio::test]
async fn what_is_too_much_is_refused_before_it_is_queued() {
    let world = World::on(Mcpd::start().await, Backend::awake().await, |entry| entry).await;
    let never = scripted("qwen", json!({"do": "never"}));
    let running = async { world.chat(&never).await };
    let rest = async {
        world.backend.until_open(1).await;
        let body = whole();
        let mut waiting: Vec<_> = (0..101).map(|_| Box::pin(world.chat(&body))).collect();
        // One slot runs, a hundred may wait: one of these is over.
        let (answer, _, _) = futures_util::future::select_all(&mut waiting).await;
        assert_eq!(answer.status(), 429);
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(code(answer).await, "queue_full");
    };
    tokio::select! {
        _ = running => unreachable!("it never answers"),
        () = rest => {}
    }
}
