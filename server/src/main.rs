//! The `mcpd` binary: its command line. The commands are in [`command`].

mod command;

use clap::{Parser, Subcommand};
use command::database::{DatabaseCommand, database};
use command::out;
use command::serving::serve;
use command::tokens::{TokenCommand, token};
use mcpd::config::Flags;
use mcpd::telemetry::logging::{LogFormat, to_stderr};
use std::process::ExitCode;

/// Thousands of publishers that reconnect at once need ten times the memory for a moment; unlike
/// the default allocator, this one returns it to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Lists the language models that people publish from their own machines, and relays calls to them.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// Format of log lines
    #[arg(long, env = "MCPD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Administer tokens in this machine's database
    #[command(subcommand)]
    Token(TokenCommand),
    /// Back up or check the database
    #[command(subcommand)]
    Database(DatabaseCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let _log = to_stderr(cli.log_format);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The error with its causes, and no backtrace.
            out::error_line(format_args!("Error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(worker_threads()).enable_all().build()?;
    let config = cli.flags.resolve()?;
    let command = cli.command.unwrap_or(Command::Serve);
    if !matches!(command, Command::Serve) {
        // End like other programs when a pipe closes: `mcpd token list | head`.
        sigpipe::reset();
    }
    match command {
        Command::Serve => runtime.block_on(serve(&config)),
        Command::Token(command) => runtime.block_on(token(&config, command)),
        Command::Database(command) => runtime.block_on(database(&config, command)),
    }
}

/// Half the number of cores: the kernel moves most bytes, and with a worker per core they mostly
/// wake each other.
fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
