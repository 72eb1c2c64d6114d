//! Many publishers, and a server that stops or starts again.

use serde_json::Value;
use std::time::Duration;
use testkit::backend::Backend;
use testkit::figure::{figure, ms, percentile, scale, scaled, times};
use testkit::herd::Herd;
use testkit::mcpd::Mcpd;
use tokio::time::Instant;

#[tokio::test]
async fn a_server_that_stood_still_takes_nobody_for_dead() {
    let mcpd = Mcpd::quiet(scale()).await;
    let (admin, caller) = (mcpd.token("ann", "admin"), mcpd.token("tom", "infer"));
    let backend = Backend::awake().await;
    let count = times(200, 40);
    let herd = Herd::start(&mcpd, &admin, &backend.url, count, scale()).await;
    herd.all_ready(&mcpd, &caller).await;
    mcpd.process.signal("STOP");
    tokio::time::sleep(scaled(Duration::from_secs(120))).await;
    mcpd.process.signal("CONT");
    tokio::time::sleep(scaled(Duration::from_secs(60))).await;
    let there = herd.rows(&mcpd, &caller, |_| true).await;
    let inactive = herd.rows(&mcpd, &caller, |row: &Value| row["status"] == "inactive").await;
    let said = format!("{} deleted, {inactive} inactive of {count}", count - there);
    figure("mcpd paused 120 s: 60 s later", said, "0 deleted, ≤ 1 % inactive");
    assert_eq!(there, count);
    assert!(inactive * 100 <= count, "{inactive} of {count}");
}

#[tokio::test]
async fn a_whole_herd_comes_back_at_once_after_a_restart() {
    let mut mcpd = Mcpd::quiet(1.0).await;
    let (admin, caller) = (mcpd.token("ann", "admin"), mcpd.token("tom", "infer"));
    let backend = Backend::awake().await;
    let count = times(1_000, 100);
    let herd = Herd::start(&mcpd, &admin, &backend.url, count, 1.0).await;
    herd.all_ready(&mcpd, &caller).await;
    let earlier = mcpd.process.err().len();
    mcpd = mcpd.restart().await;
    let (began, before) = (Instant::now(), mcpd.process.memory());
    let mut back = [None; 3];
    testkit::within(Duration::from_secs(120), "all publishers are there", async || {
        let ready = herd.ready(&mcpd, &caller).await;
        for (at, percent) in [50, 99, 100].into_iter().enumerate() {
            if ready * 100 >= count * percent {
                back[at].get_or_insert(began.elapsed());
            }
        }
        back[2]
    })
    .await;
    let [half, most, took] = back.map(Option::unwrap);
    // What coming back has cost is given back by then.
    tokio::time::sleep(scaled(Duration::from_secs(15))).await;
    let each = mcpd.process.memory().saturating_sub(before) / count as u64 / 1000;
    let errors = herd.process.err().lines().filter(|line| line.contains("ERROR")).count();
    let said = format!("p50 {}, p99 {}", ms(half), ms(most));
    figure("kill -9 mcpd: publishers back", said, "p50 ≤ 6 s, p99 ≤ 30 s");
    figure(&format!("{count} publishers after a restart: all back"), ms(took), "≤ 30 s");
    figure("… errors", errors, "0");
    figure("… server memory for each", format!("{each} KB"), "≤ 40 KB");
    let registers = registers(&mcpd.process.err()[earlier..]);
    figure("… register p99", ms(percentile(&registers, 99)), "≤ 500 ms");
    assert_eq!(registers.len(), count, "each registers once");
    assert!(took <= Duration::from_secs(60), "{took:?}");
    assert_eq!(errors, 0);
}

/// How long each register took, as the server logged it; sorted.
fn registers(log: &str) -> Vec<Duration> {
    let lines = log.lines().filter(|line| line.contains("a publisher registered"));
    let took = lines.filter_map(|line| line.split(" ms=").nth(1)?.split(' ').next()?.parse().ok());
    let mut took: Vec<Duration> = took.map(Duration::from_millis).collect();
    took.sort();
    took
}
