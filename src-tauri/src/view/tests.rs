//! What people are told, for the states that they can meet.

use super::{About, Facts, Mark, Tone, View, view};
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

fn seen(status: &Status, config: &Snapshot) -> View {
    view(Facts { status, config, refused: None, no_tray: None, now: NOW })
}

const ONLINE: ConnectionState = ConnectionState::Online { since: 0 };

#[test]
fn each_state_has_its_picture_and_says_in_words_what_is_true() {
    let retry =
        |at| ConnectionState::Reconnecting { message: "no route".into(), retry_at: at, attempt: 1 };
    let hold = |reason, until| ConnectionState::Held(Hold { reason, until });
    for (connection, mark, words) in [
        (ConnectionState::Idle, Mark::Off, "Off"),
        (hold(HoldReason::Paused, None), Mark::Off, "Paused"),
        (hold(HoldReason::OnBattery, None), Mark::Off, "On battery"),
        (hold(HoldReason::QuietHours, Some(NOW)), Mark::Off, "Quiet hours until"),
        (ConnectionState::Connecting, Mark::Connecting, "Connecting to mcpd.example.com"),
        (retry(NOW + 11_500), Mark::Connecting, "in 12 s — no route"),
        (retry(NOW), Mark::Connecting, "Reconnecting now"),
        (ONLINE, Mark::Online, "mcpd.example.com (1 published)"),
        (ConnectionState::WaitingForKeyring, Mark::Error, "unlock the keyring"),
        (ConnectionState::NotConfigured { message: "no token".into() }, Mark::Error, "no token"),
        (ConnectionState::Stopped { message: "revoked".into() }, Mark::Error, "revoked"),
    ] {
        let view = seen(&status(connection, BackendState::Ready), &snapshot());
        assert_eq!(view.mark, mark, "{}", view.headline);
        assert!(view.headline.contains(words), "{}", view.headline);
    }
}

#[test]
fn online_becomes_busy_while_somebody_is_answered_and_partial_when_a_backend_is_down() {
    let mut busy = status(ONLINE, BackendState::Ready);
    busy.running.push(RunningTask { user: Some("tom".into()), ..RunningTask::default() });
    let view = seen(&busy, &snapshot());
    assert_eq!((view.mark, view.running[0].user.as_str()), (Mark::Busy, "tom"));
    let down = status(ONLINE, BackendState::Down);
    assert_eq!(seen(&down, &snapshot()).mark, Mark::Partial);
}

#[test]
fn a_model_says_what_is_true_and_not_what_was_clicked() {
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
        let view = seen(&status, &snapshot());
        assert_eq!((view.models[0].tone, view.models[0].state.as_str()), (tone, words));
        assert_eq!((view.models[1].tone, view.models[1].state.as_str()), (Tone::Off, ""));
    }
    let mut fresh = status(ONLINE, BackendState::Ready);
    fresh.providers.clear();
    assert_eq!(seen(&fresh, &snapshot()).models[0].state, "starting");
    fresh.connection = ConnectionState::Idle;
    assert_eq!(seen(&fresh, &snapshot()).models[0].state, "waiting");
}

#[test]
fn a_taken_name_says_so_with_the_name_that_is_free() {
    let mut status = status(ONLINE, BackendState::Rejected);
    status.providers[0].message = Some("the name a belongs to another user".into());
    status.providers[0].suggestion = Some("a-mia".into());
    let view = seen(&status, &snapshot());
    let model = &view.models[0];
    assert_eq!((model.tone, model.state.as_str()), (Tone::Taken, "name taken"));
    assert_eq!(model.suggestion.as_deref(), Some("a-mia"));
    assert!(model.trouble.as_ref().is_some_and(|why| why.contains("another user")));
    assert_eq!(view.mark, Mark::Partial);
}

#[test]
fn who_asks_for_a_name_or_its_pool_stands_at_the_model_that_serves_it() {
    let mut status = status(ONLINE, BackendState::Ready);
    let asks = |name: &str, user: &str| NameRequest { name: name.into(), user: user.into() };
    status.name_requests = vec![asks("a", "tom"), asks("both", "ann"), asks("other", "bob")];
    let text = r#"{"llm": {"providers": [
        {"name": "a", "type": "vllm", "publish": true, "shareName": ["group:lab"]},
        {"name": "b", "type": "vllm", "pool": "Both", "model": "b.gguf"}]}}"#;
    let config = Arc::new(parse(text).unwrap().config);
    let models = seen(&status, &Snapshot { config, ..Snapshot::default() }).models;
    assert_eq!(
        (models[0].requests.as_slice(), models[0].asks.as_str()),
        (&["tom".into()][..], "a")
    );
    assert_eq!(models[0].shared_with, ["group:lab"]);
    assert_eq!(
        (models[1].requests.as_slice(), models[1].asks.as_str()),
        (&["ann".into()][..], "b.gguf")
    );
}

#[test]
fn what_a_person_should_know_comes_most_urgent_first() {
    let mut status = status(ONLINE, BackendState::Ready);
    status.program = "mcplocal-agent".into();
    status.credentials = Some("file".into());
    let mut config = snapshot();
    config.problem = parse("{").err();
    let facts = Facts {
        status: &status,
        config: &config,
        refused: Some("read-only"),
        no_tray: Some("no tray"),
        now: NOW,
    };
    let about: Vec<About> = view(facts).notices.iter().map(|notice| notice.about).collect();
    let expected = [About::Refused, About::Config, About::Elsewhere, About::TokenFile, About::Tray];
    assert_eq!(about, expected);
}

#[test]
fn callers_get_the_servers_base_url_with_its_path() {
    let view = seen(&status(ONLINE, BackendState::Ready), &snapshot());
    assert_eq!(view.call_url.as_deref(), Some("https://mcpd.example.com/x/v1"));
    assert_eq!(view.server.as_deref(), Some("https://mcpd.example.com"));
}

#[test]
fn only_a_pause_turns_the_master_switch_off() {
    let mut config = snapshot();
    let held = |reason| Some(Hold { reason, until: None });
    let status = status(ConnectionState::Idle, BackendState::Ready);
    assert!(seen(&status, &config).publishing);
    config.hold = held(HoldReason::QuietHours);
    assert!(seen(&status, &config).publishing);
    config.hold = held(HoldReason::Paused);
    assert!(!seen(&status, &config).publishing);
}

#[test]
fn traffic_is_counted_by_the_minute_and_what_is_old_falls_out() {
    let counted = |minutes: u64, requests, tokens| TrafficStep {
        step: NOW / TRAFFIC_STEP_MS - minutes,
        requests,
        tokens,
    };
    let mut status = status(ONLINE, BackendState::Ready);
    status.traffic = [counted(0, 2, 7), counted(3, 1, 0), counted(30, 1, 9)].into();
    let traffic = seen(&status, &snapshot()).traffic;
    assert_eq!(traffic.len(), TRAFFIC_STEPS);
    let last = &traffic[TRAFFIC_STEPS - 1];
    assert_eq!((last.requests, last.tokens), (2, 7));
    assert_eq!(traffic[TRAFFIC_STEPS - 4].requests, 1);
    assert_eq!(traffic.iter().map(|step| step.requests).sum::<u32>(), 3);
}
