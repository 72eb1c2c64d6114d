//! SIGKILL and SIGSTOP of server, publisher and backend in every phase of a request, on purpose.
//! The checker of the stories says what came of it, and then the next call must be answered.

use crate::cast::{Ask, BLOWS, Blow, Cast, Victim};
use futures_util::future::join_all;
use std::time::Duration;
use testkit::fault::Fault;
use testkit::figure::{figure, thorough};
use tokio::task::JoinHandle;
use trust::history::Fact;

/// Callers who are in the phase.
const CALLS: u64 = 3;

/// Where everything stands when somebody is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering,
    Waking,
    BeforeTheFirstByte,
    MidStream,
    Draining,
}

#[tokio::test]
async fn whoever_is_hit_while_a_publisher_registers_nothing_is_broken() {
    hit_everybody(Phase::Registering, "a register is under way").await;
}

#[tokio::test]
async fn whoever_is_hit_while_a_recipe_runs_nothing_is_broken() {
    hit_everybody(Phase::Waking, "a recipe runs").await;
}

#[tokio::test]
async fn whoever_is_hit_before_the_first_byte_nothing_is_broken() {
    hit_everybody(Phase::BeforeTheFirstByte, "before the first byte").await;
}

#[tokio::test]
async fn whoever_is_hit_in_the_middle_of_a_stream_nothing_is_broken() {
    hit_everybody(Phase::MidStream, "in the middle of a stream").await;
}

#[tokio::test]
async fn whoever_is_hit_while_the_server_drains_nothing_is_broken() {
    hit_everybody(Phase::Draining, "the server drains").await;
}

async fn hit_everybody(phase: Phase, when: &str) {
    let mut breaches = Vec::new();
    for blow in BLOWS {
        let found = hit(phase, blow).await;
        breaches.extend(found.into_iter().map(|breach| format!("{blow:?}: {breach}")));
    }
    let said = format!("{} in {}", breaches.len(), BLOWS.len());
    figure(&format!("kills and stops at every phase, {when}: breaches"), said, "0");
    assert!(breaches.is_empty(), "{phase:?}: {breaches:#?}");
}

/// One blow in this phase, and what is broken after it.
async fn hit(phase: Phase, blow: (Victim, Blow)) -> Vec<String> {
    let mut cast = Cast::new(Duration::ZERO).await;
    let callers = reach(phase, &mut cast).await;
    cast.hit(blow);
    // What was held back goes on while the victim is away.
    cast.proxy.set(Fault::None);
    cast.open();
    tokio::time::sleep(Duration::from_millis(if thorough() { 6_000 } else { 700 })).await;
    cast.mend(blow).await;
    callers.await.unwrap();
    if phase == Phase::Draining && blow != (Victim::Mcpd, Blow::Kill) {
        testkit::until("the server ends", async || cast.mcpd.process.ended()).await;
        cast.mend((Victim::Mcpd, Blow::Kill)).await;
    }
    cast.well().await;
    let mut next = cast.call(CALLS, &ask(5)).await;
    if !next && blow == (Victim::Agent, Blow::Stop) {
        // It was sent just before the agent noticed the break: such a call is told to come again.
        next = cast.call(CALLS + 1, &ask(5)).await;
    }
    assert!(next, "{phase:?}, {blow:?}: the next call is not answered");
    let (_, breaches) = cast.end().await;
    breaches
}

fn ask(pieces: u64) -> Ask {
    Ask { begin: Duration::ZERO, pieces, pause: 20, patience: Duration::from_secs(600) }
}

/// Brings everybody there; who calls meanwhile.
async fn reach(phase: Phase, cast: &mut Cast) -> JoinHandle<Vec<bool>> {
    match phase {
        Phase::Registering => {
            cast.hit((Victim::Agent, Blow::Kill));
            cast.proxy.set(Fault::Held);
            cast.mend((Victim::Agent, Blow::Kill)).await;
        }
        Phase::Waking => {
            cast.shut();
            cast.sleep();
            cast.until_asleep().await;
        }
        Phase::BeforeTheFirstByte => cast.shut(),
        Phase::MidStream | Phase::Draining => {}
    }
    // Long enough to be in the middle of it when somebody is hit.
    let calls = (0..CALLS).map(|call| cast.call(call, &ask(40)));
    let callers = tokio::spawn(join_all(calls.collect::<Vec<_>>()));
    match phase {
        Phase::Registering => cast.proxy.until_held().await,
        Phase::Waking => {
            let runs = async || cast.file("recipe").exists().then_some(());
            testkit::until("the recipe runs", runs).await;
        }
        Phase::BeforeTheFirstByte => {
            let runs = |out: &str| out.matches("runs").count() == CALLS as usize;
            testkit::until("the backend works", async || runs(&cast.backend.out()).then_some(()))
                .await;
        }
        Phase::MidStream | Phase::Draining => {
            let streams = async || {
                let begun = |call| {
                    cast.story.has(|f| *f == Fact::Received { call, written_for: call, chunk: 0 })
                };
                (0..CALLS).all(begun).then_some(())
            };
            testkit::until("all streams have begun", streams).await;
        }
    }
    if phase == Phase::Draining {
        cast.mcpd.process.signal("TERM");
        let drains = async || cast.mcpd.process.err().contains("shutting down").then_some(());
        testkit::until("the server drains", drains).await;
    }
    callers
}

#[tokio::test]
async fn a_model_that_leaves_and_returns_while_its_recipe_runs_is_not_woken_beside_it() {
    // In this scale a minute: longer than a recipe counts whose publisher was killed.
    let cast = Cast::new(Duration::from_secs(6)).await;
    cast.sleep();
    cast.until_asleep().await;
    let ask = |begin| Ask { begin, pieces: 2, pause: 1, patience: Duration::from_secs(60) };
    let first = tokio::spawn(cast.call(0, &ask(Duration::ZERO)));
    testkit::until("the recipe runs", async || cast.file("recipe").exists().then_some(())).await;
    cast.publish(false);
    assert!(!first.await.unwrap(), "it was withdrawn");
    cast.publish(true);
    let second = cast.call(1, &ask(Duration::from_secs(4)));
    assert!(second.await, "the first run has woken it");
    let (_, breaches) = cast.end().await;
    assert!(breaches.is_empty(), "{breaches:#?}");
}
