//! The measurements of a route. The lengths of all responses are checked, so that no route is fast
//! because it loses data.

use crate::caller::Caller;
use crate::fast_backend::{DONE, EVENT, STAMP, Script, WHOLE, unix_nanos};
use crate::routes::Route;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

const MODEL: &str = "bench";
/// Concurrent callers of the throughput measurement.
const CALLERS: usize = 64;
/// Concurrent streams where there are several.
const STREAMS: usize = 100;
/// Events of the measurements at full speed, over all streams.
const EVENTS: usize = 400_000;
/// The same for gateways, which need a millisecond for each.
const FEW_EVENTS: usize = 2_000;
/// Interval of paced events: 50 tokens per second.
const PAUSE_MS: u64 = 20;
/// Paced events of each stream.
const PACED: usize = 100;
/// Bytes of a big prompt, such as three images.
const BIG: usize = 3 * 1024 * 1024;
/// Number of big prompts.
const BIGS: usize = 20;
/// Duration of the measurements with a fixed time.
const SECOND: Duration = Duration::from_millis(1000);

/// A measured quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Figure {
    UnaryP50,
    UnaryP99,
    PerSecond,
    CpuPerThousand,
    FirstByte,
    OneStream,
    ManyStreams,
    PacedP50,
    PacedP99,
    BigBody,
    Memory,
    Resident,
}

impl Figure {
    /// All figures, in the order of the report.
    pub(crate) const ALL: [Self; 12] = [
        Self::UnaryP50,
        Self::UnaryP99,
        Self::PerSecond,
        Self::CpuPerThousand,
        Self::FirstByte,
        Self::OneStream,
        Self::ManyStreams,
        Self::PacedP50,
        Self::PacedP99,
        Self::BigBody,
        Self::Memory,
        Self::Resident,
    ];

    /// Returns the description, with the unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UnaryP50 => "whole response, 1 caller, p50, µs",
            Self::UnaryP99 => "whole response, 1 caller, p99, µs",
            Self::PerSecond => "whole responses, 64 callers, per s",
            Self::CpuPerThousand => "CPU per 1,000 of them, s",
            Self::FirstByte => "first byte of a stream, p50, µs",
            Self::OneStream => "1 stream at full speed, 1,000 events/s",
            Self::ManyStreams => "100 streams at full speed, 1,000 events/s",
            Self::PacedP50 => "100 streams at 50 tokens/s, latency p50, µs",
            Self::PacedP99 => "100 streams at 50 tokens/s, latency p99, µs",
            Self::BigBody => "3 MiB prompt, p50, ms",
            Self::Memory => "memory after all measurements (PSS), MiB",
            Self::Resident => "memory with shared pages (RSS), MiB",
        }
    }

    /// Returns true if greater values are better.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::OneStream | Self::ManyStreams)
    }
}

/// Takes all measurements of one route once.
pub(crate) async fn measure(route: &Route) -> Vec<(Figure, f64)> {
    let mut found = Vec::new();
    let unary = latencies(route, &Script::Whole.body(MODEL, 32), WHOLE.len(), SECOND).await;
    found.push((Figure::UnaryP50, micros(percentile(&unary, 50))));
    found.push((Figure::UnaryP99, micros(percentile(&unary, 99))));
    let (per_second, cpu) = throughput(route).await;
    found.push((Figure::PerSecond, per_second));
    if let Some(cpu) = cpu {
        found.push((Figure::CpuPerThousand, cpu));
    }
    found.push((Figure::FirstByte, micros(percentile(&first_bytes(route).await, 50))));
    found.push((Figure::OneStream, streams(route, 1, EVENTS).await / 1000.0));
    found.push((Figure::ManyStreams, streams(route, STREAMS, EVENTS / STREAMS).await / 1000.0));
    let paced = paced(route).await;
    found.push((Figure::PacedP50, micros(percentile(&paced, 50))));
    found.push((Figure::PacedP99, micros(percentile(&paced, 99))));
    found.push((Figure::BigBody, micros(big_bodies(route).await) / 1000.0));
    found.extend(route.memory().map(|memory| (Figure::Memory, memory)));
    found.extend(route.resident().map(|memory| (Figure::Resident, memory)));
    found
}

/// Takes the measurements for which a delay between server and backend matters.
pub(crate) async fn measure_far(route: &Route) -> Vec<(Figure, f64)> {
    let unary = latencies(route, &Script::Whole.body(MODEL, 32), WHOLE.len(), SECOND * 2).await;
    vec![
        (Figure::UnaryP50, micros(percentile(&unary, 50))),
        (Figure::UnaryP99, micros(percentile(&unary, 99))),
        (Figure::FirstByte, micros(percentile(&first_bytes(route).await, 50))),
        (Figure::OneStream, streams(route, 1, EVENTS).await / 1000.0),
        (Figure::BigBody, micros(big_bodies(route).await) / 1000.0),
    ]
}

