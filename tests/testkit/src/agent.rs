//! A running `mcplocal-agent`, and the folder that it lives in.

use crate::process::{CommandLine, Process, program};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The agent's waits are a tenth of the real ones.
const SCALE: &str = "0.1";

/// A `~/.mcpctl` for one test.
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
    /// A folder with this server and these providers in its configuration.
    #[must_use]
    pub fn with(server: &str, providers: &[Value]) -> Self {
        let home = Self::default();
        home.configure(server, providers);
        home
    }

    /// In a folder of the test's choice.
    #[must_use]
    pub fn in_folder(folder: TempDir) -> Self {
        Self { folder: Arc::new(folder) }
    }

    /// Writes the configuration anew.
    pub fn configure(&self, server: &str, providers: &[Value]) {
        let config = json!({"mcpdUrl": server, "llm": {"providers": providers}});
        self.write(&serde_json::to_string_pretty(&config).unwrap());
    }

    /// Writes the configuration as an editor does: a new file, renamed over the old one.
    pub fn write(&self, text: &str) {
        let new = self.file("config.json.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file("config.json")).unwrap();
    }

    /// A file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a file of the folder says.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The live status.
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.read("status.json")).unwrap_or_default()
    }

    /// Waits for a status.
    pub async fn shows(&self, what: &str, says: impl Fn(&Value) -> bool) -> Value {
        crate::until(&format!("the status says {what}"), async || {
            let status = self.status();
            says(&status).then_some(status)
        })
        .await
    }
}

impl CommandLine for Home {
    fn prepare(&self, arguments: &[&str]) -> Command {
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

/// The agent, publishing from a folder.
pub struct Agent {
    /// The process.
    pub process: Process,
    /// Its folder.
    pub home: Home,
    /// Its log; not in the folder that it watches.
    pub log: TempDir,
}

impl Agent {
    /// Starts one with this bearer in its environment.
    #[must_use]
    pub fn start(home: &Home, token: &str) -> Self {
        Self::with(home, &[("MCPCTL_TOKEN", token)])
    }

    /// Starts one whose waits are multiplied by this.
    #[must_use]
    pub fn scaled(home: &Home, token: &str, scale: f64) -> Self {
        let scale = scale.to_string();
        Self::with(home, &[("MCPCTL_TOKEN", token), ("MCPCTL_TIME_SCALE", &scale)])
    }

    /// Starts one with these environment variables.
    #[must_use]
    pub fn with(home: &Home, environment: &[(&str, &str)]) -> Self {
        let mut command = home.prepare(&["run"]);
        command.env("RUST_LOG", "trace").envs(environment.iter().copied());
        let log = tempfile::tempdir().unwrap();
        let process = Process::start("agent", &mut command, log.path());
        Self { process, home: home.clone(), log }
    }
}

/// A published provider at this URL.
#[must_use]
pub fn provider(name: &str, url: &str) -> Value {
    json!({"name": name, "url": url, "model": "the-backends-own-name", "publish": true})
}
