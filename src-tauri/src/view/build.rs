//! Builds the [`View`] from the registrar's status and the configuration. Pure.

use super::{
    FinishedRequest, Model, Notice, NoticeKind, RunningRequest, StateIcon, Tone, Traffic, View,
};
use crate::i18n::{tr, tr_with};
use crate::program;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use registrar::config::{Config, Problem, ProviderConfig};
use registrar::config_watch::Snapshot;
use registrar::limits::{TRAFFIC_STEP_MS, TRAFFIC_STEPS};
use registrar::provider;
use registrar::publish_gate::{Hold, HoldReason};
use registrar::status::{
    BackendState, ConnectionState, EndedTask, FailureCode, ProviderStatus, RunningTask, Status,
    TaskOutcome, TrafficStep,
};
use std::collections::VecDeque;

/// The sources of a view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// The publishing process's status.
    pub status: &'a Status,
    /// The content of config.json.
    pub config: &'a Snapshot,
    /// Why the last click's edit was refused.
    pub refused: Option<&'a str>,
    /// Why there is no tray icon.
    pub no_tray: Option<&'a str>,
    /// Unix milliseconds.
    pub now: u64,
}

/// Builds the view.
pub(crate) fn view(inputs: Inputs<'_>) -> View {
    let Inputs { status, config, now, .. } = inputs;
    let settings = config.config.settings.clone();
    let configured = config.config.mcpd_url.as_ref();
    let server = configured.map(|url| url.origin().ascii_serialization());
    let base = configured.map(|url| url.as_str().trim_end_matches('/'));
    View {
        icon: icon(status),
        headline: headline(status, now),
        notices: notices(inputs),
        server: server.or_else(|| status.server.clone()),
        call_url: base.map(|base| format!("{base}/v1")),
        token_storage: status.credentials.clone(),
        publishing: !config.hold.is_some_and(|hold| hold.reason == HoldReason::Paused),
        models: models(&config.config, status),
        running: status.running.iter().map(running).collect(),
        recent: status.recent.iter().map(finished).collect(),
        traffic: traffic(&status.traffic, now),
        settings,
    }
}

/// True if the headline changes as time passes.
pub(crate) fn counts_down(status: &Status) -> bool {
    matches!(status.connection, ConnectionState::Reconnecting { .. })
}

/// True if the charts move as time passes.
pub(crate) fn has_traffic(view: &View) -> bool {
    view.traffic.iter().any(|step| step.requests > 0)
}

fn icon(status: &Status) -> StateIcon {
    match status.connection {
        ConnectionState::NotConfigured { .. }
        | ConnectionState::WaitingForKeyring
        | ConnectionState::Stopped { .. } => StateIcon::Error,
        _ if status.config_problem.is_some() => StateIcon::Partial,
        ConnectionState::Idle | ConnectionState::Held(_) => StateIcon::Off,
        ConnectionState::Connecting | ConnectionState::Reconnecting { .. } => StateIcon::Connecting,
        ConnectionState::Online { .. } if status.providers.iter().any(needs_attention) => {
            StateIcon::Partial
        }
        ConnectionState::Online { .. } if !status.running.is_empty() => StateIcon::Busy,
        ConnectionState::Online { .. } => StateIcon::Online,
    }
}

fn needs_attention(provider: &ProviderStatus) -> bool {
    matches!(provider.state, BackendState::Down | BackendState::Rejected)
}

fn headline(status: &Status, now: u64) -> String {
    let server = status.server.as_deref().map_or_else(|| tr("state.theServer"), host);
    match &status.connection {
        ConnectionState::Idle => tr("state.idle"),
        ConnectionState::Held(hold) => hold_text(*hold),
        ConnectionState::NotConfigured { message } => {
            tr_with("state.notConfigured", &[("message", message)])
        }
        ConnectionState::WaitingForKeyring => tr("state.waitingForKeyring"),
        ConnectionState::Connecting => tr_with("state.connecting", &[("server", &server)]),
        ConnectionState::Online { .. } => {
            let published =
                status.providers.iter().filter(|p| p.state != BackendState::Rejected).count();
            tr_with("state.online", &[("server", &server), ("count", &published)])
        }
        ConnectionState::Reconnecting { message, retry_at, .. } => {
            let message: &dyn std::fmt::Display = message;
            match retry_at.saturating_sub(now).div_ceil(1000) {
                0 => tr_with("state.reconnectingNow", &[("message", message)]),
                seconds => {
                    let values = [("message", message), ("seconds", &seconds)];
                    tr_with("state.reconnecting", &values)
                }
            }
        }
        ConnectionState::Stopped { message } => tr_with("state.stopped", &[("message", message)]),
    }
}

