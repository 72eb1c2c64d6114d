//! What only the randomised tests use: task frames, from a server's bytes to a backend and the screen;
//! the pure parts of the uplink, for simulated publishers.

use crate::backends::Target;
use crate::config::ProviderConfig;
use crate::server_text;
use crate::task::backend_request;
pub use crate::uplink::{End, LARGEST_TURN, Outbox, Pace};
use bytes::Bytes;
use wire::control::Task;

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

/// A POST request to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendRequest {
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
            let target = Target::new(provider.clone());
            let built = backend_request::build(&target, &task, &body).ok();
            let request = built.map(|request| BackendRequest {
                url: request.endpoint.url.to_string(),
                headers: request.headers.keys().map(ToString::to_string).collect(),
                body: request.body,
            });
            let shown = [Some(task.llm_name), task.user, task.path];
            let shown = shown.into_iter().flatten().collect();
            Some(Accepted { task_id: task.task_id, shown, request })
        }
    }
}
