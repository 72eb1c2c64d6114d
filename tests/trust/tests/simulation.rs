//! Simulates callers, publishers and a faulty network around the real relay and the real session.

use trust::simulation::{self, CAMPAIGN};

/// Simulated requests; `make soak` runs twenty times as many.
const TASKS: u64 = 50_000;

#[test]
fn fifty_thousand_requests_with_and_without_faults_violate_no_invariant() {
    let summary = simulation::campaign(0, TASKS);
    println!("figure: simulated requests | {} | ≥ 50,000", summary.tasks);
    println!("figure: … complete after a connection broke in the middle | {} | –", summary.resumed);
    println!("figure: invariant violations | {} | 0", summary.violations.len());
    assert!(summary.violations.is_empty(), "{:#?}", summary.violations);
    let complete = summary.complete;
    assert!(complete * 10 > summary.tasks * 4, "only {complete} responses were complete");
    let resumed = summary.resumed;
    assert!(resumed * 10 > summary.tasks, "only {resumed} responses survived a lost connection");
}

#[test]
fn a_seed_gives_the_same_history_every_time() {
    for (faults, seed) in [(CAMPAIGN[0], 7), (CAMPAIGN[1], 7)] {
        let (one, two) = (simulation::run(seed, 100, faults), simulation::run(seed, 100, faults));
        assert_eq!(one, two);
        assert!(one.entries.len() > 500, "only {} facts", one.entries.len());
    }
}
