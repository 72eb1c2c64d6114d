//! A running `mcplocal-agent` and its folder.

use crate::process::{CommandLine, Process, program};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// Factor of all of the agent's waits.
const SCALE: &str = "0.1";

/// A `~/.mcpctl` of one test.
#[derive(Clone)]
pub struct Home {
    folder: Arc<TempDir>,
}

impl Default for Home {
    fn default() -> Self {
        Self { folder: Arc::new(tempfile::tempdir().unwrap()) }
    }
}

impl Home {
    /// A folder whose configuration has this server and these providers.
    #[must_use]
    pub fn with_config(server: &str, providers: &[Value]) -> Self {
        let home = Self::default();
        home.configure(server, providers);
        home
    }

    /// Uses an existing folder.
    #[must_use]
    pub fn in_folder(folder: TempDir) -> Self {
        Self { folder: Arc::new(folder) }
    }

    /// Replaces the configuration by one with this server and these providers.
    pub fn configure(&self, server: &str, providers: &[Value]) {
        let config = json!({"mcpdUrl": server, "llm": {"providers": providers}});
        self.write(&serde_json::to_string_pretty(&config).unwrap());
    }

    /// Replaces the configuration as an editor does: writes a new file and renames it over the old
    /// one.
    pub fn write(&self, text: &str) {
        let new = self.file("config.json.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file("config.json")).unwrap();
    }

    /// Path of a file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Content of a file in the folder; empty if it does not exist.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Content of `status.json`; null if it does not exist.
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.read("status.json")).unwrap_or_default()
    }

    /// Waits for a status that fulfils `condition`; `what` describes it in the failure message.
    pub async fn until_status(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        crate::until(&format!("status.json shows: {what}"), async || {
            let status = self.status();
            condition(&status).then_some(status)
        })
        .await
    }

    /// Waits until the publishing process is connected to its server.
    pub async fn until_online(&self) -> Value {
        self.until_status("online", |status| status["connection"]["state"] == "online").await
    }
}

impl CommandLine for Home {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("mcplocal-agent"));
        command
            .args(arguments)
            .env("MCPCTL_HOME", self.folder.path())
            .env("MCPCTL_KEYCHAIN", "off")
            .env("MCPCTL_TIME_SCALE", SCALE)
            .env("RUST_LOG", "warn")
            .env_remove("MCPCTL_TOKEN");
        command
    }
}

/// A running agent that publishes from a folder.
pub struct Agent {
    /// The process.
    pub process: Process,
    /// Its folder.
    pub home: Home,
    /// Folder of its log, outside the folder that it watches.
    pub log: TempDir,
}

impl Agent {
    /// Starts an agent with this token in its environment.
    #[must_use]
    pub fn start(home: &Home, token: &str) -> Self {
        Self::with_environment(home, &[("MCPCTL_TOKEN", token)])
    }

    /// Starts an agent whose waits are multiplied by `scale`.
    #[must_use]
    pub fn scaled(home: &Home, token: &str, scale: f64) -> Self {
        let scale = scale.to_string();
        Self::with_environment(home, &[("MCPCTL_TOKEN", token), ("MCPCTL_TIME_SCALE", &scale)])
    }

    /// Starts an agent with these environment variables.
    #[must_use]
    pub fn with_environment(home: &Home, environment: &[(&str, &str)]) -> Self {
        let mut command = home.command(&["run"]);
        command.env("RUST_LOG", "trace").envs(environment.iter().copied());
        Self::start_as(home, command)
    }

    /// Starts an agent that a tool runs, see [`crate::process::run_by`], with these environment
    /// variables.
    #[must_use]
    pub fn run_by(tool: &[String], home: &Home, environment: &[(&str, &str)]) -> Self {
        let mut command = crate::process::run_by(tool, &home.command(&["run"]));
        command.envs(environment.iter().copied());
        Self::start_as(home, command)
    }

    fn start_as(home: &Home, mut command: Command) -> Self {
        let log = tempfile::tempdir().unwrap();
        let process = Process::start("agent", &mut command, log.path());
        Self { process, home: home.clone(), log }
    }
}

/// Configuration entry of a published provider at this URL.
#[must_use]
pub fn provider(name: &str, url: &str) -> Value {
    json!({"name": name, "url": url, "model": "the-backends-own-name", "publish": true})
}
