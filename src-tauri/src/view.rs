//! What the tray and the page show: the shapes. [`compose`] fills them from the registrar's status and
//! the intended state; how they are drawn is [`crate::menu`]'s and the page's business.

mod compose;
#[cfg(test)]
mod tests;

pub(crate) use compose::{Facts, ages, counts_down, view};

use registrar::config::settings::Settings;
use serde::Serialize;

/// Everything that is shown and that changes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct View {
    /// Which picture.
    pub mark: Mark,
    /// The connection, in words.
    pub headline: String,
    /// What else a person should know, most urgent first.
    pub notices: Vec<Notice>,
    /// The server's origin, when there is one.
    pub server: Option<String>,
    /// What callers use as their base URL.
    pub call_url: Option<String>,
    /// Where the token is kept: `keychain`, `file`, `env`, `systemd`.
    pub token: Option<String>,
    /// The master switch: nothing is paused.
    pub publishing: bool,
    /// Every model that the configuration names, in the file's order.
    pub models: Vec<Model>,
    /// Who uses them now.
    pub running: Vec<Running>,
    /// Who used them, the latest first.
    pub recent: Vec<Ended>,
    /// How much, over the last while; the oldest first.
    pub traffic: Vec<Traffic>,
    /// What a person chose.
    pub settings: Settings,
}

/// The pictures, one for each kind of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum Mark {
    /// Nothing is published.
    Off,
    /// On the way to the server.
    Connecting,
    /// Published and reachable.
    Online,
    /// Online, and somebody is being answered.
    Busy,
    /// Online, and something needs a look.
    Partial,
    /// Only a person can help.
    Error,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Notice {
    /// What it is about; says which button helps.
    pub about: About,
    /// In words.
    pub text: String,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum About {
    /// The last click did not work.
    Refused,
    /// The file is broken.
    Config,
    /// A part of the file is not used.
    Warning,
    /// Another process publishes.
    Elsewhere,
    /// There is no tray.
    Tray,
    /// The token is in a file.
    TokenFile,
}

/// One model of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Model {
    /// Its name in the catalogue.
    pub name: String,
    /// What the configuration says.
    pub publish: bool,
    /// How good that is, for a colour and a shape.
    pub tone: Tone,
    /// What is true, in words; empty when it is neither published nor on its way out.
    pub state: String,
    /// Why it is not as it should be.
    pub trouble: Option<String>,
    /// Its name belongs to another user: a free one, to publish it under instead.
    pub suggestion: Option<String>,
    /// Users who would like to publish under its name too.
    pub requests: Vec<String>,
    /// With whom its name is shared: `<user>`, `group:<group>` or `*`.
    pub shared_with: Vec<String>,
    /// The backend's own model id.
    pub asks: String,
    /// The backend, in words.
    pub backend: String,
    /// Whether it can be woken.
    pub wakes: bool,
}

/// How a state is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum Tone {
    /// Nothing to say.
    Off,
    /// On its way.
    Pending,
    /// It answers.
    Good,
    /// It answers somebody.
    Busy,
    /// It sleeps and can be woken.
    Asleep,
    /// Its name is another user's.
    Taken,
    /// It needs a look.
    Bad,
}

/// A running request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Running {
    /// Names it in `stop_request`.
    pub task_id: String,
    /// Who asks.
    pub user: String,
    /// Which model.
    pub model: String,
    /// The endpoint.
    pub path: String,
    /// Unix milliseconds.
    #[cfg_attr(test, ts(type = "number"))]
    pub started: u64,
}

/// A request that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Ended {
    /// Its id.
    pub task_id: String,
    /// Who asked.
    pub user: String,
    /// Which model.
    pub model: String,
    /// The endpoint.
    pub path: String,
    /// Unix milliseconds.
    #[cfg_attr(test, ts(type = "number"))]
    pub ended: u64,
    /// Milliseconds.
    #[cfg_attr(test, ts(type = "number"))]
    pub took: u64,
    /// Tokens written, where the answer said so.
    #[cfg_attr(test, ts(type = "number | null"))]
    pub tokens: Option<u64>,
    /// It ended as it should.
    pub good: bool,
    /// How it ended, in words.
    pub outcome: String,
}

/// What ended within one step of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Traffic {
    /// Requests.
    pub requests: u32,
    /// Tokens written.
    #[cfg_attr(test, ts(type = "number"))]
    pub tokens: u64,
}