fn hold_text(hold: Hold) -> String {
    let until = hold.until.and_then(clock);
    match (hold.reason, until) {
        (HoldReason::Paused, Some(until)) => tr_with("state.pausedUntil", &[("time", &until)]),
        (HoldReason::Paused, None) => tr("state.paused"),
        (HoldReason::QuietHours, Some(until)) => tr_with("state.quietUntil", &[("time", &until)]),
        (HoldReason::QuietHours, None) => tr("state.quiet"),
        (HoldReason::OnBattery, _) => tr("state.onBattery"),
    }
}

/// Formats the local time of day.
fn clock(unix_ms: u64) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(at.to_zoned(TimeZone::system()).strftime("%H:%M").to_string())
}

/// Strips the scheme off an origin.
fn host(origin: &str) -> String {
    let bare = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    bare.trim_end_matches('/').to_owned()
}

fn notices(inputs: Inputs<'_>) -> Vec<Notice> {
    let Inputs { status, config, refused, no_tray, .. } = inputs;
    let notice = |kind, text: String| Notice { kind, text };
    let mut notices = Vec::new();
    notices.extend(refused.map(|why| notice(NoticeKind::Refused, why.to_owned())));
    // This process reads the file too, and is not slower than the status of another one.
    let problem = config.problem.as_ref().or(status.config_problem.as_ref());
    notices.extend(problem.map(|problem| {
        let text = problem.message.clone();
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("place", &place(problem)), ("message", &text)];
        notice(NoticeKind::Config, tr_with("notice.config", &values))
    }));
    let warning = |warning: &Problem| notice(NoticeKind::Warning, warning.message.clone());
    notices.extend(config.warnings.iter().map(warning));
    if status.pid != 0 && status.program != program::NAME {
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("program", &status.program), ("pid", &status.pid)];
        notices.push(notice(NoticeKind::Elsewhere, tr_with("notice.elsewhere", &values)));
    }
    if status.credentials.as_deref() == Some("file") {
        notices.push(notice(NoticeKind::TokenFile, tr("notice.tokenFile")));
    }
    notices.extend(no_tray.map(|why| notice(NoticeKind::Tray, why.to_owned())));
    notices
}

fn place(problem: &Problem) -> String {
    match (problem.line, problem.column) {
        (Some(line), Some(column)) => format!(" {line}:{column}"),
        (Some(line), None) => format!(" {line}"),
        (None, _) => String::new(),
    }
}

fn models(config: &Config, status: &Status) -> Vec<Model> {
    let model = |entry: &ProviderConfig| {
        // A request may also be for the name of the model's pool.
        let serves = |name: &str| config.serving(name).is_some_and(|of| of.name == entry.name);
        let requests = status.name_requests.iter().filter(|request| serves(&request.name));
        let name_requests = requests.map(|request| request.user.clone()).collect();
        Model { name_requests, ..model(entry, status) }
    };
    config.providers.iter().map(model).collect()
}

fn model(entry: &ProviderConfig, status: &Status) -> Model {
    let live = status.providers.iter().find(|p| p.name == entry.name);
    let (tone, state) = model_state(entry.publish, live, &status.connection);
    Model {
        name: entry.name.clone(),
        publish: entry.publish,
        tone,
        state,
        problem: live.and_then(|live| live.message.clone()),
        suggested_name: live.and_then(|live| live.suggestion.clone()),
        name_requests: Vec::new(),
        shared_with: entry.share_name.clone(),
        backend_model: provider::model(entry).to_owned(),
        backend: format!("{} · {}", entry.kind.as_str(), host(entry.url.as_str())),
        can_wake: entry.wake.is_some(),
    }
}

