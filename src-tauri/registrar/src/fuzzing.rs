//! The door for fuzzers: what a server's bytes become on their way to a backend and to the owner's eyes.
//! Nothing else uses it.

use crate::config::ProviderConfig;
use crate::http_clients;
use crate::server_text;
use crate::task::backend_request;
use bytes::Bytes;
use reqwest::Client;
use std::sync::LazyLock;
use wire::control::Task;

/// Making one takes longer than reading a frame.
static HTTP: LazyLock<Option<Client>> = LazyLock::new(|| http_clients::backend_client().ok());

/// What became of a task's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The task's id.
    pub task_id: String,
    /// Texts of it that people see.
    pub shown: Vec<String>,
    /// What the backend would be asked, when it would be.
    pub asked: Option<Asked>,
}

/// A request for a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// HTTP method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Names of its headers.
    pub headers: Vec<String>,
    /// Its body.
    pub body: Bytes,
}

/// A frame for this provider; none when it is ignored.
#[must_use]
pub fn frame(provider: &ProviderConfig, text: &str) -> Option<Taken> {
    match server_text::checked_task(Task::read(text).ok()?)? {
        Task::Wake(wake) => {
            Some(Taken { task_id: wake.task_id, shown: vec![wake.llm_name], asked: None })
        }
        Task::Infer(task) => {
            let body = task.request.as_ref().map(|body| body.get().to_owned());
            let body = Bytes::from(body.unwrap_or_default());
            let built = backend_request::build(HTTP.as_ref()?, provider, &task, body).ok();
            let asked = built.map(|request| Asked {
                method: request.method().to_string(),
                url: request.url().to_string(),
                headers: request.headers().keys().map(ToString::to_string).collect(),
                body: request
                    .body()
                    .and_then(|body| body.as_bytes())
                    .unwrap_or_default()
                    .to_vec()
                    .into(),
            });
            let shown = [Some(task.llm_name), task.user, task.path];
            let shown = shown.into_iter().flatten().collect();
            Some(Taken { task_id: task.task_id, shown, asked })
        }
    }
}
