//! A running mcpd.

use crate::certificate::Certificate;
use crate::process::{Process, program};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// A server with a loopback port and a database of its own.
pub struct Mcpd {
    /// `http://127.0.0.1:…`, or `https://…`
    pub url: String,
    /// The process.
    pub process: Process,
    /// Folder of its database and log.
    pub folder: Arc<TempDir>,
    port: u16,
    scale: f64,
    log: &'static str,
    http: Client,
}

impl Mcpd {
    /// Starts one that logs everything.
    pub async fn start() -> Self {
        Self::scaled(1.0).await
    }

    /// As [`Self::start`], with every time limit multiplied by `scale`.
    pub async fn scaled(scale: f64) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), 0, scale, "trace").await
    }

    /// Starts one with this log filter, and with every time limit multiplied by `scale`.
    pub async fn logging(filter: &'static str, scale: f64) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), 0, scale, filter).await
    }

    /// Starts one that a tool runs, see [`crate::process::run_by`].
    pub async fn run_by(tool: &[String]) -> Self {
        let command = crate::process::run_by(tool, &Command::new(program("mcpd")));
        Self::start_as(command, Arc::new(tempfile::tempdir().unwrap()), 0, 1.0, "info").await
    }

    /// Starts one in an existing folder, with these environment variables.
    pub async fn in_folder(folder: TempDir, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program("mcpd"));
        command.envs(environment.iter().copied());
        Self::start_as(command, Arc::new(folder), 0, 1.0, "info").await
    }

    /// Starts one under a limit of the shell's `ulimit`, with every time limit multiplied by `scale`.
    pub async fn limited(ulimit: &str, scale: f64) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_as(limited(ulimit), folder, 0, scale, "info").await
    }

    /// As [`Self::limited`], with TLS and this certificate.
    pub async fn limited_with_tls(ulimit: &str, certificate: &Certificate, scale: f64) -> Self {
        let mut command = limited(ulimit);
        command.arg("--tls-cert").arg(certificate.file());
        command.arg("--tls-key").arg(certificate.key());
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let this = Self::start_as(command, folder, 0, scale, "info").await;
        Self { http: certificate.client(), ..this }
    }

    async fn start_in(folder: Arc<TempDir>, port: u16, scale: f64, log: &'static str) -> Self {
        Self::start_as(Command::new(program("mcpd")), folder, port, scale, log).await
    }

    async fn start_as(
        mut command: Command,
        folder: Arc<TempDir>,
        port: u16,
        scale: f64,
        log: &'static str,
    ) -> Self {
        command
            .args(["--data-dir", data(&folder).as_str(), "--listen", &format!("127.0.0.1:{port}")])
            .env("RUST_LOG", log)
            .env("MCPD_TIME_SCALE", scale.to_string());
        let before = std::fs::read_to_string(folder.path().join("mcpd.out")).unwrap_or_default();
        let mut process = Process::start("mcpd", &mut command, folder.path());
        let url = crate::until("mcpd listens", async || {
            assert!(process.exit_status().is_none(), "mcpd has exited: {}", process.stderr());
            let out = process.stdout();
            let new = out.get(before.len()..)?;
            new.lines().find_map(|line| line.strip_prefix("mcpd listening on ")).map(str::to_owned)
        })
        .await;
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        Self { url, process, folder, port, scale, log, http }
    }

    /// Kills it, and starts it again on the same port and database.
    pub async fn restart(mut self) -> Self {
        self.process.kill();
        self.start_again().await
    }

    /// Starts one on the same port and database; this one must have exited.
    pub async fn start_again(&self) -> Self {
        Self::start_in(Arc::clone(&self.folder), self.port, self.scale, self.log).await
    }

    /// Creates a token by the `mcpd` command, as an admin does at the console.
    #[must_use]
    pub fn token(&self, user: &str, scopes: &str) -> String {
        self.make_token(user, scopes, &[])["token"].as_str().unwrap().to_owned()
    }

    /// As [`Self::token`], with further arguments; returns everything that the command prints.
    #[must_use]
    pub fn make_token(&self, user: &str, scopes: &str, more: &[&str]) -> Value {
        let create = ["token", "create", "--user", user, "--scope", scopes, "--json"];
        let output = self.command(&[&create, more].concat());
        serde_json::from_str(&output).unwrap()
    }

    /// Runs an `mcpd` command on the same database and returns what it prints.
    ///
    /// # Panics
    /// The command failed.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(program("mcpd"));
        command.args(["--data-dir", data(&self.folder).as_str()]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A GET with a token.
    pub fn get(&self, path: &str, token: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(token)
    }

    /// A POST with a token.
    pub fn post(&self, path: &str, token: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).bearer_auth(token)
    }

    /// Waits for a catalogue entry of this name that fulfils `condition`.
    pub async fn until_entry(
        &self,
        token: &str,
        name: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("the catalogue entry of {name} fulfils the condition");
        crate::until(&what, async || {
            let response = self.get(&format!("/api/v1/llms/{name}"), token).send().await.ok()?;
            let entry: Value = response.error_for_status().ok()?.json().await.ok()?;
            condition(&entry).then_some(entry)
        })
        .await
    }

    /// Waits for a catalogue entry that is active and connected.
    pub async fn until_active(&self, token: &str, name: &str) -> Value {
        let ready = |entry: &Value| entry["status"] == "active" && entry["connected"] == true;
        self.until_entry(token, name, ready).await
    }

    /// Waits until the catalogue has no entry of this name.
    pub async fn until_gone(&self, token: &str, name: &str) {
        crate::until(&format!("{name} is gone from the catalogue"), async || {
            let response = self.get(&format!("/api/v1/llms/{name}"), token).send().await.ok()?;
            (response.status() == 404).then_some(())
        })
        .await;
    }
}

/// mcpd under a limit of the shell's `ulimit`.
fn limited(ulimit: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(program("mcpd"));
    command
}

fn data(folder: &TempDir) -> String {
    folder.path().join("data").to_str().unwrap().to_owned()
}
