//! The state that the tray and the page show, as types. [`build`] fills them from the registrar's
//! status and the configuration.

pub(crate) mod build;
#[cfg(test)]
mod tests;

use registrar::config::settings::Settings;
use serde::Serialize;

/// Everything that is shown and can change without a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct View {
    /// The icon of the state.
    pub icon: StateIcon,
    /// The state of the connection, in words.
    pub headline: String,
    /// Messages for the person, the most urgent first.
    pub notices: Vec<Notice>,
    /// The server's origin.
    pub server: Option<String>,
    /// The base URL for callers.
    pub call_url: Option<String>,
    /// Where the token is stored: `keychain`, `file`, `env` or `systemd`.
    pub token_storage: Option<String>,
    /// The master switch; false while publishing is paused.
    pub publishing: bool,
    /// Every model in config.json, in its order.
    pub models: Vec<Model>,
    /// Requests that run.
    pub running: Vec<RunningRequest>,
    /// Requests that ended, the latest first.
    pub recent: Vec<FinishedRequest>,
    /// Requests and tokens per minute, the oldest first.
    pub traffic: Vec<Traffic>,
    /// The settings of this machine.
    pub settings: Settings,
}

/// The icons, one for each kind of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum StateIcon {
    /// Nothing is published.
    Off,
    /// Connecting to the server.
    Connecting,
    /// Connected.
    Online,
    /// Connected, and a request runs.
    Busy,
    /// Connected, and something needs attention.
    Partial,
    /// Not connected until the person acts.
    Error,
}

/// A message for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Notice {
    /// Chooses the button that is offered.
    pub kind: NoticeKind,
    /// The message.
    pub text: String,
}

/// Kinds of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum NoticeKind {
    /// The last click's edit was refused.
    Refused,
    /// config.json is broken.
    Config,
    /// A part of config.json is ignored.
    Warning,
    /// Another process publishes.
    Elsewhere,
    /// There is no tray icon.
    Tray,
    /// The token is in a file.
    TokenFile,
}

/// One model of config.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Model {
    /// Its name in the catalogue.
    pub name: String,
    /// Its publish switch in config.json.
    pub publish: bool,
    /// The colour and shape of its state.
    pub tone: Tone,
    /// Its state in words; empty if it is not published.
    pub state: String,
    /// Why it does not work.
    pub problem: Option<String>,
    /// A free name, if its own belongs to another user.
    pub suggested_name: Option<String>,
    /// Users who requested to publish under its name too.
    pub name_requests: Vec<String>,
    /// Who may publish under its name too: `<user>`, `group:<group>` or `*`.
    pub shared_with: Vec<String>,
    /// The backend's own model id.
    pub backend_model: String,
    /// The backend's kind and address.
    pub backend: String,
    /// It has a wake recipe.
    pub can_wake: bool,
}

/// Colours and shapes of a model's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum Tone {
    /// Not published, or held back.
    Off,
    /// Changing.
    Pending,
    /// Ready.
    Good,
    /// Serving a request.
    Busy,
    /// Asleep.
    Asleep,
    /// Its name belongs to another user.
    Taken,
    /// Down or refused.
    Bad,
}

/// A request that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct RunningRequest {
    /// Its id, for `stop_request`.
    pub task_id: String,
    /// The caller.
    pub user: String,
    /// The model's name.
    pub model: String,
    /// The endpoint.
    pub path: String,
    /// When it started, in unix milliseconds.
    #[cfg_attr(test, ts(type = "number"))]
    pub started: u64,
}

/// A request that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct FinishedRequest {
    /// Its id.
    pub task_id: String,
    /// The caller.
    pub user: String,
    /// The model's name.
    pub model: String,
    /// The endpoint.
    pub path: String,
    /// When it ended, in unix milliseconds.
    #[cfg_attr(test, ts(type = "number"))]
    pub ended: u64,
    /// How long it took, in milliseconds.
    #[cfg_attr(test, ts(type = "number"))]
    pub duration_ms: u64,
    /// Tokens written, if the response named their number.
    #[cfg_attr(test, ts(type = "number | null"))]
    pub tokens: Option<u64>,
    /// True if the backend's whole response was delivered.
    pub succeeded: bool,
    /// How it ended, in words.
    pub outcome: String,
}

/// Requests that ended within one minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Traffic {
    /// Requests.
    pub requests: u32,
    /// Tokens written.
    #[cfg_attr(test, ts(type = "number"))]
    pub tokens: u64,
}
