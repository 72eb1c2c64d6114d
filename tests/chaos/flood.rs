//! Overload: too many requests, and connections that are too slow.

use crate::{publish, setup, until_idle};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::caller::error_code;
use testkit::fake_backend::FakeBackend;
use testkit::figures::{ms, percentile, record, scale, thorough, times};
use testkit::mcpd::Mcpd;
use testkit::setup::{Setup, chat_body, with_keys};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

#[tokio::test]
async fn two_thousand_requests_to_one_publisher_fill_its_queue_and_the_rest_is_refused() {
    const REQUESTS: usize = 2_000;
    const QUEUE: usize = 100;
    // With real waits, so that no queued request times out in the meantime.
    let (mcpd, backend) = (Mcpd::logging("info", 1.0).await, FakeBackend::awake().await);
    let setup = publish(mcpd, backend, &json!({"maxConcurrency": 1})).await;
    let before = setup.mcpd.process.resident_memory();
    let body = with_keys(chat_body(), &json!({"x_script": {"do": "never"}}));
    let mut refusals = Vec::new();
    let (mut admitted, mut unexpected) = (Vec::new(), 0);
    // Fifty callers at a time; an admitted request keeps its connection.
    for _ in 0..REQUESTS / 50 {
        let batch = (0..50).map(|_| {
            let call = setup.mcpd.post("/v1/chat/completions", &setup.caller).json(&body).send();
            async move {
                let (began, mut call) = (Instant::now(), Box::pin(call));
                match tokio::time::timeout(Duration::from_secs(2), &mut call).await {
                    Err(_waits) => (None, Some(call)),
                    Ok(response) => (Some((began.elapsed(), response.unwrap())), None),
                }
            }
        });
        for (refused, waiting) in join_all(batch).await {
            admitted.extend(waiting);
            let Some((took, response)) = refused else { continue };
            let refused =
                response.status() == 429 && response.headers().contains_key("retry-after");
            unexpected += usize::from(!refused || error_code(response).await != "queue_full");
            refusals.push(took);
        }
    }
    refusals.sort();
    let grown = setup.mcpd.process.resident_memory().saturating_sub(before) >> 20;
    let waiting = admitted.len();
    record("2,000 requests to one publisher: admitted", waiting, "101 (1 runs, 100 wait)");
    let slow = percentile(&refusals, 99);
    record("… the rest: 429 with Retry-After, p99", ms(slow), "≤ 50 ms");
    record("… memory of mcpd", format!("+{grown} MB"), "≤ +50 MB");
    assert_eq!((waiting, unexpected), (QUEUE + 1, 0));
    assert!(grown <= 50, "{grown} MB");
    drop(admitted);
    until_idle(&setup).await;
}

#[tokio::test]
async fn slow_headers_slow_bodies_and_half_open_sockets_are_closed_and_do_not_delay_other_callers()
{
    let setup = setup(4).await;
    let quiet = latency(&setup).await;
    let count = times(5_000, 300);
    let slow_head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n".to_vec();
    let slow_body = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"model\"",
        setup.caller
    );
    let heads = open(&setup, count / 2, &slow_head).await;
    let bodies = open(&setup, count / 4, slow_body.as_bytes()).await;
    let silent = open(&setup, count / 4, b"").await;
    let busy = latency(&setup).await;
    let (heads, bodies, silent) = tokio::join!(longest(heads), longest(bodies), longest(silent));
    let spread = (busy.as_secs_f64() / quiet.as_secs_f64() - 1.0) * 100.0;
    record("slow headers: closed after", ms(heads), "10 s");
    record("silent sockets: closed after", ms(silent), "10 s");
    record("slow bodies: closed after", ms(bodies), "15 s");
    let found = format!("{spread:+.0} % ({} → {})", us(quiet), us(busy));
    record(&format!("… with {count} of them: p99 of other callers"), found, "≤ +20 %");
    let late = if thorough() { Duration::from_secs(5) } else { Duration::from_secs(20) };
    for (took, most) in [(heads, 10), (silent, 10), (bodies, 15)] {
        assert!(took <= Duration::from_secs(most) + late, "{took:?}, not {most} s");
    }
    until_idle(&setup).await;
}

fn us(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

/// p99 of the latency of small requests, one after the other.
async fn latency(setup: &Setup) -> Duration {
    let mut found = Vec::new();
    for _ in 0..times(2_000, 200) {
        let began = Instant::now();
        let response = setup.chat(&chat_body()).await;
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
        found.push(began.elapsed());
    }
    found.sort();
    percentile(&found, 99)
}

/// Opens `count` sockets that send these bytes. Each is timed from its own begin, because opening
/// thousands of them takes a while.
async fn open(setup: &Setup, count: usize, bytes: &[u8]) -> Vec<JoinHandle<Duration>> {
    let address = setup.mcpd.url.trim_start_matches("http://");
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        sockets.push(tokio::spawn(time_to_close(socket)));
    }
    sockets
}

/// Time until the server closes the socket, at the real scale.
async fn time_to_close(mut socket: TcpStream) -> Duration {
    let opened = Instant::now();
    let mut response = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), socket.read_to_end(&mut response));
    // A reset counts as a close.
    let _ = read.await.unwrap();
    opened.elapsed().div_f64(scale())
}

async fn longest(sockets: Vec<JoinHandle<Duration>>) -> Duration {
    join_all(sockets).await.into_iter().map(Result::unwrap).max().unwrap_or_default()
}
