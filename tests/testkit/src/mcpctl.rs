//! `mcpctl` with settings of its own.

use crate::process::{CommandLine, Process, program};
use std::process::Command;
use tempfile::TempDir;

/// The settings folder of one user, and the environment of each call.
pub struct Mcpctl {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Mcpctl {
    /// With neither a server nor a token.
    #[must_use]
    pub fn fresh() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// With server and token in the environment.
    #[must_use]
    pub fn with(url: &str, token: &str) -> Self {
        let variables = [("MCPCTL_URL", url), ("MCPCTL_TOKEN", token)];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { environment: environment.to_vec(), ..Self::fresh() }
    }

    /// The settings file.
    #[must_use]
    pub fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("cli.json")
    }

    /// Starts a command that runs until it is interrupted.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start("mcpctl", &mut self.command(arguments), self.folder.path())
    }
}

impl CommandLine for Mcpctl {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("mcpctl"));
        command
            .args(arguments)
            .env("MCPCTL_HOME", self.folder.path())
            .env("MCPCTL_KEYCHAIN", "off")
            .env_remove("MCPCTL_URL")
            .env_remove("MCPCTL_TOKEN")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}
