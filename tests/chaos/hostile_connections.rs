//! More connections than the server has room for, from a client without a key.

use std::time::Duration;
use testkit::figures::{ms, record, scale, scaled, times};
use testkit::mcpd::Mcpd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Connections of the client without a key.
const SOCKETS: usize = 300;

/// Keeps a connection busy with one byte every nine seconds, and opens another one when it is closed.
async fn drip(address: String) {
    let head =
        format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n", wire::paths::PAIR);
    loop {
        let Ok(socket) = TcpStream::connect(&address).await else { continue };
        let (mut read, mut write) = socket.into_split();
        let drips = async {
            let _ = write.write_all(head.as_bytes()).await;
            while write.write_all(b"{").await.is_ok() {
                tokio::time::sleep(scaled(Duration::from_secs(9))).await;
            }
        };
        let mut response = [0; 512];
        tokio::select! {
            () = drips => {}
            _closed = read.read(&mut response) => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn connections_without_a_key_shut_out_neither_health_checks_nor_callers() {
    let mcpd = Mcpd::limited("-n 256", scale()).await;
    let caller = mcpd.token("tom", "infer");
    let address = mcpd.url.trim_start_matches("http://").to_owned();
    let mut drips = JoinSet::new();
    for _ in 0..SOCKETS {
        drips.spawn(drip(address.clone()));
    }
    let (mut answered, mut longest) = ([0, 0], Duration::ZERO);
    let rounds = times(100, 20);
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for (at, path) in [wire::paths::HEALTHZ, "/v1/models"].into_iter().enumerate() {
            // A new client, so that each request opens a connection.
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client.get(format!("{}{path}", mcpd.url)).bearer_auth(&caller);
            let began = Instant::now();
            let response = tokio::time::timeout(Duration::from_secs(5), request.send()).await;
            answered[at] += usize::from(response.is_ok_and(|r| r.is_ok_and(|r| r.status() == 200)));
            longest = longest.max(began.elapsed());
        }
    }
    let [health, models] = answered;
    let name = "hostile connections: health checks answered while 300 sockets drip";
    record(name, format!("{health} of {rounds}"), "all");
    record("… and requests with a key", format!("{models} of {rounds}"), "all");
    record("… the longest wait", ms(longest), "≤ 1000 ms");
    assert_eq!(most_connections(&mcpd).await, 256 - 64);
    assert_eq!(answered, [rounds; 2], "{longest:?}");
}

/// The connection limit from the server's log; waits for it, because the log is written with a delay.
async fn most_connections(mcpd: &Mcpd) -> usize {
    let number = async || {
        let log = mcpd.process.stderr();
        let line = log.lines().find(|line| line.contains("the most connections at once"))?;
        let (_, after) = line.split_once("connections=")?;
        after.split_whitespace().next()?.parse().ok()
    };
    testkit::until("the log shows the connection limit", number).await
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_what_connections_need() {
    let mcpd = Mcpd::limited("-S -n 256", scale()).await;
    assert!(most_connections(&mcpd).await > 192, "{}", mcpd.process.stderr());
}
