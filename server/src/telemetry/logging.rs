//! The process log on stderr; writing it never blocks.

use clap::ValueEnum;
use std::io::{self, Write};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use wire::names::escape_unprintable;

/// Format of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Logs to stderr until the guard is dropped. If stderr is not read, lines are lost and nothing
/// waits.
///
/// Dependencies are capped at INFO regardless of RUST_LOG: they may log headers, statements or
/// bodies, and neither a token nor a prompt may reach a log.
pub fn to_stderr(format: LogFormat) -> WorkerGuard {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ours = filter_fn(|line| {
        let own =
            ["mcpd", "relay", "wire"].contains(&line.target().split(':').next().unwrap_or(""));
        own || *line.level() <= tracing::Level::INFO
    });
    let queue = NonBlockingBuilder::default();
    let queue = queue.lossy(true).buffered_lines_limit(crate::limits::LOG_LINES);
    let (queue, guard) = queue.finish(io::stderr());
    // No colours: their control characters would be escaped too.
    let lines = tracing_subscriber::fmt::layer().with_writer(Escaped(queue)).with_ansi(false);
    let log = tracing_subscriber::registry().with(wanted).with(ours);
    match format {
        LogFormat::Text => log.with(lines).init(),
        LogFormat::Json => log.with(lines.json()).init(),
    }
    // The default hook writes to stderr itself, and blocks if it is not read.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    guard
}

/// A writer that escapes control characters: names in the log come from clients and could otherwise
/// control a terminal.
#[derive(Clone)]
struct Escaped(NonBlocking);

impl Write for Escaped {
    /// Writes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(escape_unprintable(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl MakeWriter<'_> for Escaped {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
