//! Fuzzing entry point for task frames: what a server's bytes become on their way to a backend and to
//! the screen. Only tests use it.

use crate::config::ProviderConfig;
use crate::http_clients;
use crate::server_text;
use crate::task::backend_request;
use bytes::Bytes;
use reqwest::Client;
use std::sync::LazyLock;
use wire::control::Task;

/// One client for all frames: creating one takes longer than reading a frame.
static HTTP: LazyLock<Option<Client>> = LazyLock::new(|| http_clients::backend_client().ok());

/// The result of a task's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Id of the task.
    pub task_id: String,
    /// Texts of the frame that people see.
    pub shown: Vec<String>,
    /// The request that the backend would get, if any.
    pub request: Option<BackendRequest>,
}

/// A request to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendRequest {
    /// HTTP method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Names of its headers.
    pub headers: Vec<String>,
    /// Its body.
    pub body: Bytes,
}

/// Handles a frame for this provider; `None` if the frame is ignored.
#[must_use]
pub fn frame(provider: &ProviderConfig, text: &str) -> Option<Accepted> {
    match server_text::checked_task(Task::read(text).ok()?)? {
        Task::Wake(wake) => {
            Some(Accepted { task_id: wake.task_id, shown: vec![wake.llm_name], request: None })
        }
        Task::Infer(task) => {
            let body = task.request.as_ref().map(|body| body.get().to_owned());
            let body = Bytes::from(body.unwrap_or_default());
            let built = backend_request::build(HTTP.as_ref()?, provider, &task, body).ok();
            let request = built.map(|request| BackendRequest {
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
            Some(Accepted { task_id: task.task_id, shown, request })
        }
    }
}
