//! What is measured on a road. Each mode ends with one figure or a few; lengths of all answers are
//! checked, so that no road is fast by losing something.

use crate::backend::{DONE, EVENT, STAMP, Script, WHOLE, unix_nanos};
use crate::caller::Caller;
use crate::roads::Road;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

const MODEL: &str = "bench";
/// Callers at once where there are several.
const CALLERS: usize = 64;
/// Streams at once where there are several.
const STREAMS: usize = 100;
/// Events of one stream at full speed.
const EVENTS: usize = 400_000;
/// The same where a gateway takes a millisecond for each.
const FEW_EVENTS: usize = 2_000;
/// Pace of an eager model: 50 tokens a second.
const PAUSE_MS: u64 = 20;
/// Paced events of each stream.
const PACED: usize = 100;
/// Bytes of a big prompt: three images, say.
const BIG: usize = 3 * 1024 * 1024;
/// Big prompts that are sent.
const BIGS: usize = 20;
/// How long a mode with a fixed time takes.
const SECOND: Duration = Duration::from_millis(1000);

/// One figure of one mode.
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
    /// All, in the order in which they are shown.
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

    /// What it is, with its unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UnaryP50 => "whole answer, 1 caller, p50, µs",
            Self::UnaryP99 => "whole answer, 1 caller, p99, µs",
            Self::PerSecond => "whole answers, 64 callers, per s",
            Self::CpuPerThousand => "CPU per 1,000 of them, s",
            Self::FirstByte => "first byte of a stream, p50, µs",
            Self::OneStream => "1 stream at full speed, 1,000 events/s",
            Self::ManyStreams => "100 streams at full speed, 1,000 events/s",
            Self::PacedP50 => "100 streams at 50 tokens/s, latency p50, µs",
            Self::PacedP99 => "100 streams at 50 tokens/s, latency p99, µs",
            Self::BigBody => "3 MiB prompt, p50, ms",
            Self::Memory => "memory after all of it (PSS), MiB",
            Self::Resident => "the same, with what is shared (RSS), MiB",
        }
    }

    /// Whether a greater figure is the better one.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::OneStream | Self::ManyStreams)
    }
}

/// All modes on one road, once.
pub(crate) async fn measure(road: &Road) -> Vec<(Figure, f64)> {
    let mut found = Vec::new();
    let unary = latencies(road, &Script::Whole.body(MODEL, 32), WHOLE.len(), SECOND).await;
    found.push((Figure::UnaryP50, micros(percentile(&unary, 50))));
    found.push((Figure::UnaryP99, micros(percentile(&unary, 99))));
    let (per_second, cpu) = throughput(road).await;
    found.push((Figure::PerSecond, per_second));
    if let Some(cpu) = cpu {
        found.push((Figure::CpuPerThousand, cpu));
    }
    found.push((Figure::FirstByte, micros(percentile(&first_bytes(road).await, 50))));
    found.push((Figure::OneStream, streams(road, 1, EVENTS).await / 1000.0));
    found.push((Figure::ManyStreams, streams(road, STREAMS, EVENTS / STREAMS).await / 1000.0));
    let paced = paced(road).await;
    found.push((Figure::PacedP50, micros(percentile(&paced, 50))));
    found.push((Figure::PacedP99, micros(percentile(&paced, 99))));
    found.push((Figure::BigBody, micros(big_bodies(road).await) / 1000.0));
    found.extend(road.memory().map(|memory| (Figure::Memory, memory)));
    found.extend(road.resident().map(|memory| (Figure::Resident, memory)));
    found
}

/// What a long way between the server and the backend changes.
pub(crate) async fn measure_far(road: &Road) -> Vec<(Figure, f64)> {
    let unary = latencies(road, &Script::Whole.body(MODEL, 32), WHOLE.len(), SECOND * 2).await;
    vec![
        (Figure::UnaryP50, micros(percentile(&unary, 50))),
        (Figure::UnaryP99, micros(percentile(&unary, 99))),
        (Figure::FirstByte, micros(percentile(&first_bytes(road).await, 50))),
        (Figure::OneStream, streams(road, 1, EVENTS).await / 1000.0),
        (Figure::BigBody, micros(big_bodies(road).await) / 1000.0),
    ]
}

