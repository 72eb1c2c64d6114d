//! The view in every state that a person can see.

use super::build::{Inputs, view};
use super::{NoticeKind, StateIcon, Tone, View};
use registrar::config::parse;
use registrar::config_watch::Snapshot;
use registrar::limits::{TRAFFIC_STEP_MS, TRAFFIC_STEPS};
use registrar::publish_gate::{Hold, HoldReason};
use registrar::status::{
    BackendState, ConnectionState, NameRequest, ProviderStatus, RunningTask, Status, TrafficStep,
};
use std::sync::Arc;

const NOW: u64 = 1_000_000 * TRAFFIC_STEP_MS;

fn snapshot() -> Snapshot {
    let text = r#"{"mcpdUrl": "https://mcpd.example.com/x/", "llm": {"providers": [
        {"name": "a", "type": "vllm", "publish": true}, {"name": "b", "type": "ollama"}]}}"#;
    let parsed = parse(text).unwrap();
    Snapshot { config: Arc::new(parsed.config), ..Snapshot::default() }
}

fn status(connection: ConnectionState, state: BackendState) -> Status {
    let provider = ProviderStatus { name: "a".into(), state, ..ProviderStatus::default() };
    Status {
        pid: 7,
        program: "mcplocal".into(),
        connection,
        server: Some("https://mcpd.example.com".into()),
        providers: vec![provider],
        ..Status::default()
    }
}

fn built(status: &Status, config: &Snapshot) -> View {
    view(Inputs { status, config, refused: None, no_tray: None, now: NOW })
}

const ONLINE: ConnectionState = ConnectionState::Online { since: 0 };

#[test]
fn each_state_has_an_icon_and_a_headline() {
    let retry =
        |at| ConnectionState::Reconnecting { message: "no route".into(), retry_at: at, attempt: 1 };
    let hold = |reason, until| ConnectionState::Held(Hold { reason, until });
    for (connection, icon, words) in [
        (ConnectionState::Idle, StateIcon::Off, "Off"),
        (hold(HoldReason::Paused, None), StateIcon::Off, "Paused"),
        (hold(HoldReason::OnBattery, None), StateIcon::Off, "On battery"),
        (hold(HoldReason::QuietHours, Some(NOW)), StateIcon::Off, "Quiet hours until"),
        (ConnectionState::Connecting, StateIcon::Connecting, "Connecting to mcpd.example.com"),
        (retry(NOW + 11_500), StateIcon::Connecting, "in 12 s — no route"),
        (retry(NOW), StateIcon::Connecting, "Reconnecting now"),
        (ONLINE, StateIcon::Online, "mcpd.example.com (1 published)"),
        (ConnectionState::WaitingForKeyring, StateIcon::Error, "unlock the keyring"),
        (
            ConnectionState::NotConfigured { message: "no token".into() },
            StateIcon::Error,
            "no token",
        ),
        (ConnectionState::Stopped { message: "revoked".into() }, StateIcon::Error, "revoked"),
    ] {
        let view = built(&status(connection, BackendState::Ready), &snapshot());
        assert_eq!(view.icon, icon, "{}", view.headline);
        assert!(view.headline.contains(words), "{}", view.headline);
    }
}

#[test]
fn online_becomes_busy_during_a_request_and_partial_while_a_backend_is_down() {
    let mut busy = status(ONLINE, BackendState::Ready);
    busy.running.push(RunningTask { user: Some("tom".into()), ..RunningTask::default() });
    let view = built(&busy, &snapshot());
    assert_eq!((view.icon, view.running[0].user.as_str()), (StateIcon::Busy, "tom"));
    let down = status(ONLINE, BackendState::Down);
    assert_eq!(built(&down, &snapshot()).icon, StateIcon::Partial);
}

#[test]
fn a_model_shows_its_state_and_not_its_switch() {
    for (state, running, tone, words) in [
        (BackendState::Ready, 0, Tone::Good, "ready"),
        (BackendState::Ready, 2, Tone::Busy, "busy 2"),
        (BackendState::Asleep, 0, Tone::Asleep, "asleep"),
        (BackendState::Waking, 0, Tone::Pending, "waking"),
        (BackendState::Down, 0, Tone::Bad, "down"),
        (BackendState::Rejected, 0, Tone::Bad, "refused"),
        (BackendState::Unknown, 0, Tone::Pending, "checking"),
    ] {
        let mut status = status(ONLINE, state);
        status.providers[0].running = running;
        let view = built(&status, &snapshot());
        assert_eq!((view.models[0].tone, view.models[0].state.as_str()), (tone, words));
        assert_eq!((view.models[1].tone, view.models[1].state.as_str()), (Tone::Off, ""));
    }
    let mut fresh = status(ONLINE, BackendState::Ready);
    fresh.providers.clear();
    assert_eq!(built(&fresh, &snapshot()).models[0].state, "starting");
    fresh.connection = ConnectionState::Idle;
    assert_eq!(built(&fresh, &snapshot()).models[0].state, "waiting");
}

