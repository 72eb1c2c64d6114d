//! More connections than there is room for, from somebody without a key.

use std::time::Duration;
use testkit::figure::{figure, ms, scale, scaled, times};
use testkit::mcpd::Mcpd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Sockets of the one without a key.
const SOCKETS: usize = 300;

/// Holds a connection with one byte every nine seconds, and opens another one when it is closed.
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
        let mut answer = [0; 512];
        tokio::select! {
            () = drips => {}
            _closed = read.read(&mut answer) => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn sockets_without_a_key_keep_neither_health_checks_nor_callers_out() {
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
            // Each on a connection of its own.
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client.get(format!("{}{path}", mcpd.url)).bearer_auth(&caller);
            let began = Instant::now();
            let answer = tokio::time::timeout(Duration::from_secs(5), request.send()).await;
            answered[at] += usize::from(answer.is_ok_and(|a| a.is_ok_and(|a| a.status() == 200)));
            longest = longest.max(began.elapsed());
        }
    }
    let [health, models] = answered;
    let name = "hostile connections: health checks answered while 300 sockets drip";
    figure(name, format!("{health} of {rounds}"), "all");
    figure("… and requests with a key", format!("{models} of {rounds}"), "all");
    figure("… the longest wait", ms(longest), "≤ 1000 ms");
    assert_eq!(most_connections(&mcpd).await, 256 - 64);
    assert_eq!(answered, [rounds; 2], "{longest:?}");
}

/// What its log says, which is written a moment after it was said.
async fn most_connections(mcpd: &Mcpd) -> usize {
    let number = async || {
        let log = mcpd.process.err();
        let line = log.lines().find(|line| line.contains("the most connections at once"))?;
        let (_, after) = line.split_once("connections=")?;
        after.split_whitespace().next()?.parse().ok()
    };
    testkit::until("the log says how many connections there may be", number).await
}

#[tokio::test]
async fn a_soft_limit_of_files_is_raised_as_far_as_connections_need_it() {
    let mcpd = Mcpd::limited("-S -n 256", scale()).await;
    assert!(most_connections(&mcpd).await > 192, "{}", mcpd.process.err());
}