/// Little enough for a gateway that is a hundred times slower.
pub(crate) async fn measure_gateways(road: &Road) -> Vec<(Figure, f64)> {
    let unary = latencies(road, &Script::Whole.body(MODEL, 32), WHOLE.len(), SECOND * 2).await;
    let (per_second, cpu) = throughput(road).await;
    let mut found = vec![
        (Figure::UnaryP50, micros(percentile(&unary, 50))),
        (Figure::UnaryP99, micros(percentile(&unary, 99))),
        (Figure::PerSecond, per_second),
        (Figure::FirstByte, micros(percentile(&first_bytes(road).await, 50))),
        (Figure::OneStream, streams(road, 1, FEW_EVENTS).await / 1000.0),
    ];
    found.extend(cpu.map(|cpu| (Figure::CpuPerThousand, cpu)));
    found.extend(road.memory().map(|memory| (Figure::Memory, memory)));
    found
}

/// One caller that asks again and again, for so long; sorted.
pub(crate) async fn latencies(
    road: &Road,
    body: &bytes::Bytes,
    length: usize,
    time: Duration,
) -> Vec<Duration> {
    let mut caller = Caller::connect(road).await;
    let (mut found, end) = (Vec::new(), Instant::now() + time);
    // The first one opens connections on the way: it warms up.
    caller.whole(body, length).await;
    while Instant::now() < end {
        let began = Instant::now();
        caller.whole(body, length).await;
        found.push(began.elapsed());
    }
    found.sort();
    found
}

/// Requests per second of many callers, and what a thousand of them cost in CPU seconds.
async fn throughput(road: &Road) -> (f64, Option<f64>) {
    let body = Script::Whole.body(MODEL, 32);
    let mut callers = Caller::several(road, CALLERS).await;
    join_all(callers.iter_mut().map(|caller| caller.whole(&body, WHOLE.len()))).await;
    let (began, cpu) = (Instant::now(), road.cpu());
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
    let used = road.cpu().zip(cpu).map(|(after, before)| (after - before) / count * 1000.0);
    (count / began.elapsed().as_secs_f64(), used)
}

/// From the question to the first byte of the answer's body; sorted.
async fn first_bytes(road: &Road) -> Vec<Duration> {
    let body = Script::Stream(1).body(MODEL, 32);
    let mut caller = Caller::connect(road).await;
    let (mut found, end) = (Vec::new(), Instant::now() + SECOND);
    while Instant::now() < end {
        let (began, mut first) = (Instant::now(), None);
        caller.pieces(&body, |_| _ = first.get_or_insert_with(|| began.elapsed())).await;
        found.extend(first);
    }
    found.sort();
    found
}

/// Events per second, over all streams.
async fn streams(road: &Road, streams: usize, events: usize) -> f64 {
    let body = Script::Stream(events).body(MODEL, 32);
    let length = events * EVENT.len() + DONE.len();
    let mut callers = Caller::several(road, streams).await;
    let began = Instant::now();
    join_all(callers.iter_mut().map(|caller| caller.whole(&body, length))).await;
    (streams * events) as f64 / began.elapsed().as_secs_f64()
}

/// How long each token is under way when many streams run at a human pace; sorted.
async fn paced(road: &Road) -> Vec<Duration> {
    let body = Script::Paced(PACED, PAUSE_MS).body(MODEL, 32);
    let mut callers = Caller::several(road, STREAMS).await;
    let found = join_all(callers.iter_mut().map(async |caller| {
        let mut found = Vec::with_capacity(PACED);
        caller.pieces(&body, |piece| found.extend(ages(piece))).await;
        found
    }))
    .await;
    let mut found: Vec<Duration> = found.into_iter().flatten().collect();
    assert!(found.len() > STREAMS * PACED * 9 / 10, "events were torn apart on the way");
    found.sort();
    found
}

/// The ages of the events that are whole in this piece.
fn ages(piece: &[u8]) -> impl Iterator<Item = Duration> + '_ {
    let now = unix_nanos();
    memchr::memmem::find_iter(piece, STAMP).filter_map(move |at| {
        let number = &piece[at + STAMP.len()..];
        let end = memchr::memchr(b'}', number)?;
        let sent: u128 = std::str::from_utf8(&number[..end]).ok()?.parse().ok()?;
        Some(Duration::from_nanos(u64::try_from(now.saturating_sub(sent)).ok()?))
    })
}

async fn big_bodies(road: &Road) -> Duration {
    let body = Script::Whole.body(MODEL, BIG);
    let mut caller = Caller::connect(road).await;
    let mut found = Vec::new();
    for _ in 0..BIGS {
        let began = Instant::now();
        caller.whole(&body, WHOLE.len()).await;
        found.push(began.elapsed());
    }
    found.sort();
    percentile(&found, 50)
}

/// Of sorted values.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
