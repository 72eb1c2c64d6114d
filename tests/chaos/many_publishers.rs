//! Many publishers, and a server that is stopped or restarted.

use serde_json::Value;
use std::time::Duration;
use testkit::fake_backend::FakeBackend;
use testkit::figures::{ms, percentile, record, scale, scaled, times};
use testkit::many_publishers::ManyPublishers;
use testkit::mcpd::Mcpd;
use tokio::time::Instant;

#[tokio::test]
async fn a_server_that_was_stopped_does_not_take_its_publishers_for_lost() {
    let mcpd = Mcpd::logging("info", scale()).await;
    let (admin, caller) = (mcpd.token("ann", "admin"), mcpd.token("tom", "infer"));
    let backend = FakeBackend::awake().await;
    let count = times(200, 40);
    let publishers = ManyPublishers::start(&mcpd, &admin, &backend.url, count, scale()).await;
    publishers.until_all_ready(&mcpd, &caller).await;
    mcpd.process.signal("STOP");
    tokio::time::sleep(scaled(Duration::from_secs(120))).await;
    mcpd.process.signal("CONT");
    tokio::time::sleep(scaled(Duration::from_secs(60))).await;
    let left = publishers.entries(&mcpd, &caller, |_| true).await;
    let is_inactive = |entry: &Value| entry["status"] == "inactive";
    let inactive = publishers.entries(&mcpd, &caller, is_inactive).await;
    let found = format!("{} deleted, {inactive} inactive of {count}", count - left);
    record("mcpd paused 120 s: 60 s later", found, "0 deleted, ≤ 1 % inactive");
    assert_eq!(left, count);
    assert!(inactive * 100 <= count, "{inactive} of {count}");
}

#[tokio::test]
async fn all_publishers_return_after_a_restart_of_the_server() {
    let mut mcpd = Mcpd::logging("info", 1.0).await;
    let (admin, caller) = (mcpd.token("ann", "admin"), mcpd.token("tom", "infer"));
    let backend = FakeBackend::awake().await;
    let count = times(1_000, 100);
    let publishers = ManyPublishers::start(&mcpd, &admin, &backend.url, count, 1.0).await;
    publishers.until_all_ready(&mcpd, &caller).await;
    let log_before = mcpd.process.stderr().len();
    mcpd = mcpd.restart().await;
    let (began, memory_before) = (Instant::now(), mcpd.process.resident_memory());
    let mut back = [None; 3];
    testkit::within(Duration::from_secs(120), "all publishers are back", async || {
        let ready = publishers.ready(&mcpd, &caller).await;
        for (at, percent) in [50, 99, 100].into_iter().enumerate() {
            if ready * 100 >= count * percent {
                back[at].get_or_insert(began.elapsed());
            }
        }
        back[2]
    })
    .await;
    let [half, most, took] = back.map(Option::unwrap);
    // By then the server has returned the memory that the reconnects needed for a short time.
    tokio::time::sleep(scaled(Duration::from_secs(15))).await;
    let grown = mcpd.process.resident_memory().saturating_sub(memory_before);
    let each = grown / count as u64 / 1000;
    let log = publishers.process.stderr();
    let errors = log.lines().filter(|line| line.contains("ERROR")).count();
    let found = format!("p50 {}, p99 {}", ms(half), ms(most));
    record("kill -9 mcpd: publishers back", found, "p50 ≤ 6 s, p99 ≤ 30 s");
    record(&format!("{count} publishers after a restart: all back"), ms(took), "≤ 30 s");
    record("… errors", errors, "0");
    record("… server memory for each", format!("{each} KB"), "≤ 40 KB");
    let registers = register_times(&mcpd.process.stderr()[log_before..]);
    record("… register p99", ms(percentile(&registers, 99)), "≤ 500 ms");
    assert_eq!(registers.len(), count, "each registers once");
    assert!(took <= Duration::from_secs(60), "{took:?}");
    assert_eq!(errors, 0);
}

/// Duration of each register, from the server's log; sorted.
fn register_times(log: &str) -> Vec<Duration> {
    let lines = log.lines().filter(|line| line.contains("a publisher registered"));
    let times = lines.filter_map(|line| line.split(" ms=").nth(1)?.split(' ').next()?.parse().ok());
    let mut times: Vec<Duration> = times.map(Duration::from_millis).collect();
    times.sort();
    times
}