fn model_state(
    publish: bool,
    live: Option<&ProviderStatus>,
    connection: &ConnectionState,
) -> (Tone, String) {
    match (publish, live) {
        (true, Some(_)) if matches!(connection, ConnectionState::Held(_)) => {
            (Tone::Off, tr("model.held"))
        }
        (true, Some(live)) => backend_state(live),
        // It was switched on a moment ago, or no process publishes.
        (true, None) if matches!(connection, ConnectionState::Online { .. }) => {
            (Tone::Pending, tr("model.starting"))
        }
        (true, None) => (Tone::Pending, tr("model.waiting")),
        (false, Some(_)) => (Tone::Pending, tr("model.stopping")),
        (false, None) => (Tone::Off, String::new()),
    }
}

fn backend_state(live: &ProviderStatus) -> (Tone, String) {
    match live.state {
        BackendState::Unknown => (Tone::Pending, tr("model.checking")),
        BackendState::Ready if live.running > 0 => {
            (Tone::Busy, tr_with("model.busy", &[("count", &live.running)]))
        }
        BackendState::Ready => (Tone::Good, tr("model.ready")),
        BackendState::Asleep => (Tone::Asleep, tr("model.asleep")),
        BackendState::Waking => (Tone::Pending, tr("model.waking")),
        BackendState::Down => (Tone::Bad, tr("model.down")),
        BackendState::Rejected if live.suggestion.is_some() => (Tone::Taken, tr("model.taken")),
        BackendState::Rejected => (Tone::Bad, tr("model.refused")),
    }
}

fn running(task: &RunningTask) -> RunningRequest {
    RunningRequest {
        task_id: task.task_id.clone(),
        user: user(task.user.as_ref()),
        model: task.llm.clone(),
        path: task.path.clone(),
        started: task.started,
    }
}

fn finished(task: &EndedTask) -> FinishedRequest {
    FinishedRequest {
        task_id: task.task_id.clone(),
        user: user(task.user.as_ref()),
        model: task.llm.clone(),
        path: task.path.clone(),
        ended: task.ended,
        duration_ms: task.ended.saturating_sub(task.started),
        tokens: task.tokens,
        succeeded: task.outcome == TaskOutcome::Done,
        outcome: outcome(&task.outcome, task.cause.as_deref()),
    }
}

fn user(user: Option<&String>) -> String {
    user.cloned().unwrap_or_else(|| tr("activity.unknownUser"))
}

fn outcome(outcome: &TaskOutcome, cause: Option<&str>) -> String {
    let text = match outcome {
        TaskOutcome::Done => tr("outcome.done"),
        TaskOutcome::Failed(FailureCode::Cancelled) => tr("outcome.cancelled"),
        TaskOutcome::Failed(FailureCode::StoppedByOwner) => tr("outcome.stopped"),
        TaskOutcome::Failed(FailureCode::BackendUnreachable) => tr("outcome.unreachable"),
        TaskOutcome::Failed(FailureCode::BackendAborted) => tr("outcome.aborted"),
        TaskOutcome::Failed(FailureCode::PublisherLost) => tr("outcome.lost"),
        TaskOutcome::Aborted | TaskOutcome::Failed(_) => outcome.as_str().replace('_', " "),
    };
    match cause {
        Some(cause) => format!("{text}: {cause}"),
        None => text,
    }
}

/// Spreads the counted minutes over the last half hour; minutes without a request are zero.
fn traffic(counted: &VecDeque<TrafficStep>, now: u64) -> Vec<Traffic> {
    let mut steps = vec![Traffic::default(); TRAFFIC_STEPS];
    // Steps begin at whole minutes, so that the chart does not move within one.
    let this = now / TRAFFIC_STEP_MS;
    for counted in counted {
        let age = usize::try_from(this.saturating_sub(counted.step)).ok();
        let at = age.and_then(|age| (TRAFFIC_STEPS - 1).checked_sub(age));
        if let Some(step) = at.and_then(|at| steps.get_mut(at)) {
            step.requests += counted.requests;
            step.tokens += counted.tokens;
        }
    }
    steps
}
