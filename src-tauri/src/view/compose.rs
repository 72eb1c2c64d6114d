//! Puts the facts into words. Pure.

use super::{About, Ended, Mark, Model, Notice, Running, Tone, Traffic, View};
use crate::app::PROGRAM;
use crate::words::{say, say_with};
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

/// What the view is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// What the publishing process reports.
    pub status: &'a Status,
    /// What the file asks for.
    pub config: &'a Snapshot,
    /// Why the last click did not work.
    pub refused: Option<&'a str>,
    /// Why there is no tray icon.
    pub no_tray: Option<&'a str>,
    /// Unix milliseconds.
    pub now: u64,
}

/// Puts the facts into words.
pub(crate) fn view(facts: Facts<'_>) -> View {
    let Facts { status, config, now, .. } = facts;
    let settings = config.config.settings.clone();
    let configured = config.config.mcpd_url.as_ref();
    let server = configured.map(|url| url.origin().ascii_serialization());
    let base = configured.map(|url| url.as_str().trim_end_matches('/'));
    View {
        mark: mark(status),
        headline: headline(status, now),
        notices: notices(facts),
        server: server.or_else(|| status.server.clone()),
        call_url: base.map(|base| format!("{base}/v1")),
        token: status.credentials.clone(),
        publishing: !config.hold.is_some_and(|hold| hold.reason == HoldReason::Paused),
        models: models(&config.config, status),
        running: status.running.iter().map(running).collect(),
        recent: status.recent.iter().map(ended).collect(),
        traffic: traffic(&status.traffic, now),
        settings,
    }
}

/// Whether the words change by themselves as time passes.
pub(crate) fn counts_down(status: &Status) -> bool {
    matches!(status.connection, ConnectionState::Reconnecting { .. })
}

/// Whether the curves move by themselves as time passes.
pub(crate) fn ages(view: &View) -> bool {
    view.traffic.iter().any(|step| step.requests > 0)
}

fn mark(status: &Status) -> Mark {
    match status.connection {
        ConnectionState::NotConfigured { .. }
        | ConnectionState::WaitingForKeyring
        | ConnectionState::Stopped { .. } => Mark::Error,
        _ if status.config_problem.is_some() => Mark::Partial,
        ConnectionState::Idle | ConnectionState::Held(_) => Mark::Off,
        ConnectionState::Connecting | ConnectionState::Reconnecting { .. } => Mark::Connecting,
        ConnectionState::Online { .. } if status.providers.iter().any(needs_a_look) => {
            Mark::Partial
        }
        ConnectionState::Online { .. } if !status.running.is_empty() => Mark::Busy,
        ConnectionState::Online { .. } => Mark::Online,
    }
}

fn needs_a_look(provider: &ProviderStatus) -> bool {
    matches!(provider.state, BackendState::Down | BackendState::Rejected)
}

fn headline(status: &Status, now: u64) -> String {
    let server = status.server.as_deref().map_or_else(|| say("state.theServer"), host);
    match &status.connection {
        ConnectionState::Idle => say("state.idle"),
        ConnectionState::Held(hold) => held(*hold),
        ConnectionState::NotConfigured { message } => {
            say_with("state.notConfigured", &[("message", message)])
        }
        ConnectionState::WaitingForKeyring => say("state.waitingForKeyring"),
        ConnectionState::Connecting => say_with("state.connecting", &[("server", &server)]),
        ConnectionState::Online { .. } => {
            let published =
                status.providers.iter().filter(|p| p.state != BackendState::Rejected).count();
            say_with("state.online", &[("server", &server), ("count", &published)])
        }
        ConnectionState::Reconnecting { message, retry_at, .. } => {
            let message: &dyn std::fmt::Display = message;
            match retry_at.saturating_sub(now).div_ceil(1000) {
                0 => say_with("state.reconnectingNow", &[("message", message)]),
                seconds => {
                    let values = [("message", message), ("seconds", &seconds)];
                    say_with("state.reconnecting", &values)
                }
            }
        }
        ConnectionState::Stopped { message } => say_with("state.stopped", &[("message", message)]),
    }
}

fn held(hold: Hold) -> String {
    let until = hold.until.and_then(clock);
    match (hold.reason, until) {
        (HoldReason::Paused, Some(until)) => say_with("state.pausedUntil", &[("time", &until)]),
        (HoldReason::Paused, None) => say("state.paused"),
        (HoldReason::QuietHours, Some(until)) => say_with("state.quietUntil", &[("time", &until)]),
        (HoldReason::QuietHours, None) => say("state.quiet"),
        (HoldReason::OnBattery, _) => say("state.onBattery"),
    }
}

/// The local time of day.
fn clock(unix_ms: u64) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(at.to_zoned(TimeZone::system()).strftime("%H:%M").to_string())
}

/// The origin without its scheme: what people call the server.
fn host(origin: &str) -> String {
    let bare = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    bare.trim_end_matches('/').to_owned()
}

