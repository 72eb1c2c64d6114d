//! The real llama.cpp server with a model that counts: the response to "57" is " 58 59 60 …".

use crate::process::Process;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A running server.
pub struct Llama {
    /// `http://127.0.0.1:…`
    pub url: String,
    /// The process.
    pub process: Process,
    _folder: TempDir,
}

/// Folder of the server and its models; installed on first use.
#[must_use]
pub fn folder() -> PathBuf {
    crate::provided("backend.sh")
}

/// Command line of a server on this port.
#[must_use]
pub fn command_line(port: u16, more: &[&str]) -> Vec<String> {
    let folder = folder();
    let script = crate::repository().join("tests/backend/serve_llama.py");
    let paths = [folder.join("venv/bin/python"), script, folder.join("count.gguf")];
    let mut line: Vec<String> = paths.iter().map(|p| p.to_str().unwrap().to_owned()).collect();
    line.extend([port.to_string(), "count".into()]);
    line.extend(more.iter().map(|&word| word.to_owned()));
    line
}

impl Llama {
    /// Starts one with further arguments and waits until it is ready.
    pub async fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = crate::free_port();
        let line = command_line(port, more);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        let process = Process::start("llama", &mut command, folder.path());
        let url = format!("http://127.0.0.1:{port}");
        let ready = format!("{url}/health");
        crate::until("llama.cpp is ready", async || {
            reqwest::get(&ready).await.ok()?.error_for_status().ok()
        })
        .await;
        Self { url, process, _folder: folder }
    }

    /// Configuration entry that publishes it.
    #[must_use]
    pub fn provider(&self, name: &str) -> Value {
        json!({
            "name": name, "type": "llamacpp", "url": self.url, "model": "count", "publish": true,
            "maxConcurrency": 2,
        })
    }
}