/// Takes fewer measurements, for gateways that are a hundred times slower.
pub(crate) async fn measure_gateways(route: &Route) -> Vec<(Figure, f64)> {
    let unary = latencies(route, &Script::Whole.body(MODEL, 32), WHOLE.len(), SECOND * 2).await;
    let (per_second, cpu) = throughput(route).await;
    let mut found = vec![
        (Figure::UnaryP50, micros(percentile(&unary, 50))),
        (Figure::UnaryP99, micros(percentile(&unary, 99))),
        (Figure::PerSecond, per_second),
        (Figure::FirstByte, micros(percentile(&first_bytes(route).await, 50))),
        (Figure::OneStream, streams(route, 1, FEW_EVENTS).await / 1000.0),
    ];
    found.extend(cpu.map(|cpu| (Figure::CpuPerThousand, cpu)));
    found.extend(route.memory().map(|memory| (Figure::Memory, memory)));
    found
}

/// Returns the sorted latencies of one caller that sends requests for this time.
pub(crate) async fn latencies(
    route: &Route,
    body: &bytes::Bytes,
    length: usize,
    time: Duration,
) -> Vec<Duration> {
    let mut caller = Caller::connect(route).await;
    let (mut found, end) = (Vec::new(), Instant::now() + time);
    // The first request opens connections along the route.
    caller.whole(body, length).await;
    while Instant::now() < end {
        let began = Instant::now();
        caller.whole(body, length).await;
        found.push(began.elapsed());
    }
    found.sort();
    found
}

/// Returns the requests per second of many callers, and the CPU seconds per 1,000 requests.
async fn throughput(route: &Route) -> (f64, Option<f64>) {
    let body = Script::Whole.body(MODEL, 32);
    let mut callers = Caller::several(route, CALLERS).await;
    join_all(callers.iter_mut().map(|caller| caller.whole(&body, WHOLE.len()))).await;
    let (began, cpu) = (Instant::now(), route.cpu());
    let end = began + SECOND * 2;
    let counts = join_all(callers.iter_mut().map(async |caller| {
        let mut count = 0_u32;
        while Instant::now() < end {
            caller.whole(&body, WHOLE.len()).await;
            count += 1;
        }
        count
    }))
    .await;
    let count = f64::from(counts.iter().sum::<u32>());
    let used = route.cpu().zip(cpu).map(|(after, before)| (after - before) / count * 1000.0);
    (count / began.elapsed().as_secs_f64(), used)
}

/// Returns the sorted times from a request to the first byte of its response's body.
async fn first_bytes(route: &Route) -> Vec<Duration> {
    let body = Script::Stream(1).body(MODEL, 32);
    let mut caller = Caller::connect(route).await;
    let (mut found, end) = (Vec::new(), Instant::now() + SECOND);
    while Instant::now() < end {
        let (began, mut first) = (Instant::now(), None);
        caller.pieces(&body, |_| _ = first.get_or_insert_with(|| began.elapsed())).await;
        found.extend(first);
    }
    found.sort();
    found
}

/// Returns the events per second, over all streams.
async fn streams(route: &Route, streams: usize, events: usize) -> f64 {
    let body = Script::Stream(events).body(MODEL, 32);
    let length = events * EVENT.len() + DONE.len();
    let mut callers = Caller::several(route, streams).await;
    let began = Instant::now();
    join_all(callers.iter_mut().map(|caller| caller.whole(&body, length))).await;
    (streams * events) as f64 / began.elapsed().as_secs_f64()
}

/// Returns the sorted transit times of tokens when many streams run at a readable pace.
async fn paced(route: &Route) -> Vec<Duration> {
    let body = Script::Paced(PACED, PAUSE_MS).body(MODEL, 32);
    let mut callers = Caller::several(route, STREAMS).await;
    let found = join_all(callers.iter_mut().map(async |caller| {
        let mut found = Vec::with_capacity(PACED);
        caller.pieces(&body, |piece| found.extend(ages(piece))).await;
        found
    }))
    .await;
    let mut found: Vec<Duration> = found.into_iter().flatten().collect();
    assert!(found.len() > STREAMS * PACED * 9 / 10, "too many events were split");
    found.sort();
    found
}

/// Returns the transit times of the complete events in this chunk.
fn ages(piece: &[u8]) -> impl Iterator<Item = Duration> + '_ {
    let now = unix_nanos();
    memchr::memmem::find_iter(piece, STAMP).filter_map(move |at| {
        let number = &piece[at + STAMP.len()..];
        let end = memchr::memchr(b'}', number)?;
        let sent: u128 = std::str::from_utf8(&number[..end]).ok()?.parse().ok()?;
        Some(Duration::from_nanos(u64::try_from(now.saturating_sub(sent)).ok()?))
    })
}

async fn big_bodies(route: &Route) -> Duration {
    let body = Script::Whole.body(MODEL, BIG);
    let mut caller = Caller::connect(route).await;
    let mut found = Vec::new();
    for _ in 0..BIGS {
        let began = Instant::now();
        caller.whole(&body, WHOLE.len()).await;
        found.push(began.elapsed());
    }
    found.sort();
    percentile(&found, 50)
}

/// Returns a percentile of sorted values.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
