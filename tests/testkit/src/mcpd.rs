//! A running mcpd.

use crate::process::{Process, program};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The server, on a loopback port of its own, with a database of its own.
pub struct Mcpd {
    /// `http://127.0.0.1:…`
    pub url: String,
    /// The process.
    pub process: Process,
    /// Database and log.
    pub folder: Arc<TempDir>,
    port: u16,
    scale: f64,
    log: &'static str,
    http: Client,
}

impl Mcpd {
    /// Starts one.
    pub async fn start() -> Self {
        Self::scaled(1.0).await
    }

    /// With every time limit multiplied.
    pub async fn scaled(scale: f64) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), 0, scale, "trace").await
    }

    /// Starts one as people run it: it logs what they would see, and no more.
    pub async fn usual() -> Self {
        Self::quiet(1.0).await
    }

    /// The same with every time limit multiplied.
    pub async fn quiet(scale: f64) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), 0, scale, "info").await
    }

    /// The same, and it tells what it sends to whom.
    pub async fn telling(scale: f64) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), 0, scale, "mcpd=debug").await
    }

    /// On a folder of the test's choice, with these environment variables.
    pub async fn in_folder(folder: TempDir, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program("mcpd"));
        command.envs(environment.iter().copied());
        Self::start_as(command, Arc::new(folder), 0, 1.0, "info").await
    }

    /// With a limit of the shell's `ulimit`, and with every time limit multiplied.
    pub async fn limited(ulimit: &str, scale: f64) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(program("mcpd"));
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_as(command, folder, 0, scale, "info").await
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
            assert!(process.ended().is_none(), "mcpd has ended: {}", process.err());
            let out = process.out();
            let new = out.get(before.len()..)?;
            new.lines().find_map(|line| line.strip_prefix("mcpd listening on ")).map(str::to_owned)
        })
        .await;
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        Self { url, process, folder, port, scale, log, http }
    }

    /// Kills it and starts it again on the same port and database.
    pub async fn restart(mut self) -> Self {
        self.process.kill();
        self.again().await
    }

    /// Starts one on the same port and database; this one must have ended.
    pub async fn again(&self) -> Self {
        Self::start_in(Arc::clone(&self.folder), self.port, self.scale, self.log).await
    }

    /// A token, made as an admin makes it.
    #[must_use]
    pub fn token(&self, user: &str, scopes: &str) -> String {
        self.make_token(user, scopes, &[])["token"].as_str().unwrap().to_owned()
    }

    /// As [`Self::token`], with everything that is said of it.
    #[must_use]
    pub fn make_token(&self, user: &str, scopes: &str, more: &[&str]) -> Value {
        let wish = ["token", "create", "--user", user, "--scope", scopes, "--json"];
        let output = self.command(&[&wish, more].concat());
        serde_json::from_str(&output).unwrap()
    }

    /// Runs `mcpd …` on the same database.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(program("mcpd"));
        command.args(["--data-dir", data(&self.folder).as_str()]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A request with a bearer.
    pub fn get(&self, path: &str, token: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(token)
    }

    /// A request with a bearer and a body.
    pub fn post(&self, path: &str, token: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).bearer_auth(token)
    }

    /// The catalogue's row of this name, as soon as it says this.
    pub async fn row(&self, token: &str, name: &str, says: impl Fn(&Value) -> bool) -> Value {
        let what = format!("the row of {name} is as it should be");
        crate::until(&what, async || {
            let answer = self.get(&format!("/api/v1/llms/{name}"), token).send().await.ok()?;
            let row: Value = answer.error_for_status().ok()?.json().await.ok()?;
            says(&row).then_some(row)
        })
        .await
    }

    /// Waits until there is a row that can be called.
    pub async fn active(&self, token: &str, name: &str) -> Value {
        let ready = |row: &Value| row["status"] == "active" && row["connected"] == true;
        self.row(token, name, ready).await
    }

    /// Waits until the row is gone from the catalogue.
    pub async fn gone(&self, token: &str, name: &str) {
        crate::until("the row is gone", async || {
            let answer = self.get(&format!("/api/v1/llms/{name}"), token).send().await.ok()?;
            (answer.status() == 404).then_some(())
        })
        .await;
    }
}

fn data(folder: &TempDir) -> String {
    folder.path().join("data").to_str().unwrap().to_owned()
}
