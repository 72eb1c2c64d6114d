//! Peers of the seed system, in JavaScript, that speak protocol 1 only. They tell what happens to
//! them as lines of JSON.

use crate::process::Process;
use serde_json::Value;
use std::process::Command;
use tempfile::TempDir;

/// A running peer.
pub struct Peer {
    /// The process.
    pub process: Process,
    _folder: TempDir,
}

impl Peer {
    /// Starts `tests/peers/NAME` with these arguments.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = crate::repository().join("tests/peers").join(name);
        let mut command = Command::new("node");
        command.arg(script).args(arguments);
        Self { process: Process::start("peer", &mut command, folder.path()), _folder: folder }
    }

    /// Everything that has happened.
    #[must_use]
    pub fn told(&self) -> Vec<Value> {
        let out = self.process.out();
        out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first thing of this kind that happens.
    pub async fn tells(&self, kind: &str, says: impl Fn(&Value) -> bool) -> Value {
        crate::until(&format!("the peer tells of {kind}"), async || {
            self.told().into_iter().find(|told| told["kind"] == kind && says(told))
        })
        .await
    }
}
