//! Peers in JavaScript that speak only protocol 1, as the system before this one did. They print what
//! happens to them as lines of JSON.

use crate::process::Process;
use serde_json::Value;
use std::process::Command;
use tempfile::TempDir;

/// A running peer.
pub struct Protocol1Peer {
    /// The process.
    pub process: Process,
    _folder: TempDir,
}

impl Protocol1Peer {
    /// Starts a publisher of this model.
    #[must_use]
    pub fn publisher(server: &str, token: &str, model: &str) -> Self {
        Self::start("protocol1-publisher.mjs", &[server, token, model])
    }

    /// Starts a server; returns its URL too.
    pub async fn server() -> (Self, String) {
        let server = Self::start("protocol1-server.mjs", &[]);
        let listening = server.until_event("listening", |_| true).await;
        let url = listening["url"].as_str().unwrap().to_owned();
        (server, url)
    }

    fn start(script: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = crate::repository().join("tests/peers").join(script);
        let mut command = Command::new("node");
        command.arg(script).args(arguments);
        Self { process: Process::start("peer", &mut command, folder.path()), _folder: folder }
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let out = self.process.stdout();
        out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Number of events of this kind so far.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        self.events().iter().filter(|event| event["kind"] == kind).count()
    }

    /// Waits for an event of this kind that fulfils `condition`.
    pub async fn until_event(&self, kind: &str, condition: impl Fn(&Value) -> bool) -> Value {
        crate::until(&format!("the peer reports a {kind}"), async || {
            self.events().into_iter().find(|event| event["kind"] == kind && condition(event))
        })
        .await
    }
}
