//! Bodies that nobody will ever use, as large and as slow as they may be.

use std::time::Duration;
use testkit::figure::{figure, scale};
use testkit::mcpd::Mcpd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

const MIB: usize = 1 << 20;
/// What mcpd may grow by for bodies that it does not read.
const NOTHING: u64 = 48;
/// What one key's bodies may hold, and what is used beside them.
const SHARE: u64 = 128 + 2 * NOTHING;
/// How long the bodies that are not refused are held.
const HELD: Duration = Duration::from_secs(3);

/// Sends a body of so many bytes but for the last, and then nothing; what comes back.
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
    let mut answer = Vec::new();
    let hears = tokio::time::timeout(HELD, read.read_to_end(&mut answer));
    tokio::select! {
        () = sends => {}
        _held_or_closed = hears => {}
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

/// So many of them at once: what mcpd grew by at the most, in MiB, and what each was told.
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
    let before = mcpd.process.memory();
    let mut drips = JoinSet::new();
    for _ in 0..count {
        drips.spawn(drip(address.to_owned(), head.clone(), begin, bytes));
    }
    let (mut most, mut told) = (before, Vec::new());
    while !drips.is_empty() {
        let look = tokio::time::timeout(Duration::from_millis(20), drips.join_next()).await;
        told.extend(look.ok().flatten().map(Result::unwrap));
        most = most.max(mcpd.process.memory());
    }
    ((most - before) >> 20, told)
}

#[tokio::test]
async fn large_bodies_that_nobody_will_use_cost_the_server_no_memory() {
    let mcpd = Mcpd::quiet(scale().max(0.5)).await;
    let (caller, publisher) = (mcpd.token("eve", "infer"), mcpd.token("eve", "publish"));
    let chat = "/v1/chat/completions";

    let begin = "{\"model\":\"nope\",\"x\":\"";
    let (grown, told) = flood(&mcpd, 16, chat, &caller, begin, 60 * MIB).await;
    let said = format!("+{grown} MB");
    figure("hostile memory: 16 × 60 MiB for a model that is not there", said, "≤ +48 MB");
    assert!(told.iter().all(|line| line.starts_with("HTTP/1.1 404")), "{told:?}");
    assert!(grown <= NOTHING, "{grown} MB");

    let (grown, told) = flood(&mcpd, 16, chat, &caller, "{\"x\":\"", 60 * MIB).await;
    let said = format!("+{grown} MB");
    figure("… with the model's name at the end: one key's share", said, "≤ +224 MB");
    let refused = told.iter().filter(|line| line.starts_with("HTTP/1.1 429")).count();
    assert!(refused >= 14, "two fit into the share: {told:?}");
    assert!(grown <= SHARE, "{grown} MB");

    let result = wire::paths::task_result(&"0".repeat(32));
    let begin = "{\"status\":200,\"body\":\"";
    let (grown, told) = flood(&mcpd, 8, &result, &publisher, begin, 59 * MIB).await;
    figure("hostile memory: 8 results of 59 MiB for no task", format!("+{grown} MB"), "≤ +48 MB");
    assert!(told.iter().all(|line| line.starts_with("HTTP/1.1 404")), "{told:?}");
    assert!(grown <= NOTHING, "{grown} MB");

    let began = Instant::now();
    let answer = mcpd.get("/v1/models", &caller).send().await.unwrap();
    assert_eq!(answer.status(), 200, "after {:?}", began.elapsed());
}
