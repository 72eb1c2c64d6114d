//! The status in words: what the menu and the page both say, computed from the registrar's status
//! and the intended state. Pure; how it is drawn is [`crate::menu`]'s and the page's business.

use registrar::config::{Config, Problem};
use registrar::status::{BackendState, Connection, ProviderStatus, Status};
use serde::Serialize;

/// Everything that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct View {
    /// Which picture.
    pub mark: Mark,
    /// The connection, in words.
    pub headline: String,
    /// What else a person should know, most urgent first.
    pub notices: Vec<String>,
    /// Every model that the configuration names, in the file's order.
    pub models: Vec<Model>,
}

/// The pictures, one for each kind of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
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

/// One model of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct Model {
    /// Its name in the catalogue.
    pub name: String,
    /// What the configuration says.
    pub publish: bool,
    /// What is true, in words; empty when it is neither published nor on its way out.
    pub state: String,
    /// Why it is not as it should be.
    pub trouble: Option<String>,
}

/// What the view is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// What the publishing process reports.
    pub status: &'a Status,
    /// What the file asks for.
    pub config: &'a Config,
    /// Why the last click did not work.
    pub refused: Option<&'a str>,
    /// Why there is no tray icon.
    pub no_tray: Option<&'a str>,
    /// This process; another one may be publishing.
    pub pid: u32,
    /// Unix milliseconds.
    pub now: u64,
}

/// Puts the facts into words.
pub(crate) fn view(facts: Facts<'_>) -> View {
    View {
        mark: mark(facts.status),
        headline: headline(facts.status, facts.now),
        notices: notices(facts),
        models: models(facts.status, facts.config),
    }
}

/// Whether the words change by themselves as time passes.
pub(crate) fn counts_down(status: &Status) -> bool {
    matches!(status.connection, Connection::Reconnecting { .. })
}

fn mark(status: &Status) -> Mark {
    match status.connection {
        Connection::NotConfigured { .. }
        | Connection::WaitingForKeyring
        | Connection::Stopped { .. } => Mark::Error,
        _ if status.config_problem.is_some() => Mark::Partial,
        Connection::Idle => Mark::Off,
        Connection::Connecting | Connection::Reconnecting { .. } => Mark::Connecting,
        Connection::Online { .. } if status.providers.iter().any(needs_a_look) => Mark::Partial,
        Connection::Online { .. } if !status.running.is_empty() => Mark::Busy,
        Connection::Online { .. } => Mark::Online,
    }
}

fn needs_a_look(provider: &ProviderStatus) -> bool {
    matches!(provider.state, BackendState::Down | BackendState::Rejected)
}

fn headline(status: &Status, now: u64) -> String {
    let server = status.server.as_deref().map_or("the server", host);
    match &status.connection {
        Connection::Idle => "Off — nothing is published".into(),
        Connection::NotConfigured { message } => format!("Not set up — {message}"),
        Connection::WaitingForKeyring => "Waiting for you to unlock the keyring".into(),
        Connection::Connecting => format!("Connecting to {server}…"),
        Connection::Online { .. } => {
            let published =
                status.providers.iter().filter(|p| p.state != BackendState::Rejected).count();
            format!("Online — {server} ({published} published)")
        }
        Connection::Reconnecting { message, retry_at, .. } => {
            format!("{} — {message}", retry_in(*retry_at, now))
        }
        Connection::Stopped { message } => format!("Stopped — {message}"),
    }
}

/// The origin without its scheme: what people call the server.
fn host(origin: &str) -> &str {
    let bare = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    bare.trim_end_matches('/')
}

fn retry_in(retry_at: u64, now: u64) -> String {
    match retry_at.saturating_sub(now).div_ceil(1000) {
        0 => "Reconnecting now".into(),
        seconds => format!("Reconnecting in {seconds} s"),
    }
}

fn notices(facts: Facts<'_>) -> Vec<String> {
    let Facts { status, refused, no_tray, pid, .. } = facts;
    let mut notices = Vec::new();
    notices.extend(refused.map(str::to_owned));
    notices.extend(status.config_problem.as_ref().map(|problem| {
        format!("config.json{}: {}; the last good one is in force", place(problem), problem.message)
    }));
    notices.extend(status.warnings.iter().map(|warning| warning.message.clone()));
    if status.pid != 0 && status.pid != pid {
        notices.push(format!("Published by {}, process {}", status.program, status.pid));
    }
    notices.extend(no_tray.map(str::to_owned));
    notices
}

fn place(problem: &Problem) -> String {
    match (problem.line, problem.column) {
        (Some(line), Some(column)) => format!(", line {line}, column {column}"),
        (Some(line), None) => format!(", line {line}"),
        (None, _) => String::new(),
    }
}

fn models(status: &Status, config: &Config) -> Vec<Model> {
    let live = |name: &str| status.providers.iter().find(|p| p.name == name);
    config
        .providers
        .iter()
        .map(|provider| {
            let live = live(&provider.name);
            Model {
                name: provider.name.clone(),
                publish: provider.publish,
                state: model_state(provider.publish, live, &status.connection),
                trouble: live.and_then(|live| live.message.clone()),
            }
        })
        .collect()
}

fn model_state(publish: bool, live: Option<&ProviderStatus>, connection: &Connection) -> String {
    match (publish, live) {
        (true, Some(live)) => backend_state(live),
        // It was switched just now, or nobody publishes.
        (true, None) if matches!(connection, Connection::Online { .. }) => "starting".into(),
        (true, None) => "waiting".into(),
        (false, Some(_)) => "stopping".into(),
        (false, None) => String::new(),
    }
}

fn backend_state(live: &ProviderStatus) -> String {
    match live.state {
        BackendState::Unknown => "checking".into(),
        BackendState::Ready if live.running > 0 => format!("busy {}", live.running),
        BackendState::Ready => "ready".into(),
        BackendState::Asleep => "asleep".into(),
        BackendState::Waking => "waking".into(),
        BackendState::Down => "down".into(),
        BackendState::Rejected => "refused".into(),
    }
}
