//! The `mcpd` binary: its command line. What each command does lives in [`command`].

mod command;

use clap::{Parser, Subcommand};
use command::database::{DatabaseCommand, database};
use command::out;
use command::serving::serve;
use command::tokens::{TokenCommand, token};
use mcpd::config::Flags;
use mcpd::telemetry::logging::{LogFormat, to_stderr};
use std::process::ExitCode;

/// A crowd that comes back at once takes ten times the memory that it needs a moment later: this
/// allocator gives it back to the system, the usual one keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Lists the language models that people publish from their own machines, and relays calls to them.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// How log lines look
    #[arg(long, env = "MCPD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Administer tokens on this machine's database
    #[command(subcommand)]
    Token(TokenCommand),
    /// Back the database up, or look whether it is whole
    #[command(subcommand)]
    Database(DatabaseCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let _log = to_stderr(cli.log_format);
    match perform(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A sentence with its causes: a backtrace helps nobody who mistyped a folder.
            out::complain(format_args!("Error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: Cli) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(worker_threads()).enable_all().build()?;
    let config = cli.flags.resolve()?;
    let command = cli.command.unwrap_or(Command::Serve);
    if !matches!(command, Command::Serve) {
        // `mcpd token list | head` ends as other programs do.
        sigpipe::reset();
    }
    match command {
        Command::Serve => runtime.block_on(serve(&config)),
        Command::Token(command) => runtime.block_on(token(&config, command)),
        Command::Database(command) => runtime.block_on(database(&config, command)),
    }
}

/// Half of the cores: the kernel moves most of the bytes, and a worker for each core only wakes the
/// others for what it could do itself.
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
