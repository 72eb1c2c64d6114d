//! Start times, wake latency and resource use of our processes.

use crate::measurements::percentile;
use crate::report::{TableRow, short};
use crate::routes::ours::{self, Ours};
use serde_json::json;
use std::time::Duration;
use testkit::agent::provider;
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::program;
use tokio::time::Instant;

const ROUNDS: usize = 5;
/// Interval of polls of the catalogue.
const POLL: Duration = Duration::from_millis(2);
/// Time over which an idle agent is measured.
const IDLE: Duration = Duration::from_secs(60);

pub(crate) async fn measure() -> Vec<TableRow> {
    let backend = FakeBackend::awake().await;
    let mcpd = Mcpd::logging("info", 1.0).await;
    let at_start = mcpd.process.resident_memory() as f64 / f64::from(1 << 20);
    let url = mcpd.url.clone();
    let mut ours = Ours::publish(mcpd, &url, &provider("one", &backend.url));
    let published = starts(&mut ours).await;
    let edits = edits(&ours, &backend.url).await;
    let (memory, cpu) = idle(&ours).await;
    let mut lines = vec![
        TableRow::new("mcpd at start, MiB", short(at_start), "≤ 15"),
        TableRow::new("agent from start to published, ms", published, ""),
        TableRow::new("config edit to catalogue, ms", edits, "≤ 500"),
        TableRow::new("wake latency without the recipe, ms", wakes().await, "≤ 120"),
        TableRow::new("idle agent, MiB", memory, "≤ 12"),
        TableRow::new("idle agent, % of one CPU", cpu, "≤ 0.05"),
    ];
    for name in ["mcpd", "mcplocal-agent", "mcpctl"] {
        let size = std::fs::metadata(program(name)).unwrap().len() as f64 / f64::from(1 << 20);
        lines.push(TableRow::new(&format!("{name} on disk, MiB"), short(size), ""));
    }
    lines
}

async fn until_listed(ours: &Ours, name: &str) {
    loop {
        let path = format!("/api/v1/llms/{name}");
        let row = ours.mcpd.get(&path, &ours.caller).send().await.unwrap();
        if row.status().is_success() {
            let row: serde_json::Value = row.json().await.unwrap();
            if row["status"] == "active" && row["connected"] == true {
                return;
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn starts(ours: &mut Ours) -> String {
    let token = ours.mcpd.token("mia", "publish");
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        ours.agent.process.stop().await;
        ours.mcpd.until_gone(&ours.caller, "one").await;
        let began = Instant::now();
        ours.agent = ours::start(&ours.agent.home, &token, &[]);
        until_listed(ours, "one").await;
        found.push(began.elapsed());
    }
    median(found)
}

async fn edits(ours: &Ours, backend: &str) -> String {
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("new-{round}");
        let entries = [provider("one", backend), provider(&name, backend)];
        let began = Instant::now();
        ours.agent.home.configure(&ours.mcpd.url, &entries);
        until_listed(ours, &name).await;
        found.push(began.elapsed());
    }
    median(found)
}

/// Measures a request to a hibernating model whose recipe takes no time.
async fn wakes() -> String {
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        let backend = FakeBackend::asleep().await;
        let mut entry = provider("sleeper", &backend.url);
        entry["wake"] =
            json!({"type": "http", "method": "POST", "url": format!("{}/wake", backend.url)});
        let mcpd = Mcpd::logging("info", 1.0).await;
        let url = mcpd.url.clone();
        let ours = Ours::publish(mcpd, &url, &entry);
        let asleep = |row: &serde_json::Value| row["status"] == "hibernating";
        ours.mcpd.until_entry(&ours.caller, "sleeper", asleep).await;
        let began = Instant::now();
        let call = ours.mcpd.post("/v1/chat/completions", &ours.caller);
        let response =
            call.json(&json!({"model": "sleeper", "messages": []})).send().await.unwrap();
        assert_eq!(response.status(), 200);
        found.push(began.elapsed());
    }
    median(found)
}

async fn idle(ours: &Ours) -> (String, String) {
    let pid = ours.agent.process.pid();
    let before = testkit::resource_usage::cpu(pid);
    tokio::time::sleep(IDLE).await;
    let share = (testkit::resource_usage::cpu(pid) - before) / IDLE.as_secs_f64() * 100.0;
    let memory = ours.agent.process.resident_memory() as f64 / f64::from(1 << 20);
    (short(memory), short(share))
}

fn median(mut found: Vec<Duration>) -> String {
    found.sort();
    short(percentile(&found, 50).as_secs_f64() * 1000.0)
}
