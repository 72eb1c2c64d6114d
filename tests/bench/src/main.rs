//! Benchmark of the relay and its alternatives, in one run on one machine. Rounds are interleaved
//! (every route once, then every route again), so that temporary noise affects all routes.
//!
//! No time is asserted. `--keep` writes docs/benchmarks.md and its chart.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a developer tool"
)]

mod caller;
mod delay_proxy;
mod fast_backend;
mod idle_publishers;
mod instructions;
mod latency;
mod measurements;
mod report;
mod routes;
mod scaling;

use clap::{Parser, Subcommand};
use fast_backend::FastBackend;
use measurements::Figure;
use report::{Report, Rounds};
use routes::Route;

#[derive(Parser)]
struct Arguments {
    /// Number of rounds; the report shows medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure the routes only, without scaling and latency
    #[arg(long)]
    routes_only: bool,
    /// Measure LiteLLM too, with fewer requests
    #[arg(long)]
    litellm: bool,
    /// Write the results to docs/
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Count the instructions per answer with callgrind
    Instructions {
        /// Folder for the profiles
        folder: std::path::PathBuf,
    },
    /// Run the backend
    #[command(hide = true)]
    Backend,
    /// Run a delay proxy
    #[command(hide = true)]
    Delay {
        /// Address to connect to
        upstream: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Backend) => return fast_backend::serve().await,
        Some(Command::Delay { upstream }) => return delay_proxy::serve(&upstream).await,
        Some(Command::Instructions { folder }) => {
            let backend = FastBackend::start().await?;
            println!("{}", report::table(&instructions::measure(&backend, &folder).await));
            return Ok(());
        }
        None => {}
    }
    let backend = FastBackend::start().await?;
    let mut report = Report::default();
    if arguments.litellm {
        let gateways = routes::open_gateways(&backend.url).await;
        report.gateways = rounds(&gateways, arguments.rounds, measurements::measure_gateways).await;
        println!("{}", report.gateways.table());
    }
    let near = routes::open(&backend.url).await;
    report.near = rounds(&near, arguments.rounds, measurements::measure).await;
    println!("{}", report.near.table());
    println!("{}", report.targets());
    if !arguments.routes_only {
        let far = routes::open_far(&backend.url).await;
        report.far = rounds(&far, arguments.rounds, measurements::measure_far).await;
        println!("{}", report.far.table());
        let certificate = testkit::certificate::Certificate::valid();
        let encrypted = routes::open_tls(&backend.url, &certificate).await;
        report.tls = rounds(&encrypted, arguments.rounds, measurements::measure).await;
        println!("{}", report.tls.table());
        report.scaling = scaling::measure(&backend).await;
        println!("{}", report::table(&report.scaling));
        report.latency = latency::measure().await;
        println!("{}", report::table(&report.latency));
    }
    if arguments.keep {
        report.keep()?;
    }
    Ok(())
}

async fn rounds(
    routes: &[Route],
    count: usize,
    measure: impl AsyncFn(&Route) -> Vec<(Figure, f64)>,
) -> Rounds {
    let mut rounds = Rounds::default();
    for round in 1..=count {
        for route in routes {
            println!("round {round} of {count}: {}", route.name);
            rounds.add(round, route.name, measure(route).await);
        }
    }
    rounds
}
