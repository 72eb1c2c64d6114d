//! `make soak`: many more simulated requests and random events than the tests have time for. A failing
//! seed is printed and can be told again.
#![expect(clippy::print_stdout, reason = "a tool for the people who build")]

use clap::Parser;
use std::process::ExitCode;
use trust::tape::Tape;
use trust::{machine, session, simulation};

const STEPS: usize = 200;

#[derive(Parser)]
struct Arguments {
    /// Simulated requests
    #[arg(long, default_value_t = 1_000_000)]
    tasks: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let Arguments { tasks, seed } = Arguments::parse();
    let found = simulation::campaign(seed, tasks);
    println!("{} simulated requests, {} answered in full", found.tasks, found.complete);
    let mut breaches = found.breaches;
    let runs = tasks / STEPS as u64;
    for seed in seed..seed + runs {
        let relay = machine::run(&mut Tape::seeded(seed), STEPS);
        let session = session::run(&mut Tape::seeded(seed), STEPS);
        let named = |machine, why| format!("seed {seed}, the {machine}: {why}");
        breaches.extend(relay.err().map(|why| named("relay", why)));
        breaches.extend(session.err().map(|why| named("session", why)));
    }
    println!("{} events for each machine", runs * STEPS as u64);
    println!("{} breaches", breaches.len());
    for breach in breaches.iter().take(20) {
        println!("{breach}");
    }
    if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
