//! The real relay and the real session among simulated callers, publishers and a bad network.

use trust::simulation::{self, CAMPAIGN};

/// Requests of a run of the tests; `make soak` has twenty times as many.
const TASKS: u64 = 50_000;

#[test]
fn fifty_thousand_requests_in_calm_and_storm_break_no_invariant() {
    let found = simulation::campaign(0, TASKS);
    println!("figure: simulated requests | {} | ≥ 50,000", found.tasks);
    println!("figure: invariant violations | {} | 0", found.breaches.len());
    assert!(found.breaches.is_empty(), "{:#?}", found.breaches);
    assert!(found.complete * 10 > found.tasks * 4, "only {} were answered", found.complete);
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    for (weather, seed) in [(CAMPAIGN[0], 7), (CAMPAIGN[1], 7)] {
        let (one, two) = (simulation::run(seed, 100, weather), simulation::run(seed, 100, weather));
        assert_eq!(one, two);
        assert!(one.entries.len() > 500, "a story of {} facts", one.entries.len());
    }
}
