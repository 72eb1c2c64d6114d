//! How cost grows: publishers that are connected, rows in the catalogue, callers that do not read.

use crate::backend::{Backend, Script, WHOLE};
use crate::caller::Caller;
use crate::load::{latencies, percentile};
use crate::publisher::Crowd;
use crate::report::{Line, short};
use crate::roads::Road;
use crate::roads::ours::Ours;
use std::time::Duration;
use tokio::time::Instant;

/// Publishers that are connected.
const CROWDS: [usize; 4] = [1, 10, 100, 1000];
/// Publishers with as many rows as one may have, and how many rows that is.
const CATALOGUE: (usize, usize) = (500, 20);
/// How often each crowd is measured, and for how long.
const PAIRS: usize = 5;
const TIME: Duration = Duration::from_millis(500);
/// Callers that ask for a long answer and do not read it.
const STUCK: usize = 100;
/// Events of an answer that no socket's buffers can take.
const LONG: usize = 400_000;
/// After a change, memory is looked at when it has been quiet for so long.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn measure(backend: &Backend) -> Vec<Line> {
    let mut lines = Vec::new();
    let (ours, alone) = (Ours::open(&backend.url).await, Ours::open(&backend.url).await);
    crowds(&ours, &alone, &mut lines).await;
    drop((ours, alone));
    rows(Ours::open(&backend.url).await, &mut lines).await;
    lines.push(stuck(&Ours::open(&backend.url).await).await);
    lines
}

/// With so many publishers, and beside it, in pairs, a server that has one.
async fn crowds(ours: &Ours, alone: &Ours, lines: &mut Vec<Line>) {
    let (road, alone) = (ours.road(), alone.road());
    let mut crowd = Crowd::at(&ours.mcpd);
    let before = ours.mcpd.process.resident_memory();
    for count in CROWDS {
        crowd.grow(count, 1).await;
        tokio::time::sleep(SETTLE).await;
        let mut pairs = Vec::new();
        for _ in 0..PAIRS {
            pairs.push([answers(&road).await, answers(&alone).await]);
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
        lines.push(Line::new(&format!("whole answer with {count} publishers"), value, target));
    }
    let count = CROWDS[CROWDS.len() - 1];
    let each = (ours.mcpd.process.resident_memory() - before) as f64 / count as f64 / 1000.0;
    let what = format!("mcpd's memory for each of {count} idle publishers, KB");
    lines.push(Line::new(&what, short(each), "≤ 20"));
}

/// Of one whole answer, in µs.
#[derive(Clone, Copy)]
struct Cost {
    p50: f64,
    cpu: f64,
}

async fn answers(road: &Road) -> Cost {
    let body = Script::Whole.body("bench", 32);
    let before = road.cpu().unwrap();
    let found = latencies(road, &body, WHOLE.len(), TIME).await;
    let cpu = (road.cpu().unwrap() - before) / found.len() as f64 * 1e6;
    Cost { p50: percentile(&found, 50).as_secs_f64() * 1e6, cpu }
}

/// A catalogue as long as it gets: how long it takes to list, and to start with.
async fn rows(ours: Ours, lines: &mut Vec<Line>) {
    let (publishers, each) = CATALOGUE;
    let mut crowd = Crowd::at(&ours.mcpd);
    crowd.grow(publishers, each).await;
    tokio::time::sleep(SETTLE).await;
    lines.push(catalogue(&ours).await);
    drop(crowd);
    // The crowd has left; its rows are in the database still.
    let began = Instant::now();
    let _again = ours.mcpd.restart().await;
    let took = short(began.elapsed().as_secs_f64() * 1000.0);
    lines.push(Line::new(&format!("mcpd's start with {} rows, ms", publishers * each), took, ""));
}

async fn catalogue(ours: &Ours) -> Line {
    let mut found = Vec::new();
    let mut rows = 0;
    for _ in 0..10 {
        let began = Instant::now();
        let answer = ours.mcpd.get("/v1/models", &ours.caller).send().await.unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        found.push(began.elapsed());
        rows = answer["data"].as_array().map_or(0, Vec::len);
    }
    found.sort();
    let took = percentile(&found, 50).as_secs_f64() * 1000.0;
    Line::new(&format!("/v1/models with {rows} rows, ms"), short(took), "")
}

async fn stuck(ours: &Ours) -> Line {
    let road = ours.road();
    let body = Script::Stream(LONG).body("bench", 32);
    let before = ours.mcpd.process.resident_memory();
    let mut callers = Caller::several(&road, STUCK).await;
    let mut held = Vec::new();
    for caller in &mut callers {
        held.push(caller.post(&body).await);
    }
    tokio::time::sleep(SETTLE).await;
    let each = (ours.mcpd.process.resident_memory() - before) as f64 / STUCK as f64 / 1000.0;
    drop(held);
    Line::new("mcpd's memory for each caller that does not read, KB", short(each), "≤ 512")
}
