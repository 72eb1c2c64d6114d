//! `make soak`: runs far more simulated requests and random events than the tests have time for.
//! Prints the seed of each failure, which reproduces it.
#![expect(clippy::print_stdout, reason = "a command line tool")]

use clap::Parser;
use std::process::ExitCode;
use trust::choices::Choices;
use trust::{reconnect_policy, relay_machine, simulation};

/// Events of each run of a state machine.
const STEPS: usize = 200;
/// Failures that are printed.
const SHOWN: usize = 20;

#[derive(Parser)]
struct Arguments {
    /// Number of simulated requests, and of random events for each state machine
    #[arg(long, default_value_t = 1_000_000)]
    tasks: u64,
    /// First random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let Arguments { tasks, seed } = Arguments::parse();
    let summary = simulation::campaign(seed, tasks);
    println!("{} simulated requests, {} with a complete response", summary.tasks, summary.complete);
    println!("{} of them after a connection broke in the middle", summary.resumed);
    let mut violations = summary.violations;
    let runs = tasks / STEPS as u64;
    for seed in seed..seed + runs {
        let relay = relay_machine::run(&mut Choices::from_seed(seed), STEPS);
        let policy = reconnect_policy::run(&mut Choices::from_seed(seed), STEPS);
        let describe = |machine, error| format!("seed {seed}, {machine}: {error}");
        violations.extend(relay.err().map(|error| describe("relay", error)));
        violations.extend(policy.err().map(|error| describe("reconnect policy", error)));
    }
    println!("{} events for each state machine", runs * STEPS as u64);
    println!("{} violations", violations.len());
    for violation in violations.iter().take(SHOWN) {
        println!("{violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
