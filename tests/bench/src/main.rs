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
mod delay;
mod feel;
mod growth;
mod load;
mod publisher;
mod report;
mod roads;
mod tls;

use backend::Backend;
use clap::{Parser, Subcommand};
use load::Figure;
use report::{Report, Rounds};
use roads::Road;

#[derive(Parser)]
struct Arguments {
    /// How often every road is measured; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the roads: not how cost grows, and not the small numbers
    #[arg(long)]
    roads_only: bool,
    /// LiteLLM too, with less work
    #[arg(long)]
    litellm: bool,
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
    /// Be a long way (a process of its own)
    #[command(hide = true)]
    Delay {
        /// Where it leads
        upstream: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Backend) => return backend::serve().await,
        Some(Command::Delay { upstream }) => return delay::serve(&upstream).await,
        None => {}
    }
    let backend = Backend::start().await?;
    let mut report = Report::default();
    if arguments.litellm {
        let gateways = roads::open_gateways(&backend.url).await;
        report.gateways = rounds(&gateways, arguments.rounds, load::measure_gateways).await;
        println!("{}", report.gateways.table());
    }
    let near = roads::open(&backend.url).await;
    report.near = rounds(&near, arguments.rounds, load::measure).await;
    println!("{}", report.near.table());
    println!("{}", report.targets());
    if !arguments.roads_only {
        let far = roads::open_far(&backend.url).await;
        report.far = rounds(&far, arguments.rounds, load::measure_far).await;
        println!("{}", report.far.table());
        let certificate = tls::Certificate::new();
        let secret = roads::open_tls(&backend.url, &certificate).await;
        report.tls = rounds(&secret, arguments.rounds, load::measure).await;
        println!("{}", report.tls.table());
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

async fn rounds(
    roads: &[Road],
    count: usize,
    measure: impl AsyncFn(&Road) -> Vec<(Figure, f64)>,
) -> Rounds {
    let mut rounds = Rounds::default();
    for round in 1..=count {
        for road in roads {
            println!("round {round} of {count}: {}", road.name);
            rounds.add(round, road.name, measure(road).await);
        }
    }
    rounds
}
