//! Building blocks of the tests: running mcpd and agent processes, a scriptable fake for each side
//! of the protocol (publisher, server, backend), real peers (llama.cpp, nginx, gnome-keyring) and
//! callers. The tests themselves are in the package `e2e`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

pub mod agent;
pub mod bus;
pub mod caller;
pub mod certificate;
pub mod desktop;
pub mod event_log;
pub mod fake_backend;
pub mod fake_publisher;
pub mod fake_server;
pub mod fault_proxy;
pub mod figures;
pub mod keyring;
pub mod llama;
pub mod many_publishers;
pub mod mcpctl;
pub mod mcpd;
pub mod nginx;
pub mod process;
pub mod protocol1_peer;
pub mod received_request;
pub mod resource_usage;
pub mod setup;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait of a test for anything that must happen.
pub const TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Polls `check` until it returns a value.
///
/// # Panics
/// `check` returned nothing within [`TIMEOUT`]; the message contains `what`.
pub async fn until<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(TIMEOUT, what, check).await
}

/// Polls `check` until it returns a value, for at most `time`.
///
/// # Panics
/// `check` returned nothing within `time`; the message contains `what`.
pub async fn within<T>(time: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out after {time:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The root folder of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Runs a script of `scripts/` that installs something, and returns the path on its last line.
///
/// # Panics
/// The script failed.
#[must_use]
pub fn provided(script: &str) -> PathBuf {
    let output = Command::new(repository().join("scripts").join(script)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(stdout.lines().last().unwrap())
}

/// A loopback port that was free when it was checked.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
