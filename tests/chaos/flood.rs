//! Too much of everything.

use crate::{at_rest, publish, world};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::backend::Backend;
use testkit::caller::code;
use testkit::figure::{figure, ms, percentile, scale, thorough, times};
use testkit::mcpd::Mcpd;
use testkit::world::{World, and, whole};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

#[tokio::test]
async fn two_thousand_requests_at_one_publisher_fill_its_queue_and_no_more() {
    const REQUESTS: usize = 2_000;
    const QUEUE: usize = 100;
    // With the real waits: nobody may run into one meanwhile.
    let (mcpd, backend) = (Mcpd::quiet(1.0).await, Backend::awake().await);
    let world = publish(mcpd, backend, &json!({"maxConcurrency": 1})).await;
    let before = world.mcpd.process.memory();
    let body = and(whole(), &json!({"x_script": {"do": "never"}}));
    let mut refusals = Vec::new();
    let (mut kept, mut odd) = (Vec::new(), 0);
    // So many callers at a time; whoever is let in keeps its connection.
    for _ in 0..REQUESTS / 50 {
        let asked = (0..50).map(|_| {
            let call = world.mcpd.post("/v1/chat/completions", &world.caller).json(&body).send();
            async move {
                let (began, mut call) = (Instant::now(), Box::pin(call));
                match tokio::time::timeout(Duration::from_secs(2), &mut call).await {
                    Err(_waits) => (None, Some(call)),
                    Ok(answer) => (Some((began.elapsed(), answer.unwrap())), None),
                }
            }
        });
        for (refused, waiting) in join_all(asked).await {
            kept.extend(waiting);
            let Some((took, answer)) = refused else { continue };
            let told = answer.status() == 429 && answer.headers().contains_key("retry-after");
            odd += usize::from(!told || code(answer).await != "queue_full");
            refusals.push(took);
        }
    }
    refusals.sort();
    let grown = world.mcpd.process.memory().saturating_sub(before) >> 20;
    let waiting = kept.len();
    figure("2,000 requests at one publisher: let in", waiting, "101 (1 runs, 100 wait)");
    let slow = percentile(&refusals, 99);
    figure("… the rest: 429 with Retry-After, p99", ms(slow), "≤ 50 ms");
    figure("… memory of mcpd", format!("+{grown} MB"), "≤ +50 MB");
    assert_eq!((waiting, odd), (QUEUE + 1, 0));
    assert!(grown <= 50, "{grown} MB");
    drop(kept);
    at_rest(&world).await;
}

#[tokio::test]
async fn slow_headers_slow_bodies_and_half_open_sockets_are_closed_and_disturb_nobody() {
    let world = world(4).await;
    let quiet = latency(&world).await;
    let count = times(5_000, 300);
    let slow_head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n".to_vec();
    let slow_body = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"model\"",
        world.caller
    );
    let heads = open(&world, count / 2, &slow_head).await;
    let bodies = open(&world, count / 4, slow_body.as_bytes()).await;
    let silent = open(&world, count / 4, b"").await;
    let busy = latency(&world).await;
    let (heads, bodies, silent) = tokio::join!(longest(heads), longest(bodies), longest(silent));
    let spread = (busy.as_secs_f64() / quiet.as_secs_f64() - 1.0) * 100.0;
    figure("slow headers: closed after", ms(heads), "10 s");
    figure("sockets that say nothing: closed after", ms(silent), "10 s");
    figure("slow bodies: closed after", ms(bodies), "15 s");
    let said = format!("{spread:+.0} % ({} → {})", us(quiet), us(busy));
    figure(&format!("… with {count} of them: p99 of the healthy"), said, "≤ +20 %");
    let late = if thorough() { Duration::from_secs(5) } else { Duration::from_secs(20) };
    for (took, most) in [(heads, 10), (silent, 10), (bodies, 15)] {
        assert!(took <= Duration::from_secs(most) + late, "{took:?}, not {most} s");
    }
    at_rest(&world).await;
}

fn us(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

/// p99 of small requests, one after the other.
async fn latency(world: &World) -> Duration {
    let mut found = Vec::new();
    for _ in 0..times(2_000, 200) {
        let began = Instant::now();
        let answer = world.chat(&whole()).await;
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        found.push(began.elapsed());
    }
    found.sort();
    percentile(&found, 99)
}

/// Opens so many sockets that say this. Each is watched from then on: with thousands of them, opening
/// takes a while.
async fn open(world: &World, count: usize, said: &[u8]) -> Vec<JoinHandle<Duration>> {
    let address = world.mcpd.url.trim_start_matches("http://");
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(said).await.unwrap();
        sockets.push(tokio::spawn(closed(socket)));
    }
    sockets
}

/// How long it is borne from now on, in real time.
async fn closed(mut socket: TcpStream) -> Duration {
    let opened = Instant::now();
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), socket.read_to_end(&mut said));
    // A reset is a close too.
    let _ = read.await.unwrap();
    opened.elapsed().div_f64(scale())
}

async fn longest(sockets: Vec<JoinHandle<Duration>>) -> Duration {
    join_all(sockets).await.into_iter().map(Result::unwrap).max().unwrap_or_default()
}
