//! A black hole: packets are dropped and neither side gets an error.

use crate::namespace::{Namespace, PORT, token};
use serde_json::Value;
use std::time::Duration;
use testkit::agent::{Home, provider};
use testkit::figures::{ms, record, scale, scaled};
use tokio::time::Instant;

const BOUNDS: &str = "≤ 36 s, ≤ 45 s";
/// The server's `TCP_USER_TIMEOUT`, which the time scale does not shorten.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn both_sides_detect_a_connection_whose_packets_are_dropped() {
    let Some(namespace) = Namespace::new(77) else {
        return record("black hole", "skipped: no network namespaces here", BOUNDS);
    };
    let folder = tempfile::tempdir().unwrap();
    let _server = namespace.server(&folder, scale()).await;
    let caller = token(&folder, "tom", "infer");
    let home = Home::with_config(
        &format!("http://127.0.0.1:{PORT}"),
        &[provider("qwen", "http://127.0.0.1:9")],
    );
    let _agent = namespace.agent(&home, &folder, scale());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let connected = async || {
        let url = format!("{}/api/v1/llms/qwen", namespace.url());
        let entry = client.get(url).bearer_auth(&caller).send().await.ok()?;
        entry.json::<Value>().await.ok()?["connected"].as_bool()
    };
    testkit::until("it is published", async || connected().await.filter(|there| *there)).await;
    home.until_online().await;
    if !namespace.drop_packets("-i lo") {
        return record("black hole", "skipped: no iptables here", BOUNDS);
    }
    let dropped = Instant::now();
    let freed =
        testkit::within(Duration::from_secs(60), "the server frees the channel", async || {
            connected().await.filter(|there| !there).map(|_| dropped.elapsed())
        });
    let noticed = testkit::within(Duration::from_secs(80), "the publisher notices", async || {
        let online = home.status()["connection"]["state"] == "online";
        (!online).then_some(dropped.elapsed())
    });
    let (freed, noticed) = tokio::join!(freed, noticed);
    record("black hole: the server frees the channel after", ms(freed), "≤ 36 s");
    record("black hole: the publisher notices after", ms(noticed), "≤ 45 s");
    // Comments every 15 s, then the user timeout; the time scale shortens only the former.
    let bound = USER_TIMEOUT + scaled(Duration::from_secs(20));
    assert!(freed <= bound, "{freed:?}");
    let bound = scaled(Duration::from_secs(50)) + Duration::from_secs(2);
    assert!(noticed <= bound, "{noticed:?}");
}
