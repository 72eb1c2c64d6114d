//! What a relay costs: ours beside what people would use instead, in one run on one machine. Rounds
//! are interleaved (every road, then every road again), so that a noisy minute hits them all.
//!
//! Nothing is asserted on time. `--keep` writes docs/benchmarks.md and its picture.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measuring program for the people who build"
)]

mod backend;
mod caller;
mod feel;
mod growth;
mod load;
mod publisher;
mod report;
mod roads;

use backend::Backend;
use clap::{Parser, Subcommand};
use report::{Report, Rounds};

#[derive(Parser)]
struct Arguments {
    /// How often every road is measured; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the roads: not how cost grows, and not the small numbers
    #[arg(long)]
    roads_only: bool,
    /// Write the figures down in docs/
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Be the backend (a process of its own)
    #[command(hide = true)]
    Backend,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    if matches!(arguments.command, Some(Command::Backend)) {
        return backend::serve().await;
    }
    let backend = Backend::start().await?;
    let mut report =
        Report { rounds: rounds(&backend, arguments.rounds).await, ..Report::default() };
    println!("{}", report.roads());
    println!("{}", report.targets());
    if !arguments.roads_only {
        report.growth = growth::measure(&backend).await;
        println!("{}", report::table(&report.growth));
        report.feel = feel::measure().await;
        println!("{}", report::table(&report.feel));
    }
    if arguments.keep {
        report.keep()?;
    }
    Ok(())
}

async fn rounds(backend: &Backend, count: usize) -> Rounds {
    let roads = roads::open(&backend.url).await;
    let mut rounds = Rounds::default();
    for round in 1..=count {
        for road in &roads {
            println!("round {round} of {count}: {}", road.name);
            rounds.add(round, road.name, load::measure(road).await);
        }
    }
    rounds
}
