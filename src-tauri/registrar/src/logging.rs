//! Log output: destinations, level, and the cap on other libraries' lines.

use crate::config::settings::LogLevel;
use crate::home::Home;
use crate::limits::LOG_FILES;
use std::io::{self, IsTerminal as _};
use std::sync::Mutex;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Log targets (crate names) of this project.
const OWN_TARGETS: &[&str] =
    &["registrar", "client", "keychain", "wire", "mcplocal", "mcplocal_agent"];

/// Logs to stderr at the level of RUST_LOG, INFO if it is not set.
///
/// Dependencies are capped at INFO regardless of RUST_LOG: at DEBUG and TRACE they may log headers
/// or bodies, and so tokens and prompts.
pub fn to_stderr() {
    start(None);
}

/// Logs to stderr and to one file a day in the folder's `logs`; only the newest files remain.
pub fn to_files(home: &Home) -> Level {
    // The library creates a missing folder too, but logs an error first.
    let _ = std::fs::create_dir_all(home.logs());
    let files = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(Home::LOG_PREFIX)
        .filename_suffix("log")
        .max_log_files(LOG_FILES)
        .build(home.logs());
    let (files, problem) = match files {
        Ok(files) => (Some(files), None),
        Err(error) => (None, Some(error)),
    };
    let level = start(files);
    if let Some(error) = problem {
        tracing::warn!(%error, "no log file can be written; logging to stderr only");
    }
    level
}

/// Log level of the running program.
pub struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    set: LogLevel,
}

impl Level {
    /// Changes the level, unless RUST_LOG is set.
    pub fn set(&mut self, level: LogLevel) {
        let changed = std::mem::replace(&mut self.set, level) != level;
        if changed && std::env::var_os("RUST_LOG").is_none() {
            let _ = self.filter.reload(EnvFilter::new(level.as_str()));
        }
    }
}

fn start(files: Option<RollingFileAppender>) -> Level {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let dependency_cap = filter_fn(|line| {
        let own = line.target().split(':').next();
        own.is_some_and(|name| OWN_TARGETS.contains(&name)) || *line.level() <= tracing::Level::INFO
    });
    let colours = io::stderr().is_terminal();
    let to_stderr = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    let to_file = files.map(|files| fmt::layer().with_writer(Mutex::new(files)).with_ansi(false));
    tracing_subscriber::registry()
        .with(filter)
        .with(dependency_cap)
        .with(to_stderr)
        .with(to_file)
        .init();
    Level { filter: handle, set: LogLevel::default() }
}
