//! Where log lines go, and whose are heard.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Our own programs and libraries, as log lines name them.
const OURS: &[&str] = &["registrar", "keychain", "wire", "mcplocal", "mcplocal_agent"];

/// Logs to stderr as RUST_LOG says, from INFO up when it says nothing. Other people's code may
/// print headers or bytes at DEBUG and TRACE: whatever RUST_LOG says, it is heard from INFO up
/// only, so that no token or prompt reaches a log.
pub fn to_stderr() {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let heard = filter_fn(|line| {
        let ours = line.target().split(':').next().is_some_and(|name| OURS.contains(&name));
        ours || *line.level() <= tracing::Level::INFO
    });
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    tracing_subscriber::registry().with(wanted).with(heard).with(lines).init();
}
