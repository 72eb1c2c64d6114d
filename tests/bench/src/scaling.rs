//! Cost with many publishers, many catalogue entries, and callers that do not read.

use crate::caller::Caller;
use crate::fast_backend::{FastBackend, Script, WHOLE};
use crate::idle_publishers::IdlePublishers;
use crate::measurements::{latencies, percentile};
use crate::report::{TableRow, short};
use crate::routes::Route;
use crate::routes::ours::Ours;
use std::time::Duration;
use tokio::time::Instant;

/// Numbers of connected publishers.
const PUBLISHERS: [usize; 4] = [1, 10, 100, 1000];
/// Number of publishers and the most entries that one may have.
const CATALOGUE: (usize, usize) = (500, 20);
/// Measurements for each number of publishers, and the duration of each.
const PAIRS: usize = 5;
const TIME: Duration = Duration::from_millis(500);
/// Callers that request a long response and do not read it.
const STUCK: usize = 100;
/// Events of a response that is larger than all socket buffers.
const LONG: usize = 400_000;
/// Pause between a change and the measurement of memory.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn measure(backend: &FastBackend) -> Vec<TableRow> {
    let mut lines = Vec::new();
    let (ours, alone) = (Ours::open(&backend.url).await, Ours::open(&backend.url).await);
    many_publishers(&ours, &alone, &mut lines).await;
    drop((ours, alone));
    many_entries(Ours::open(&backend.url).await, &mut lines).await;
    lines.push(stuck_callers(&Ours::open(&backend.url).await).await);
    lines
}

/// Measures, in pairs, a server with many publishers and one with a single publisher.
async fn many_publishers(ours: &Ours, alone: &Ours, lines: &mut Vec<TableRow>) {
    let (route, alone) = (ours.route(), alone.route());
    let mut idle = IdlePublishers::at(&ours.mcpd);
    let before = ours.mcpd.process.resident_memory();
    for count in PUBLISHERS {
        idle.grow(count, 1).await;
        tokio::time::sleep(SETTLE).await;
        let mut pairs = Vec::new();
        for _ in 0..PAIRS {
            pairs.push([response_cost(&route).await, response_cost(&alone).await]);
        }
        let middle = |of: &dyn Fn([Cost; 2]) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(|pair| of(*pair)).collect();
            values.sort_by(f64::total_cmp);
            short(values[PAIRS / 2])
        };
        let value = format!(
            "{} µs ({}×), {} µs CPU ({}×)",
            middle(&|[with, _]| with.p50),
            middle(&|[with, alone]| with.p50 / alone.p50),
            middle(&|[with, _]| with.cpu),
            middle(&|[with, alone]| with.cpu / alone.cpu),
        );
        let target = if count == 1000 { "≤ 1.1×" } else { "" };
        lines.push(TableRow::new(
            &format!("whole response with {count} publishers"),
            value,
            target,
        ));
    }
    let count = PUBLISHERS[PUBLISHERS.len() - 1];
    let each = (ours.mcpd.process.resident_memory() - before) as f64 / count as f64 / 1000.0;
    let what = format!("mcpd's memory for each of {count} idle publishers, KB");
    lines.push(TableRow::new(&what, short(each), "≤ 20"));
}

/// Median latency and CPU time of one response, in µs.
#[derive(Clone, Copy)]
struct Cost {
    p50: f64,
    cpu: f64,
}

async fn response_cost(route: &Route) -> Cost {
    let body = Script::Whole.body("bench", 32);
    let before = route.cpu().unwrap();
    let found = latencies(route, &body, WHOLE.len(), TIME).await;
    let cpu = (route.cpu().unwrap() - before) / found.len() as f64 * 1e6;
    Cost { p50: percentile(&found, 50).as_secs_f64() * 1e6, cpu }
}

/// Measures listing the largest catalogue, and a start with it.
async fn many_entries(ours: Ours, lines: &mut Vec<TableRow>) {
    let (publishers, each) = CATALOGUE;
    let mut idle = IdlePublishers::at(&ours.mcpd);
    idle.grow(publishers, each).await;
    tokio::time::sleep(SETTLE).await;
    lines.push(catalogue(&ours).await);
    drop(idle);
    // The publishers have left; their entries are still in the database.
    let began = Instant::now();
    let _again = ours.mcpd.restart().await;
    let took = short(began.elapsed().as_secs_f64() * 1000.0);
    lines.push(TableRow::new(
        &format!("mcpd's start with {} entries, ms", publishers * each),
        took,
        "",
    ));
}

async fn catalogue(ours: &Ours) -> TableRow {
    let mut found = Vec::new();
    let mut entries = 0;
    for _ in 0..10 {
        let began = Instant::now();
        let response = ours.mcpd.get("/v1/models", &ours.caller).send().await.unwrap();
        let response: serde_json::Value = response.json().await.unwrap();
        found.push(began.elapsed());
        entries = response["data"].as_array().map_or(0, Vec::len);
    }
    found.sort();
    let took = percentile(&found, 50).as_secs_f64() * 1000.0;
    TableRow::new(&format!("/v1/models with {entries} entries, ms"), short(took), "")
}

async fn stuck_callers(ours: &Ours) -> TableRow {
    let route = ours.route();
    let body = Script::Stream(LONG).body("bench", 32);
    let before = ours.mcpd.process.resident_memory();
    let mut callers = Caller::several(&route, STUCK).await;
    let mut held = Vec::new();
    for caller in &mut callers {
        held.push(caller.post(&body).await);
    }
    tokio::time::sleep(SETTLE).await;
    let each = (ours.mcpd.process.resident_memory() - before) as f64 / STUCK as f64 / 1000.0;
    drop(held);
    TableRow::new("mcpd's memory for each caller that does not read, KB", short(each), "≤ 512")
}
