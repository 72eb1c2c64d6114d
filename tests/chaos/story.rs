//! Stories on real processes: callers ask and leave while servers, publishers and backends are
//! killed or stopped, models are withdrawn and fall asleep, and the network misbehaves. The checker
//! of the simulation reads what all of them logged. `TRUST_SEED` tells one story again.

use crate::cast::{Ask, BLOWS, Cast};
use futures_util::future::join_all;
use std::time::Duration;
use testkit::fault::Fault;
use testkit::figure::{figure, times};
use trust::choices::Choices;
use trust::history::{Fact, History};

const CALLS: u64 = 24;
/// Stories that are told at the same time.
const AT_ONCE: usize = 2;

#[tokio::test]
async fn no_story_of_kills_stops_and_bad_networks_breaks_an_invariant() {
    let told = std::env::var("TRUST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = match told {
        Some(seed) => vec![seed],
        None => (0..times(60, 8) as u64).collect(),
    };
    let (mut seen, mut breaches) = ([0; 4], Vec::new());
    for some in seeds.chunks(AT_ONCE) {
        let ended = join_all(some.iter().map(|seed| tell(*seed))).await;
        for (seed, (history, found)) in some.iter().zip(ended) {
            for (all, these) in seen.iter_mut().zip(count(&history)) {
                *all += these;
            }
            breaches.extend(found.into_iter().map(|breach| format!("seed {seed}: {breach}")));
        }
    }
    let asked = seeds.len() as u64 * CALLS;
    let [complete, sent, withdrawn, woken] = seen;
    let said = format!("{sent} sent, {withdrawn} withdrawals, {woken} wakes");
    figure("stories on real processes: requests", format!("{asked}, {complete} complete"), "–");
    figure("stories on real processes: what else the logs tell", said, "–");
    figure("stories on real processes: invariant violations", breaches.len(), "0");
    assert!(breaches.is_empty(), "{breaches:#?}");
    // A story by itself may do without some of it; all of them may not.
    assert!(told.is_some() || seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// Answers that were complete, what was sent, withdrawals, wakes.
fn count(history: &History) -> [usize; 4] {
    let number =
        |such: fn(&Fact) -> bool| history.entries.iter().filter(|entry| such(&entry.fact)).count();
    [
        number(|fact| matches!(fact, Fact::Ended { complete: true, .. })),
        number(|fact| matches!(fact, Fact::Dispatched { .. })),
        number(|fact| matches!(fact, Fact::Withdrawn { .. })),
        number(|fact| matches!(fact, Fact::WakeStarted { .. })),
    ]
}

async fn tell(seed: u64) -> (History, Vec<String>) {
    let mut choices = Choices::from_seed(seed);
    let mut cast = Cast::new(Duration::from_millis(choices.between(50, 2_000))).await;
    let calls: Vec<_> = (0..CALLS).map(|call| cast.call(call, &ask(&mut choices))).collect();
    let callers = tokio::spawn(join_all(calls));
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(choices.between(50, 700))).await;
        trouble(&mut cast, &mut choices).await;
    }
    callers.await.unwrap();
    cast.end().await
}

/// One caller, who asks after a while and may leave after another.
fn ask(choices: &mut Choices<'_>) -> Ask {
    let (pieces, pause) = (choices.between(1, 30), choices.between(1, 40));
    let begin = Duration::from_millis(choices.below(5_000));
    let patience = if choices.chance(25) { choices.below(1_500) } else { 600_000 };
    Ask { begin, pieces, pause, patience: Duration::from_millis(patience) }
}

async fn trouble(cast: &mut Cast, choices: &mut Choices<'_>) {
    let pause = Duration::from_millis(choices.between(50, 1_500));
    match choices.index(16) {
        at @ 0..6 => {
            cast.hit(BLOWS[at]);
            tokio::time::sleep(pause).await;
            cast.mend(BLOWS[at]).await;
        }
        6..9 => {
            cast.publish(false);
            tokio::time::sleep(pause).await;
            cast.publish(true);
        }
        9..12 => {
            cast.sleep();
            tokio::time::sleep(pause).await;
        }
        _ => {
            let latency = Fault::Latency(Duration::from_millis(choices.between(10, 300)));
            let slice = Fault::Slice(choices.index(200) + 1);
            let faults =
                [latency, slice, Fault::Bandwidth(20_000), Fault::Held, Fault::Reset, Fault::Down];
            cast.proxy.set(faults[choices.index(faults.len())]);
            tokio::time::sleep(pause).await;
            cast.proxy.set(Fault::None);
        }
    }
}
