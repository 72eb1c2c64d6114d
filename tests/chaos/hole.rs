//! A black hole: packets vanish and nobody says so.

use crate::namespace::{Namespace, PORT, token};
use serde_json::Value;
use std::time::Duration;
use testkit::agent::{Home, provider};
use testkit::figure::{figure, ms};
use tokio::time::Instant;

#[tokio::test]
async fn both_sides_notice_a_black_hole_in_time() {
    let Some(namespace) = Namespace::new(77) else {
        return figure("black hole", "skipped: no network namespaces here", "≤ 36 s, ≤ 45 s");
    };
    let folder = tempfile::tempdir().unwrap();
    let _server = namespace.server(&folder).await;
    let caller = token(&folder, "tom", "infer");
    let home =
        Home::with(&format!("http://127.0.0.1:{PORT}"), &[provider("qwen", "http://127.0.0.1:9")]);
    let _agent = namespace.agent(&home, &folder);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let connected = async || {
        let url = format!("{}/api/v1/llms/qwen", namespace.url());
        let row = client.get(url).bearer_auth(&caller).send().await.ok()?;
        row.json::<Value>().await.ok()?["connected"].as_bool()
    };
    testkit::until("it is published", async || connected().await.filter(|there| *there)).await;
    home.shows("online", |status| status["connection"]["state"] == "online").await;
    if !namespace.drops("-i lo") {
        return figure("black hole", "skipped: no iptables here", "≤ 36 s, ≤ 45 s");
    }
    let swallowed = Instant::now();
    let freed =
        testkit::within(Duration::from_secs(60), "the server frees the channel", async || {
            connected().await.filter(|there| !there).map(|_| swallowed.elapsed())
        });
    let noticed = testkit::within(Duration::from_secs(80), "the publisher notices", async || {
        let online = home.status()["connection"]["state"] == "online";
        (!online).then_some(swallowed.elapsed())
    });
    let (freed, noticed) = tokio::join!(freed, noticed);
    figure("black hole: the server frees the channel after", ms(freed), "≤ 36 s");
    figure("black hole: the publisher notices after", ms(noticed), "≤ 45 s");
    assert!(freed <= Duration::from_secs(40), "{freed:?}");
    assert!(noticed <= Duration::from_secs(50), "{noticed:?}");
}
