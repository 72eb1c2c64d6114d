//! A herd of publishers: real registrars, many in one process.

use crate::agent::provider;
use crate::mcpd::Mcpd;
use crate::process::{Process, program};
use serde_json::{Value, json};
use std::process::Command;
use tempfile::TempDir;
use wire::paths;

/// So many publishers of one model each, `m-0`, `m-1`, …
pub struct Herd {
    /// All of them.
    pub process: Process,
    _folder: TempDir,
    count: usize,
}

impl Herd {
    /// Starts them, each with an owner of its own.
    pub async fn start(mcpd: &Mcpd, admin: &str, backend: &str, count: usize, scale: f64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let homes = folder.path().join("homes");
        for number in 0..count {
            let home = homes.join(format!("{number}"));
            std::fs::create_dir_all(&home).unwrap();
            let wish = json!({"user": format!("user-{number}"), "scopes": ["publish"]});
            let made = mcpd.post(paths::TOKENS, admin).json(&wish).send().await.unwrap();
            let made: Value = made.json().await.unwrap();
            let entry = provider(&format!("m-{number}"), backend);
            let config = json!({"mcpdUrl": mcpd.url, "llm": {"providers": [entry]}});
            std::fs::write(home.join("config.json"), config.to_string()).unwrap();
            let credentials = json!({"mcpdUrl": mcpd.url, "token": made["token"]});
            std::fs::write(home.join("credentials"), credentials.to_string()).unwrap();
        }
        let mut command = Command::new(program("herd"));
        command.arg(&homes).env("MCPCTL_KEYCHAIN", "off").env("RUST_LOG", "warn");
        command.env("MCPCTL_TIME_SCALE", scale.to_string());
        let process = Process::start("herd", &mut command, folder.path());
        Self { process, _folder: folder, count }
    }

    /// How many of their rows the catalogue shows as ready.
    pub async fn ready(&self, mcpd: &Mcpd, token: &str) -> usize {
        self.rows(mcpd, token, |row| row["status"] == "active" && row["connected"] == true).await
    }

    /// How many rows the catalogue has of which this is true.
    pub async fn rows(&self, mcpd: &Mcpd, token: &str, is: impl Fn(&Value) -> bool) -> usize {
        let Ok(answer) = mcpd.get(paths::LLMS, token).send().await else { return 0 };
        let rows: Value = answer.json().await.unwrap_or_default();
        rows["llms"].as_array().map_or(0, |rows| rows.iter().filter(|row| is(row)).count())
    }

    /// Waits until all are there.
    pub async fn all_ready(&self, mcpd: &Mcpd, token: &str) {
        crate::within(
            std::time::Duration::from_secs(120),
            "all publishers are there",
            async || (self.ready(mcpd, token).await == self.count).then_some(()),
        )
        .await;
    }
}
