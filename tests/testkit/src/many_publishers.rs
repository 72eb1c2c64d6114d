//! Many real publishers, all in one process.

use crate::agent::provider;
use crate::mcpd::Mcpd;
use crate::process::{Process, program};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use wire::paths;

/// Publishers of one model each: `m-0`, `m-1`, …
pub struct ManyPublishers {
    /// The process of all of them.
    pub process: Process,
    _folder: TempDir,
    count: usize,
}

impl ManyPublishers {
    /// Starts `count` publishers, each of another user.
    pub async fn start(mcpd: &Mcpd, admin: &str, backend: &str, count: usize, scale: f64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let homes = folder.path().join("homes");
        for number in 0..count {
            let home = homes.join(format!("{number}"));
            std::fs::create_dir_all(&home).unwrap();
            let user = json!({"user": format!("user-{number}"), "scopes": ["publish"]});
            let created = mcpd.post(paths::TOKENS, admin).json(&user).send().await.unwrap();
            let created: Value = created.json().await.unwrap();
            let entry = provider(&format!("m-{number}"), backend);
            let config = json!({"mcpdUrl": mcpd.url, "llm": {"providers": [entry]}});
            std::fs::write(home.join("config.json"), config.to_string()).unwrap();
            let credentials = json!({"mcpdUrl": mcpd.url, "token": created["token"]});
            std::fs::write(home.join("credentials"), credentials.to_string()).unwrap();
        }
        let mut command = Command::new(program("many_publishers"));
        command.arg(&homes).env("MCPCTL_KEYCHAIN", "off").env("RUST_LOG", "warn");
        command.env("MCPCTL_TIME_SCALE", scale.to_string());
        let process = Process::start("many_publishers", &mut command, folder.path());
        Self { process, _folder: folder, count }
    }

    /// Number of their catalogue entries that are active and connected.
    pub async fn ready(&self, mcpd: &Mcpd, token: &str) -> usize {
        let is_ready = |entry: &Value| entry["status"] == "active" && entry["connected"] == true;
        self.entries(mcpd, token, is_ready).await
    }

    /// Number of catalogue entries that fulfil `condition`.
    pub async fn entries(
        &self,
        mcpd: &Mcpd,
        token: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> usize {
        let Ok(response) = mcpd.get(paths::LLMS, token).send().await else { return 0 };
        let list: Value = response.json().await.unwrap_or_default();
        let entries = list["llms"].as_array();
        entries.map_or(0, |entries| entries.iter().filter(|entry| condition(entry)).count())
    }

    /// Waits until all are active and connected.
    pub async fn until_all_ready(&self, mcpd: &Mcpd, token: &str) {
        crate::within(Duration::from_secs(120), "all publishers are ready", async || {
            (self.ready(mcpd, token).await == self.count).then_some(())
        })
        .await;
    }
}
