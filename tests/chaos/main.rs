//! Fault-injection tests on real processes: killed, stopped, cut off, overloaded, attacked. Each test
//! records its figures; `make trust` runs all of them in full and writes the figures down.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod black_hole;
mod broken_files;
mod caller;
mod caller_leaves;
mod disk_full;
mod drain;
mod faults_by_phase;
mod flood;
mod hostile_bodies;
mod hostile_connections;
mod hostile_frames;
mod hostile_memory;
mod hostile_publisher;
mod hostile_server;
mod killed;
mod many_publishers;
mod namespace;
mod packet_loss;
mod random_faults;
mod resumed;
mod revoked;
mod scenario;
mod waking;
mod wall_clock;

use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::figures::scale;
use testkit::mcpd::Mcpd;
use testkit::setup::{Setup, with_keys};

/// The usual setup in this run's time scale, with this `maxConcurrency`.
pub(crate) async fn setup(max_concurrency: u32) -> Setup {
    setup_with(&json!({"maxConcurrency": max_concurrency})).await
}

/// The usual setup in this run's time scale, with further keys in the configuration entry.
pub(crate) async fn setup_with(keys: &Value) -> Setup {
    let (mcpd, backend) = (Mcpd::logging("info", scale()).await, FakeBackend::awake().await);
    publish(mcpd, backend, keys).await
}

/// As [`setup_with`], around an existing server and backend.
pub(crate) async fn publish(mcpd: Mcpd, backend: FakeBackend, keys: &Value) -> Setup {
    let url = mcpd.url.clone();
    publish_to(&url, mcpd, backend, keys).await
}

/// As [`publish`], with an agent that knows the server by this URL.
pub(crate) async fn publish_to(url: &str, mcpd: Mcpd, backend: FakeBackend, keys: &Value) -> Setup {
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let home = Home::with_config(url, &[with_keys(provider("qwen", &backend.url), keys)]);
    let agent = Agent::scaled(&home, &publisher, scale());
    mcpd.until_entry(&caller, "qwen", |entry| entry["connected"] == true).await;
    Setup { agent, home, backend, mcpd, publisher, caller }
}

/// Waits until nothing runs, waits or wakes.
pub(crate) async fn until_idle(setup: &Setup) {
    let is_idle =
        |entry: &Value| entry["inFlight"] == 0 && entry["queued"] == 0 && entry["waking"] != true;
    setup.mcpd.until_entry(&setup.caller, "qwen", is_idle).await;
    setup.backend.until_open_responses(0).await;
}