fn notices(facts: Facts<'_>) -> Vec<Notice> {
    let Facts { status, config, refused, no_tray, .. } = facts;
    let notice = |about, text: String| Notice { about, text };
    let mut notices = Vec::new();
    notices.extend(refused.map(|why| notice(About::Refused, why.to_owned())));
    // This process reads the file too, and need not wait for the other's word.
    let problem = config.problem.as_ref().or(status.config_problem.as_ref());
    notices.extend(problem.map(|problem| {
        let text = problem.message.clone();
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("place", &place(problem)), ("message", &text)];
        notice(About::Config, say_with("notice.config", &values))
    }));
    let warning = |warning: &Problem| notice(About::Warning, warning.message.clone());
    notices.extend(config.warnings.iter().map(warning));
    if status.pid != 0 && status.program != PROGRAM {
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("program", &status.program), ("pid", &status.pid)];
        notices.push(notice(About::Elsewhere, say_with("notice.elsewhere", &values)));
    }
    if status.credentials.as_deref() == Some("file") {
        notices.push(notice(About::TokenFile, say("notice.tokenFile")));
    }
    notices.extend(no_tray.map(|why| notice(About::Tray, why.to_owned())));
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
        // A request may be for the name of its pool.
        let is_its = |name: &str| config.serving(name).is_some_and(|of| of.name == entry.name);
        let asking = status.name_requests.iter().filter(|request| is_its(&request.name));
        let requests = asking.map(|request| request.user.clone()).collect();
        Model { requests, ..model(entry, status) }
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
        trouble: live.and_then(|live| live.message.clone()),
        suggestion: live.and_then(|live| live.suggestion.clone()),
        requests: Vec::new(),
        shared_with: entry.share_name.clone(),
        asks: provider::model(entry).to_owned(),
        backend: format!("{} · {}", entry.kind.as_str(), host(entry.url.as_str())),
        wakes: entry.wake.is_some(),
    }
}

fn model_state(
    publish: bool,
    live: Option<&ProviderStatus>,
    connection: &ConnectionState,
) -> (Tone, String) {
    match (publish, live) {
        (true, Some(_)) if matches!(connection, ConnectionState::Held(_)) => {
            (Tone::Off, say("model.held"))
        }
        (true, Some(live)) => backend_state(live),
        // It was switched just now, or nobody publishes.
        (true, None) if matches!(connection, ConnectionState::Online { .. }) => {
            (Tone::Pending, say("model.starting"))
        }
        (true, None) => (Tone::Pending, say("model.waiting")),
        (false, Some(_)) => (Tone::Pending, say("model.stopping")),
        (false, None) => (Tone::Off, String::new()),
    }
}

fn backend_state(live: &ProviderStatus) -> (Tone, String) {
    match live.state {
        BackendState::Unknown => (Tone::Pending, say("model.checking")),
        BackendState::Ready if live.running > 0 => {
            (Tone::Busy, say_with("model.busy", &[("count", &live.running)]))
        }
        BackendState::Ready => (Tone::Good, say("model.ready")),
        BackendState::Asleep => (Tone::Asleep, say("model.asleep")),
        BackendState::Waking => (Tone::Pending, say("model.waking")),
        BackendState::Down => (Tone::Bad, say("model.down")),
        BackendState::Rejected if live.suggestion.is_some() => (Tone::Taken, say("model.taken")),
        BackendState::Rejected => (Tone::Bad, say("model.refused")),
    }
}

fn running(task: &RunningTask) -> Running {
    Running {
        task_id: task.task_id.clone(),
        user: user(task.user.as_ref()),
        model: task.llm.clone(),
        path: task.path.clone(),
        started: task.started,
    }
}

fn ended(task: &EndedTask) -> Ended {
    Ended {
        task_id: task.task_id.clone(),
        user: user(task.user.as_ref()),
        model: task.llm.clone(),
        path: task.path.clone(),
        ended: task.ended,
        took: task.ended.saturating_sub(task.started),
        tokens: task.tokens,
        good: task.outcome == TaskOutcome::Done,
        outcome: outcome(&task.outcome, task.cause.as_deref()),
    }
}

fn user(user: Option<&String>) -> String {
    user.cloned().unwrap_or_else(|| say("activity.somebody"))
}

fn outcome(outcome: &TaskOutcome, cause: Option<&str>) -> String {
    let said = match outcome {
        TaskOutcome::Done => say("outcome.done"),
        TaskOutcome::Failed(FailureCode::Cancelled) => say("outcome.cancelled"),
        TaskOutcome::Failed(FailureCode::StoppedByOwner) => say("outcome.stopped"),
        TaskOutcome::Failed(FailureCode::BackendUnreachable) => say("outcome.unreachable"),
        TaskOutcome::Failed(FailureCode::BackendAborted) => say("outcome.aborted"),
        TaskOutcome::Failed(FailureCode::PublisherLost) => say("outcome.lost"),
        TaskOutcome::Aborted | TaskOutcome::Failed(_) => outcome.as_str().replace('_', " "),
    };
    match cause {
        Some(cause) => format!("{said}: {cause}"),
        None => said,
    }
}

/// The count of the last half hour, with the minutes in which no request ended.
fn traffic(counted: &VecDeque<TrafficStep>, now: u64) -> Vec<Traffic> {
    let mut steps = vec![Traffic::default(); TRAFFIC_STEPS];
    // Steps begin at whole multiples, so that nothing moves between two of them.
    let this = now / TRAFFIC_STEP_MS;
    for known in counted {
        let age = usize::try_from(this.saturating_sub(known.step)).ok();
        let at = age.and_then(|age| (TRAFFIC_STEPS - 1).checked_sub(age));
        if let Some(step) = at.and_then(|at| steps.get_mut(at)) {
            step.requests += known.requests;
            step.tokens += known.tokens;
        }
    }
    steps
}
