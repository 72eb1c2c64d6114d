//! Log lines go to stderr, and never wait for whoever reads it.

use clap::ValueEnum;
use std::io::{self, Write};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use wire::names::escape_unprintable;

/// How log lines look.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Logs to stderr, as long as the guard lives. A reader that takes nothing costs lines and no time.
///
/// Other people's code may print headers, statements or bytes at DEBUG and TRACE: whatever RUST_LOG
/// says, it is heard from INFO up only. A token or a prompt must not reach a log.
#[must_use]
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
    // Without colours: their control characters would be escaped too.
    let lines = tracing_subscriber::fmt::layer().with_writer(Escaped(queue)).with_ansi(false);
    let log = tracing_subscriber::registry().with(wanted).with(ours);
    match format {
        LogFormat::Text => log.with(lines).init(),
        LogFormat::Json => log.with(lines.json()).init(),
    }
    // The usual hook writes to stderr itself, and waits for its reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    guard
}

/// A log whose lines cannot move a terminal's cursor: names in them come from strangers.
#[derive(Clone)]
struct Escaped(NonBlocking);

impl Write for Escaped {
    /// A line comes whole.
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
