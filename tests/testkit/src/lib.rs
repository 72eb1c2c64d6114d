//! What end-to-end tests are made of: real processes of ours, backends real and scripted, peers of
//! the seed system, and callers. The tests themselves are in the package `e2e`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends here")]

pub mod agent;
pub mod backend;
pub mod bus;
pub mod caller;
pub mod cost;
pub mod desktop;
pub mod fault;
pub mod figure;
pub mod herd;
pub mod hostile;
pub mod keyring;
pub mod llama;
pub mod mcpctl;
pub mod mcpd;
pub mod nginx;
pub mod peer;
pub mod process;
pub mod story;
pub mod world;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Longest that a test waits for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Between looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `found` gives something; fails with `what` when it never does.
pub async fn until<T>(what: &str, found: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, found).await
}

/// As [`until`], with a time of its own.
pub async fn within<T>(time: Duration, what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < deadline, "within {time:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// What a script of `scripts/` has put in place: its last line says where.
///
/// # Panics
/// It failed.
#[must_use]
pub fn provided(script: &str) -> PathBuf {
    let output = Command::new(repository().join("scripts").join(script)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(said.lines().last().unwrap())
}

/// A port that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
