//! What was promised for bad days, on real processes: killed, stopped, cut off, flooded. Each test
//! tells its figures; `make trust` runs all of it in full and writes them down.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod broken_files;
mod cast;
mod clock;
mod disk_full;
mod drain;
mod flood;
mod herd;
mod hole;
mod hostile_bodies;
mod hostile_connections;
mod hostile_frames;
mod hostile_memory;
mod hostile_publisher;
mod hostile_server;
mod killed;
mod leaving;
mod loss;
mod namespace;
mod phases;
mod revoked;
mod story;
mod waking;

use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::figure::scale;
use testkit::mcpd::Mcpd;
use testkit::world::{World, and};

/// A world in this run's scale, with the backend taking so many requests at once.
pub(crate) async fn world(at_once: u32) -> World {
    world_with(&json!({"maxConcurrency": at_once})).await
}

/// A world in this run's scale, with these keys in the entry.
pub(crate) async fn world_with(keys: &Value) -> World {
    let (mcpd, backend) = (Mcpd::quiet(scale()).await, Backend::awake().await);
    publish(mcpd, backend, keys).await
}

/// The same around a server and a backend.
pub(crate) async fn publish(mcpd: Mcpd, backend: Backend, keys: &Value) -> World {
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let home = Home::with(&mcpd.url, &[and(provider("qwen", &backend.url), keys)]);
    let agent = Agent::scaled(&home, &publisher, scale());
    mcpd.row(&caller, "qwen", |row| row["connected"] == true).await;
    World { agent, home, backend, mcpd, publisher, caller }
}

/// Waits until nothing runs or waits at the server, and says so.
pub(crate) async fn at_rest(world: &World) {
    let rest = |row: &Value| row["inFlight"] == 0 && row["queued"] == 0 && row["waking"] != true;
    world.mcpd.row(&world.caller, "qwen", rest).await;
    world.backend.until_open(0).await;
}
