//! Bodies of requests that will be refused, as large and as slow as possible.

use std::time::Duration;
use testkit::figures::{record, scale};
use testkit::mcpd::Mcpd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

const MIB: usize = 1 << 20;
/// MiB by which mcpd may grow for bodies that it does not read.
const NOTHING: u64 = 48;
/// MiB by which mcpd may grow for the bodies of one key: the key's share, and what is used beside it.
const SHARE: u64 = 128 + 2 * NOTHING;
/// Time for which bodies that are not refused are held.
const HELD: Duration = Duration::from_secs(3);

/// Sends all but the last of `bytes` bytes, and then nothing; returns the first line of the response.
async fn drip(address: String, head: String, begin: &'static str, bytes: usize) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = socket.split();
    let sends = async {
        let _ = write.write_all(head.as_bytes()).await;
        let _ = write.write_all(begin.as_bytes()).await;
        let mut left = bytes - begin.len() - 1;
        let piece = vec![b'x'; 64 * 1024];
        while left > 0 {
            let Ok(sent) = write.write(&piece[..piece.len().min(left)]).await else { break };
            left -= sent;
        }
        std::future::pending::<()>().await;
    };
    let mut response = Vec::new();
    let receives = tokio::time::timeout(HELD, read.read_to_end(&mut response));
    tokio::select! {
        () = sends => {}
        _held_or_closed = receives => {}
    }
    String::from_utf8_lossy(&response).lines().next().unwrap_or_default().to_owned()
}

/// Sends `count` such bodies at once; returns the peak growth of mcpd in MiB, and each first line.
async fn flood(
    mcpd: &Mcpd,
    count: usize,
    path: &str,
    key: &str,
    begin: &'static str,
    bytes: usize,
) -> (u64, Vec<String>) {
    let address = mcpd.url.trim_start_matches("http://");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
    );
    let before = mcpd.process.resident_memory();
    let mut drips = JoinSet::new();
    for _ in 0..count {
        drips.spawn(drip(address.to_owned(), head.clone(), begin, bytes));
    }
    let (mut peak, mut lines) = (before, Vec::new());
    while !drips.is_empty() {
        let finished = tokio::time::timeout(Duration::from_millis(20), drips.join_next()).await;
        lines.extend(finished.ok().flatten().map(Result::unwrap));
        peak = peak.max(mcpd.process.resident_memory());
    }
    ((peak - before) >> 20, lines)
}

#[tokio::test]
async fn large_bodies_of_refused_requests_cost_the_server_no_memory() {
    let mcpd = Mcpd::logging("info", scale().max(0.5)).await;
    let (caller, publisher) = (mcpd.token("eve", "infer"), mcpd.token("eve", "publish"));
    let chat = "/v1/chat/completions";

    let begin = "{\"model\":\"nope\",\"x\":\"";
    let (grown, lines) = flood(&mcpd, 16, chat, &caller, begin, 60 * MIB).await;
    let found = format!("+{grown} MB");
    record("hostile memory: 16 × 60 MiB for a model that is not there", found, "≤ +48 MB");
    assert!(lines.iter().all(|line| line.starts_with("HTTP/1.1 404")), "{lines:?}");
    assert!(grown <= NOTHING, "{grown} MB");

    let (grown, lines) = flood(&mcpd, 16, chat, &caller, "{\"x\":\"", 60 * MIB).await;
    let found = format!("+{grown} MB");
    record("… with the model's name at the end: one key's share", found, "≤ +224 MB");
    let refused = lines.iter().filter(|line| line.starts_with("HTTP/1.1 429")).count();
    assert!(refused >= 14, "two fit into the share: {lines:?}");
    assert!(grown <= SHARE, "{grown} MB");

    let result = wire::paths::task_result(&"0".repeat(32));
    let begin = "{\"status\":200,\"body\":\"";
    let (grown, lines) = flood(&mcpd, 8, &result, &publisher, begin, 59 * MIB).await;
    record("hostile memory: 8 results of 59 MiB for no task", format!("+{grown} MB"), "≤ +48 MB");
    assert!(lines.iter().all(|line| line.starts_with("HTTP/1.1 404")), "{lines:?}");
    assert!(grown <= NOTHING, "{grown} MB");

    let began = Instant::now();
    let response = mcpd.get("/v1/models", &caller).send().await.unwrap();
    assert_eq!(response.status(), 200, "after {:?}", began.elapsed());
}
