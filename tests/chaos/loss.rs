//! A network that loses some of the packets, between all who take part.

use crate::cast::{Ask, BOUNDS, tell, teller};
use crate::namespace::{Namespace, PORT, token};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::agent::{Home, provider};
use testkit::figure::{figure, times};
use testkit::process::program;
use testkit::story::Story;
use testkit::world::and;
use trust::history::{Fact, check};

const PROMISE: &str = "5 % of all packets are lost: streamed calls that are complete";
/// Of the backend, inside.
const BACKEND: u16 = 8081;

#[tokio::test]
async fn every_call_is_answered_whole_where_packets_get_lost() {
    let Some(namespace) = Namespace::new(78) else {
        return figure(PROMISE, "skipped: no network namespaces here", "all");
    };
    let (folder, awake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in ["awake", "open"] {
        std::fs::write(awake.path().join(file), "").unwrap();
    }
    let backend = teller(namespace.command(program("teller")), BACKEND, awake.path());
    let server = namespace.server(&folder).await;
    let caller = token(&folder, "tom", "infer");
    let entry = provider("qwen", &format!("http://127.0.0.1:{BACKEND}"));
    let entry = and(entry, &json!({"maxConcurrency": 8}));
    let home = Home::with(&format!("http://127.0.0.1:{PORT}"), &[entry]);
    if !namespace.drops("-m statistic --mode random --probability 0.05") {
        return figure(PROMISE, "skipped: no iptables with statistics here", "all");
    }
    let agent = namespace.agent(&home, &folder);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let at_rest = async || {
        let url = format!("{}/api/v1/llms/qwen", namespace.url());
        let row = client.get(url).bearer_auth(&caller).send().await.ok()?;
        let row: Value = row.json().await.ok()?;
        (row["status"] == "active" && row["connected"] == true && row["inFlight"] == 0)
            .then_some(())
    };
    testkit::until("it is published", at_rest).await;
    let calls = times(400, 80) as u64;
    let story = Story::default();
    let all = (0..calls).map(|call| {
        let ask = Ask {
            begin: Duration::from_millis(call * 50),
            pieces: 30,
            pause: 5,
            patience: Duration::from_secs(60),
        };
        let url = format!("{}/v1/chat/completions", namespace.url());
        tell(call, &ask, client.post(url).bearer_auth(&caller), story.clone())
    });
    let complete = join_all(all).await.into_iter().filter(|complete| *complete).count();
    testkit::until("all is at rest", at_rest).await;
    story.saw(Fact::Remaining(0));
    story.take_backends_log(&backend.out());
    story.take_log(&server.err());
    story.take_log(&agent.err());
    let lost = namespace.dropped();
    figure(PROMISE, format!("{complete} of {calls}, {lost} packets lost"), "all");
    assert_eq!(check(&story.history(), &BOUNDS), Vec::<String>::new());
    assert_eq!(complete as u64, calls);
    assert!(lost > 0);
}
