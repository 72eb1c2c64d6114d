//! SIGKILL and SIGSTOP of server, publisher and backend in every phase of a request. The checker reads
//! the history of each, and afterwards the next call must succeed.

use crate::caller::Call;
use crate::scenario::{FaultKind, PROCESS_FAULTS, Scenario, Target};
use futures_util::future::join_all;
use std::time::Duration;
use testkit::fault_proxy::Fault;
use testkit::figures::{record, thorough};
use tokio::task::JoinHandle;
use trust::history::Fact;

/// Callers whose requests are in the phase.
const CALLS: u64 = 3;
/// Scenarios that run at the same time.
const AT_ONCE: usize = 3;

/// Phase in which a fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering,
    Waking,
    BeforeTheFirstByte,
    MidStream,
    Draining,
}

#[tokio::test]
async fn kills_and_stops_while_a_publisher_registers_break_no_invariant() {
    inject_all(Phase::Registering, "a register is under way").await;
}

#[tokio::test]
async fn kills_and_stops_while_a_recipe_runs_break_no_invariant() {
    inject_all(Phase::Waking, "a recipe runs").await;
}

#[tokio::test]
async fn kills_and_stops_before_the_first_byte_break_no_invariant() {
    inject_all(Phase::BeforeTheFirstByte, "before the first byte").await;
}

#[tokio::test]
async fn kills_and_stops_in_the_middle_of_a_stream_break_no_invariant() {
    inject_all(Phase::MidStream, "in the middle of a stream").await;
}

#[tokio::test]
async fn kills_and_stops_while_the_server_drains_break_no_invariant() {
    inject_all(Phase::Draining, "the server drains").await;
}

/// Injects every process fault in this phase, each in a scenario of its own.
async fn inject_all(phase: Phase, when: &str) {
    let mut violations = Vec::new();
    for faults in PROCESS_FAULTS.chunks(AT_ONCE) {
        let found = join_all(faults.iter().map(|fault| inject(phase, *fault))).await;
        for (fault, found) in faults.iter().zip(found) {
            violations.extend(found.into_iter().map(|violation| format!("{fault:?}: {violation}")));
        }
    }
    let found = format!("{} in {}", violations.len(), PROCESS_FAULTS.len());
    record(&format!("kills and stops at every phase, {when}: violations"), found, "0");
    assert!(violations.is_empty(), "{phase:?}: {violations:#?}");
}

/// Injects one fault in this phase; returns the violated invariants.
async fn inject(phase: Phase, fault: (Target, FaultKind)) -> Vec<String> {
    let mut scenario = Scenario::start(Duration::ZERO).await;
    let callers = reach(phase, &mut scenario).await;
    scenario.inject(fault);
    // The rest continues while the target is away.
    scenario.proxy.set(Fault::None);
    scenario.open_gate();
    tokio::time::sleep(Duration::from_millis(if thorough() { 6_000 } else { 700 })).await;
    scenario.recover(fault).await;
    callers.await.unwrap();
    if phase == Phase::Draining && fault != (Target::Mcpd, FaultKind::Kill) {
        testkit::until("the server exits", async || scenario.mcpd.process.exit_status()).await;
        scenario.recover((Target::Mcpd, FaultKind::Kill)).await;
    }
    scenario.until_recovered().await;
    let mut complete = scenario.call(CALLS, &call(5)).await;
    if !complete && fault == (Target::Agent, FaultKind::Stop) {
        // The call was dispatched just before the agent noticed the break: such a caller gets an error
        // and retries.
        complete = scenario.call(CALLS + 1, &call(5)).await;
    }
    assert!(complete, "{phase:?}, {fault:?}: the next call does not complete");
    let (_, violations) = scenario.finish().await;
    violations
}

fn call(pieces: u64) -> Call {
    Call { delay: Duration::ZERO, pieces, pause_ms: 20, patience: Duration::from_secs(600) }
}

/// Brings the scenario into this phase; returns its callers.
async fn reach(phase: Phase, scenario: &mut Scenario) -> JoinHandle<Vec<bool>> {
    match phase {
        Phase::Registering => {
            scenario.inject((Target::Agent, FaultKind::Kill));
            scenario.proxy.set(Fault::Held);
            scenario.recover((Target::Agent, FaultKind::Kill)).await;
        }
        Phase::Waking => {
            scenario.close_gate();
            scenario.sleep();
            scenario.until_asleep().await;
        }
        Phase::BeforeTheFirstByte => scenario.close_gate(),
        Phase::MidStream | Phase::Draining => {}
    }
    // Long enough to be in the middle of the stream when the fault comes.
    let calls = (0..CALLS).map(|number| scenario.call(number, &call(40)));
    let callers = tokio::spawn(join_all(calls.collect::<Vec<_>>()));
    match phase {
        Phase::Registering => scenario.proxy.until_held().await,
        Phase::Waking => {
            let runs = async || scenario.file("recipe").exists().then_some(());
            testkit::until("the recipe runs", runs).await;
        }
        Phase::BeforeTheFirstByte => {
            let all_run = async || {
                let running = scenario.backend.stdout().matches("runs").count();
                (running == CALLS as usize).then_some(())
            };
            testkit::until("the backend runs all calls", all_run).await;
        }
        Phase::MidStream | Phase::Draining => {
            let all_streaming = async || {
                let first = |call| Fact::Received { call, written_for: call, chunk: 0 };
                let has_begun = |call| scenario.event_log.contains(|fact| *fact == first(call));
                (0..CALLS).all(has_begun).then_some(())
            };
            testkit::until("all streams have begun", all_streaming).await;
        }
    }
    if phase == Phase::Draining {
        scenario.mcpd.process.signal("TERM");
        let drains =
            async || scenario.mcpd.process.stderr().contains("shutting down").then_some(());
        testkit::until("the server drains", drains).await;
    }
    callers
}

#[tokio::test]
async fn a_model_that_is_republished_while_its_recipe_runs_is_not_woken_twice() {
    // 60 s at this scale: longer than the recipe of a killed publisher counts as running.
    let scenario = Scenario::start(Duration::from_secs(6)).await;
    scenario.sleep();
    scenario.until_asleep().await;
    let call = |delay| Call { delay, pieces: 2, pause_ms: 1, patience: Duration::from_secs(60) };
    let first = tokio::spawn(scenario.call(0, &call(Duration::ZERO)));
    let runs = async || scenario.file("recipe").exists().then_some(());
    testkit::until("the recipe runs", runs).await;
    scenario.set_published(false);
    assert!(!first.await.unwrap(), "the model was withdrawn");
    scenario.set_published(true);
    let second = scenario.call(1, &call(Duration::from_secs(4)));
    assert!(second.await, "the first run of the recipe has woken the model");
    let (_, violations) = scenario.finish().await;
    assert!(violations.is_empty(), "{violations:#?}");
}
