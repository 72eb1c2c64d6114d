//! Where log lines go, and whose are heard.

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

/// Our own programs and libraries, as log lines name them.
const OURS: &[&str] = &["registrar", "keychain", "wire", "mcplocal", "mcplocal_agent"];

/// Logs to stderr as RUST_LOG says, from INFO up when it says nothing. Other people's code may
/// print headers or bytes at DEBUG and TRACE: whatever RUST_LOG says, it is heard from INFO up
/// only, so that no token or prompt reaches a log.
pub fn to_stderr() {
    start(None);
}

/// Logs to stderr and to a file a day in the folder's `logs`, the newest few of which are kept.
pub fn to_files(home: &Home) -> Level {
    // The library would complain of a missing folder, and then make it.
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

/// How much a running program logs.
pub struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    set: LogLevel,
}

impl Level {
    /// From now on this much, unless RUST_LOG says how much.
    pub fn set(&mut self, level: LogLevel) {
        let other = std::mem::replace(&mut self.set, level) != level;
        if other && std::env::var_os("RUST_LOG").is_none() {
            let _ = self.filter.reload(EnvFilter::new(level.as_str()));
        }
    }
}

fn start(files: Option<RollingFileAppender>) -> Level {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (wanted, handle) = reload::Layer::new(wanted);
    let heard = filter_fn(|line| {
        let ours = line.target().split(':').next().is_some_and(|name| OURS.contains(&name));
        ours || *line.level() <= tracing::Level::INFO
    });
    let colours = io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    let filed = files.map(|files| fmt::layer().with_writer(Mutex::new(files)).with_ansi(false));
    tracing_subscriber::registry().with(wanted).with(heard).with(lines).with(filed).init();
    Level { filter: handle, set: LogLevel::default() }
}
