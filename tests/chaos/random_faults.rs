//! Random faults on real processes: callers call and disconnect while servers, publishers and backends
//! are killed or stopped, models are withdrawn and fall asleep, and the network misbehaves. The checker of
//! the simulation reads the history of each run. `TRUST_SEED` repeats the run of one seed.

use crate::caller::Call;
use crate::scenario::{PROCESS_FAULTS, Scenario};
use futures_util::future::join_all;
use std::time::Duration;
use testkit::fault_proxy::Fault;
use testkit::figures::{record, thorough, times};
use trust::choices::Choices;
use trust::history::{Fact, History};

/// Calls of each run.
const CALLS: u64 = 24;

#[tokio::test]
async fn random_kills_stops_and_network_faults_break_no_invariant() {
    let chosen = std::env::var("TRUST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = match chosen {
        Some(seed) => vec![seed],
        None => (0..times(60, 8) as u64).collect(),
    };
    // In the usual run, other tests run beside this one and its runs mostly wait.
    let at_once = if thorough() { 2 } else { 4 };
    let (mut totals, mut violations) = ([0; 4], Vec::new());
    for some in seeds.chunks(at_once) {
        let ended = join_all(some.iter().map(|seed| run(*seed))).await;
        for (seed, (history, found)) in some.iter().zip(ended) {
            for (total, count) in totals.iter_mut().zip(count(&history)) {
                *total += count;
            }
            violations.extend(found.into_iter().map(|found| format!("seed {seed}: {found}")));
        }
    }
    let requests = seeds.len() as u64 * CALLS;
    let [complete, sent, withdrawn, woken] = totals;
    let found = format!("{sent} sent, {withdrawn} withdrawals, {woken} wakes");
    record(
        "random faults on real processes: requests",
        format!("{requests}, {complete} complete"),
        "–",
    );
    record("random faults on real processes: other events", found, "–");
    record("random faults on real processes: invariant violations", violations.len(), "0");
    assert!(violations.is_empty(), "{violations:#?}");
    // A single run may lack one of these events; all runs together must have each of them.
    assert!(chosen.is_some() || totals.iter().all(|total| *total > 0), "{totals:?}");
}

/// Number of complete responses, dispatched tasks, withdrawals and wakes.
fn count(history: &History) -> [usize; 4] {
    let number =
        |of: fn(&Fact) -> bool| history.entries.iter().filter(|entry| of(&entry.fact)).count();
    [
        number(|fact| matches!(fact, Fact::Ended { complete: true, .. })),
        number(|fact| matches!(fact, Fact::Dispatched { .. })),
        number(|fact| matches!(fact, Fact::Withdrawn { .. })),
        number(|fact| matches!(fact, Fact::WakeStarted { .. })),
    ]
}

/// One run: its history and the violated invariants.
async fn run(seed: u64) -> (History, Vec<String>) {
    let mut choices = Choices::from_seed(seed);
    let mut scenario = Scenario::start(Duration::from_millis(choices.between(50, 2_000))).await;
    let calls: Vec<_> =
        (0..CALLS).map(|number| scenario.call(number, &random_call(&mut choices))).collect();
    let callers = tokio::spawn(join_all(calls));
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(choices.between(50, 700))).await;
        random_fault(&mut scenario, &mut choices).await;
    }
    callers.await.unwrap();
    scenario.finish().await
}

/// A call that begins after a random time; every fourth caller may disconnect early.
fn random_call(choices: &mut Choices<'_>) -> Call {
    let (pieces, pause_ms) = (choices.between(1, 30), choices.between(1, 40));
    let delay = Duration::from_millis(choices.below(5_000));
    let patience = if choices.chance(25) { choices.below(1_500) } else { 600_000 };
    Call { delay, pieces, pause_ms, patience: Duration::from_millis(patience) }
}

/// Injects a random fault for a random time.
async fn random_fault(scenario: &mut Scenario, choices: &mut Choices<'_>) {
    let pause = Duration::from_millis(choices.between(50, 1_500));
    match choices.index(16) {
        at @ 0..6 => {
            scenario.inject(PROCESS_FAULTS[at]);
            tokio::time::sleep(pause).await;
            scenario.recover(PROCESS_FAULTS[at]).await;
        }
        6..9 => {
            scenario.set_published(false);
            tokio::time::sleep(pause).await;
            scenario.set_published(true);
        }
        9..12 => {
            scenario.sleep();
            tokio::time::sleep(pause).await;
        }
        _ => {
            let latency = Fault::Latency(Duration::from_millis(choices.between(10, 300)));
            let slice = Fault::Slice(choices.index(200) + 1);
            let faults =
                [latency, slice, Fault::Bandwidth(20_000), Fault::Held, Fault::Reset, Fault::Down];
            scenario.proxy.set(faults[choices.index(faults.len())]);
            tokio::time::sleep(pause).await;
            scenario.proxy.set(Fault::None);
        }
    }
}
