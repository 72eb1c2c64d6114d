//! What people are told: one value, made by the registrar, shown by tray, window and command line,
//! written to `status.json` for whoever has no channel to this process.

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

/// Where the rooms of the registrar write what people see; each keeps to its own fields.
pub(crate) type StatusSender = Arc<watch::Sender<Status>>;

/// The registrar's state for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Process that publishes.
    pub pid: u32,
    /// `mcplocal-agent` or `mcplocal`.
    pub program: String,
    /// When this was written, unix milliseconds.
    pub at: u64,
    /// The server's origin, when configured.
    pub server: Option<String>,
    /// The connection.
    pub connection: ConnectionState,
    /// How answers travel: `stream`, `pieces` (a proxy holds uploads back), `results` (protocol 1).
    pub upload: Option<String>,
    /// How control events arrive: `stream` or `poll`.
    pub channel: Option<String>,
    /// Where the bearer came from: `env`, `file`, `keychain`, `systemd`, `none`.
    pub credentials: Option<String>,
    /// The configuration file's problem; the last good one is in force.
    pub config_problem: Option<Problem>,
    /// Providers left out, and why.
    pub warnings: Vec<Problem>,
    /// Every provider that is published.
    pub providers: Vec<ProviderStatus>,
    /// Other users who would like to serve a name of this machine's providers, as long as the owner
    /// has not decided.
    pub name_requests: Vec<NameRequest>,
    /// Requests running now.
    pub running: Vec<RunningTask>,
    /// Requests that ended, the latest first.
    pub recent: VecDeque<EndedTask>,
    /// Requests that ended within the last half hour, by the minute, the latest first. Minutes in which
    /// none ended are left out.
    pub traffic: VecDeque<TrafficStep>,
}

/// Requests that ended within one step of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficStep {
    /// The step's number: unix milliseconds by [`limits::TRAFFIC_STEP_MS`].
    pub step: u64,
    /// How many ended.
    pub requests: u32,
    /// Tokens that their backends wrote, where their answers say so.
    pub tokens: u64,
}

impl Status {
    /// Remembers a request that has ended: in the list of the latest ones, and in the count.
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
    /// Nothing is published: no call is made.
    #[default]
    Idle,
    /// Something would be published, but it is held back.
    Held(Hold),
    /// Something is published but there is no server or no credentials; says which.
    NotConfigured {
        /// What is missing and what to do.
        message: String,
    },
    /// The keyring is locked; tried again.
    WaitingForKeyring,
    /// Registering or opening the channel.
    Connecting,
    /// Registered and the channel is open.
    Online {
        /// Unix milliseconds.
        since: u64,
    },
    /// An error; trying again at `retry_at`.
    Reconnecting {
        /// The cause.
        message: String,
        /// Unix milliseconds.
        retry_at: u64,
        /// Tries since the last success.
        attempt: u32,
    },
    /// Only a person can help: bad token, revoked, session conflict.
    Stopped {
        /// The cause and what to do.
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
    /// The server refused the name, the recipe failed, the backend is unreachable: why.
    pub message: Option<String>,
    /// The name belongs to another user: a free one, to publish under instead.
    pub suggestion: Option<String>,
    /// Requests running.
    pub running: u32,
}

/// State of a backend as its owner sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// It answers.
    Ready,
    /// Down, and a wake recipe exists.
    Asleep,
    /// A wake is under way.
    Waking,
    /// Down, and nothing can wake it.
    Down,
    /// The server did not take it.
    Rejected,
}

/// One running request; never its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunningTask {
    /// The task's id.
    pub task_id: String,
    /// Which model.
    pub llm: String,
    /// The endpoint.
    pub path: String,
    /// Unix milliseconds.
    pub started: u64,
    /// Whose key was used, where the server says so.
    pub user: Option<String>,
}

/// One request that ended; never its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndedTask {
    /// The task's id.
    pub task_id: String,
    /// Which model.
    pub llm: String,
    /// The endpoint.
    pub path: String,
    /// Whose key was used, where the server says so.
    pub user: Option<String>,
    /// Unix milliseconds.
    pub started: u64,
    /// Unix milliseconds.
    pub ended: u64,
    /// Tokens that the backend wrote, where its answer says so.
    pub tokens: Option<u64>,
    /// How it ended.
    pub outcome: TaskOutcome,
    /// Why it failed, where more is known than the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{EndedTask, Status};
    use crate::limits::{RECENT, TRAFFIC_STEP_MS, TRAFFIC_STEPS};

    #[test]
    fn more_requests_than_the_list_has_are_counted_and_what_is_old_falls_out() {
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
