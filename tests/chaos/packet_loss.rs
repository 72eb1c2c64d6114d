//! A network that loses some packets, between all processes.

use crate::caller::{Call, make_call};
use crate::namespace::{Namespace, PORT, token};
use crate::scenario::{BOUNDS, recording_backend};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::agent::{Home, provider};
use testkit::event_log::EventLog;
use testkit::figures::{record, times};
use testkit::process::program;
use testkit::setup::with_keys;
use trust::history::{Fact, check};

const PROMISE: &str = "5 % of all packets are lost: streamed calls that are complete";
/// Port of the backend in the namespace.
const BACKEND: u16 = 8081;

#[tokio::test]
async fn every_call_completes_while_packets_are_lost() {
    let Some(namespace) = Namespace::new(78) else {
        return record(PROMISE, "skipped: no network namespaces here", "all");
    };
    let (folder, backend_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in ["awake", "open"] {
        std::fs::write(backend_folder.path().join(file), "").unwrap();
    }
    let command = namespace.command(program("recording_backend"));
    let backend = recording_backend(command, BACKEND, backend_folder.path());
    let server = namespace.server(&folder, 1.0).await;
    let caller = token(&folder, "tom", "infer");
    let entry = provider("qwen", &format!("http://127.0.0.1:{BACKEND}"));
    let entry = with_keys(entry, &json!({"maxConcurrency": 8}));
    let home = Home::with_config(&format!("http://127.0.0.1:{PORT}"), &[entry]);
    if !namespace.drop_packets("-m statistic --mode random --probability 0.05") {
        return record(PROMISE, "skipped: no iptables with statistics here", "all");
    }
    let agent = namespace.agent(&home, &folder, 1.0);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let is_idle = async || {
        let url = format!("{}/api/v1/llms/qwen", namespace.url());
        let entry = client.get(url).bearer_auth(&caller).send().await.ok()?;
        let entry: Value = entry.json().await.ok()?;
        let active = entry["status"] == "active" && entry["connected"] == true;
        (active && entry["inFlight"] == 0).then_some(())
    };
    testkit::until("it is published", is_idle).await;
    let calls = times(400, 80) as u64;
    let event_log = EventLog::default();
    let all = (0..calls).map(|number| {
        let call = Call {
            delay: Duration::from_millis(number * 50),
            pieces: 30,
            pause_ms: 5,
            patience: Duration::from_secs(60),
        };
        let url = format!("{}/v1/chat/completions", namespace.url());
        make_call(number, &call, client.post(url).bearer_auth(&caller), event_log.clone())
    });
    let complete = join_all(all).await.into_iter().filter(|complete| *complete).count();
    testkit::until("nothing runs any more", is_idle).await;
    event_log.record(Fact::Remaining(0));
    event_log.add_backend_log(&backend.stdout());
    event_log.add_process_log(&server.stderr());
    event_log.add_process_log(&agent.stderr());
    let lost = namespace.dropped();
    record(PROMISE, format!("{complete} of {calls}, {lost} packets lost"), "all");
    assert_eq!(check(&event_log.history(), &BOUNDS), Vec::<String>::new());
    assert_eq!(complete as u64, calls);
    assert!(lost > 0);
}
