//! The status for people: one value, made by the registrar, shown by tray, window and command line,
//! and written to `status.json` for other processes.

pub mod file;

use crate::config::Problem;
use crate::limits;
use crate::publish_gate::Hold;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
pub use wire::publisher::{FailureCode, TaskOutcome};

pub use wire::publisher::NameRequest;

/// The status of this process. Each module of the registrar changes its own fields only.
pub(crate) type StatusSender = Arc<watch::Sender<Status>>;

/// State of the registrar.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Id of the process that publishes.
    pub pid: u32,
    /// `mcplocal-agent` or `mcplocal`.
    pub program: String,
    /// Time of the write, unix milliseconds.
    pub at: u64,
    /// The server's origin, if configured.
    pub server: Option<String>,
    /// State of the connection.
    pub connection: ConnectionState,
    /// How responses are sent: `uplink`, `batches` (a proxy holds uploads back), `results` (protocol 1).
    pub upload: Option<String>,
    /// How control events arrive: `stream` or `poll`.
    pub channel: Option<String>,
    /// Source of the bearer: `env`, `file`, `keychain`, `systemd`, `none`.
    pub credentials: Option<String>,
    /// Why the current configuration file is not in force; the last good one is.
    pub config_problem: Option<Problem>,
    /// One warning for each provider that was left out.
    pub warnings: Vec<Problem>,
    /// The published providers.
    pub providers: Vec<ProviderStatus>,
    /// Open requests of other users to serve a name of this machine's providers.
    pub name_requests: Vec<NameRequest>,
    /// Running requests.
    pub running: Vec<RunningTask>,
    /// Ended requests, the latest first.
    pub recent: VecDeque<EndedTask>,
    /// Ended requests of the last half hour by the minute, the latest first. Minutes without any are
    /// left out.
    pub traffic: VecDeque<TrafficStep>,
}

/// Requests that ended within one step of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficStep {
    /// Number of the step: unix milliseconds divided by [`limits::TRAFFIC_STEP_MS`].
    pub step: u64,
    /// Number of requests.
    pub requests: u32,
    /// Tokens that the backends wrote, as far as their responses say so.
    pub tokens: u64,
}

impl Status {
    /// Adds an ended request to the latest ones and to the traffic.
    pub(crate) fn record_end(&mut self, task: EndedTask) {
        let step = task.ended / limits::TRAFFIC_STEP_MS;
        self.traffic.retain(|known| known.step + limits::TRAFFIC_STEPS as u64 > step);
        if self.traffic.front().is_none_or(|latest| latest.step != step) {
            self.traffic.push_front(TrafficStep { step, ..TrafficStep::default() });
            self.traffic.truncate(limits::TRAFFIC_STEPS);
        }
        if let Some(latest) = self.traffic.front_mut() {
            latest.requests = latest.requests.saturating_add(1);
            latest.tokens = latest.tokens.saturating_add(task.tokens.unwrap_or_default());
        }
        self.recent.truncate(limits::RECENT - 1);
        self.recent.push_front(task);
    }
}

/// State of the connection to mcpd.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ConnectionState {
    /// Nothing is published, and no connection is made.
    #[default]
    Idle,
    /// Publish switches are on, but publishing is on hold.
    Held(Hold),
    /// The server or the credentials are missing.
    NotConfigured {
        /// The missing part and the remedy.
        message: String,
    },
    /// The keyring is locked; it is tried again.
    WaitingForKeyring,
    /// A register, or the opening of the channel, is in progress.
    Connecting,
    /// Registered and the channel is open.
    Online {
        /// Unix milliseconds.
        since: u64,
    },
    /// An error; the next try is at `retry_at`.
    Reconnecting {
        /// The cause.
        message: String,
        /// Unix milliseconds.
        retry_at: u64,
        /// Tries since the last success.
        attempt: u32,
    },
    /// Only a person can help: the token is refused or revoked, or another machine holds the session.
    Stopped {
        /// The cause and the remedy.
        message: String,
    },
}

/// One published provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderStatus {
    /// Name in the catalogue.
    pub name: String,
    /// State of the backend.
    pub state: BackendState,
    /// Why the server refused the name, the recipe failed, or the backend is unreachable.
    pub message: Option<String>,
    /// A free name, if the name belongs to another user.
    pub suggestion: Option<String>,
    /// Number of running requests.
    pub running: u32,
}

/// State of a backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Not probed yet.
    #[default]
    Unknown,
    /// Ready for requests.
    Ready,
    /// Not ready, with a wake recipe.
    Asleep,
    /// A wake recipe runs.
    Waking,
    /// Not ready, without a wake recipe.
    Down,
    /// Refused by the server.
    Rejected,
}

/// One running request; never its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunningTask {
    /// The task's id.
    pub task_id: String,
    /// Name of the model.
    pub llm: String,
    /// Path of the endpoint.
    pub path: String,
    /// Start, unix milliseconds.
    pub started: u64,
    /// User whose key was used, if the server says so.
    pub user: Option<String>,
}

/// One request that ended; never its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndedTask {
    /// The task's id.
    pub task_id: String,
    /// Name of the model.
    pub llm: String,
    /// Path of the endpoint.
    pub path: String,
    /// User whose key was used, if the server says so.
    pub user: Option<String>,
    /// Start, unix milliseconds.
    pub started: u64,
    /// End, unix milliseconds.
    pub ended: u64,
    /// Tokens that the backend wrote, if its response says so.
    pub tokens: Option<u64>,
    /// How it ended.
    pub outcome: TaskOutcome,
    /// The cause of a failure, if more is known than the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{EndedTask, Status};
    use crate::limits::{RECENT, TRAFFIC_STEP_MS, TRAFFIC_STEPS};

    #[test]
    fn traffic_counts_more_requests_than_the_list_keeps_and_forgets_old_steps() {
        let mut status = Status::default();
        let mut end = |minute: u64| {
            let ended = minute * TRAFFIC_STEP_MS;
            status.record_end(EndedTask { ended, tokens: Some(2), ..EndedTask::default() });
        };
        end(100);
        (0..3 * RECENT).for_each(|_| end(110));
        assert_eq!(status.recent.len(), RECENT);
        let counted: Vec<_> =
            status.traffic.iter().map(|s| (s.step, s.requests, s.tokens)).collect();
        assert_eq!(counted, [(110, 300, 600), (100, 1, 2)]);
        let mut end = |minute: u64| {
            let ended = minute * TRAFFIC_STEP_MS;
            status.record_end(EndedTask { ended, ..EndedTask::default() });
        };
        (111..200).for_each(&mut end);
        assert_eq!(status.traffic.len(), TRAFFIC_STEPS);
        assert_eq!(status.traffic.back().unwrap().step, 170);
    }
}