#[test]
fn a_taken_name_is_shown_with_a_free_one() {
    let mut status = status(ONLINE, BackendState::Rejected);
    status.providers[0].message = Some("the name a belongs to another user".into());
    status.providers[0].suggestion = Some("a-mia".into());
    let view = built(&status, &snapshot());
    let model = &view.models[0];
    assert_eq!((model.tone, model.state.as_str()), (Tone::Taken, "name taken"));
    assert_eq!(model.suggested_name.as_deref(), Some("a-mia"));
    assert!(model.problem.as_ref().is_some_and(|why| why.contains("another user")));
    assert_eq!(view.icon, StateIcon::Partial);
}

#[test]
fn requests_for_a_name_or_a_pool_are_listed_at_the_model_that_serves_it() {
    let mut status = status(ONLINE, BackendState::Ready);
    let request = |name: &str, user: &str| NameRequest { name: name.into(), user: user.into() };
    status.name_requests =
        vec![request("a", "tom"), request("both", "ann"), request("other", "bob")];
    let text = r#"{"llm": {"providers": [
        {"name": "a", "type": "vllm", "publish": true, "shareName": ["group:lab"]},
        {"name": "b", "type": "vllm", "pool": "Both", "model": "b.gguf"}]}}"#;
    let config = Arc::new(parse(text).unwrap().config);
    let models = built(&status, &Snapshot { config, ..Snapshot::default() }).models;
    assert_eq!(
        (models[0].name_requests.as_slice(), models[0].backend_model.as_str()),
        (&["tom".into()][..], "a")
    );
    assert_eq!(models[0].shared_with, ["group:lab"]);
    assert_eq!(
        (models[1].name_requests.as_slice(), models[1].backend_model.as_str()),
        (&["ann".into()][..], "b.gguf")
    );
}

#[test]
fn notices_are_sorted_by_urgency() {
    let mut status = status(ONLINE, BackendState::Ready);
    status.program = "mcplocal-agent".into();
    status.credentials = Some("file".into());
    let mut config = snapshot();
    config.problem = parse("{").err();
    let inputs = Inputs {
        status: &status,
        config: &config,
        refused: Some("read-only"),
        no_tray: Some("no tray"),
        now: NOW,
    };
    let kinds: Vec<NoticeKind> = view(inputs).notices.iter().map(|notice| notice.kind).collect();
    let expected = [
        NoticeKind::Refused,
        NoticeKind::Config,
        NoticeKind::Elsewhere,
        NoticeKind::TokenFile,
        NoticeKind::Tray,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn the_base_url_for_callers_keeps_the_servers_path() {
    let view = built(&status(ONLINE, BackendState::Ready), &snapshot());
    assert_eq!(view.call_url.as_deref(), Some("https://mcpd.example.com/x/v1"));
    assert_eq!(view.server.as_deref(), Some("https://mcpd.example.com"));
}

#[test]
fn only_a_pause_turns_the_master_switch_off() {
    let mut config = snapshot();
    let held = |reason| Some(Hold { reason, until: None });
    let status = status(ConnectionState::Idle, BackendState::Ready);
    assert!(built(&status, &config).publishing);
    config.hold = held(HoldReason::QuietHours);
    assert!(built(&status, &config).publishing);
    config.hold = held(HoldReason::Paused);
    assert!(!built(&status, &config).publishing);
}

#[test]
fn traffic_is_counted_by_the_minute_for_half_an_hour() {
    let counted = |minutes: u64, requests, tokens| TrafficStep {
        step: NOW / TRAFFIC_STEP_MS - minutes,
        requests,
        tokens,
    };
    let mut status = status(ONLINE, BackendState::Ready);
    status.traffic = [counted(0, 2, 7), counted(3, 1, 0), counted(30, 1, 9)].into();
    let traffic = built(&status, &snapshot()).traffic;
    assert_eq!(traffic.len(), TRAFFIC_STEPS);
    let last = &traffic[TRAFFIC_STEPS - 1];
    assert_eq!((last.requests, last.tokens), (2, 7));
    assert_eq!(traffic[TRAFFIC_STEPS - 4].requests, 1);
    assert_eq!(traffic.iter().map(|step| step.requests).sum::<u32>(), 3);
}
