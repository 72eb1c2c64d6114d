//! The menu in every state that a person can see.

use super::{Item, menu};
use crate::limits::{MENU_LINE_CHARS_MAX, MENU_MODELS_MAX, MENU_REQUESTS_MAX, MENU_RUNNING_MAX};
use crate::view::{Model, Notice, NoticeKind, RunningRequest, StateIcon, Tone, View};
use registrar::config::settings::Settings;

fn view(models: Vec<Model>) -> View {
    View {
        icon: StateIcon::Online,
        headline: "Online — mcpd.example.com".into(),
        notices: vec![],
        server: Some("https://mcpd.example.com".into()),
        call_url: Some("https://mcpd.example.com/v1".into()),
        token_storage: None,
        publishing: true,
        models,
        running: vec![],
        recent: vec![],
        traffic: vec![],
        settings: Settings::default(),
    }
}

fn model(name: &str, publish: bool, state: &str, problem: Option<&str>) -> Model {
    Model {
        name: name.into(),
        publish,
        tone: Tone::Good,
        state: state.into(),
        problem: problem.map(str::to_owned),
        suggested_name: None,
        name_requests: vec![],
        shared_with: vec![],
        backend_model: name.into(),
        backend: "vllm".into(),
        can_wake: false,
    }
}

fn running(user: &str) -> RunningRequest {
    RunningRequest {
        task_id: "t".into(),
        user: user.into(),
        model: "llama".into(),
        path: "/v1/chat/completions".into(),
        started: 0,
    }
}

fn labels(items: &[Item]) -> Vec<String> {
    let text = |item: &Item| match item {
        Item::Text(text) => text.clone(),
        Item::Switch { label, on, .. } => format!("[{}] {label}", if *on { "x" } else { " " }),
        Item::Button { label, .. } => format!("({label})"),
        Item::Submenu { label, items } => format!("{label} > {}", labels(items).join(" ")),
        Item::Separator => "--".into(),
    };
    items.iter().map(text).collect()
}

#[test]
fn the_first_line_is_the_state_and_each_model_has_a_switch_with_its_state() {
    let models = vec![
        model("qwen3-8b", true, "asleep", None),
        model("llama", true, "down", Some("cannot be reached")),
        model("private", false, "", None),
    ];
    let mut view = view(models);
    view.running = vec![running("tom")];
    assert_eq!(
        labels(&menu(&view).items),
        [
            "● Online — mcpd.example.com",
            "--",
            "[x] Publish to mcpd",
            "[x] qwen3-8b — asleep",
            "[x] llama — down: cannot be reached",
            "[ ] private",
            "Pause publishing > (For 1 hour) (Until restart) (Until I turn it on)",
            "--",
            "tom is using llama",
            "--",
            "(Open settings…)",
            "(Copy model URL)",
            "(Recent requests…)",
            "--",
            "(Quit (stop publishing))",
        ]
    );
}

#[test]
fn without_a_server_no_url_can_be_copied_and_an_empty_list_of_models_says_so() {
    let mut empty = view(vec![]);
    empty.call_url = None;
    empty.publishing = false;
    let labels = labels(&menu(&empty).items);
    assert!(!labels.iter().any(|label| label.contains("URL")), "{labels:?}");
    assert!(labels.contains(&"No models in config.json yet".to_owned()));
    assert!(labels.contains(&"[ ] Publish to mcpd".to_owned()));
}

#[test]
fn a_long_error_of_many_lines_becomes_one_short_line() {
    let mut long = view(vec![]);
    let text = format!("first\nsecond {}", "x".repeat(500));
    long.notices = vec![Notice { kind: NoticeKind::Config, text }];
    let menu = menu(&long);
    let Item::Text(notice) = &menu.items[1] else { panic!("a notice") };
    assert!(notice.starts_with("first second") && notice.ends_with('…'), "{notice}");
    assert!(notice.chars().count() <= MENU_LINE_CHARS_MAX);
}

#[test]
fn models_and_users_beyond_the_menus_limit_are_counted_in_one_line() {
    let models = (0..MENU_MODELS_MAX + 3).map(|n| model(&format!("m{n}"), true, "ready", None));
    let mut full = view(models.collect());
    full.running = (0..MENU_RUNNING_MAX + 2).map(|n| running(&format!("u{n}"))).collect();
    let labels = labels(&menu(&full).items);
    assert!(labels.contains(&"(3 more…)".to_owned()), "{labels:?}");
    assert!(labels.contains(&"(2 more…)".to_owned()), "{labels:?}");
}

#[test]
fn a_taken_name_offers_a_free_one_and_a_request_opens_its_model() {
    let mut taken = model("qwen3-8b", true, "name taken", Some("it is another user's"));
    taken.suggested_name = Some("qwen3-8b-mia".into());
    let mut asked = model("llama", true, "ready", None);
    asked.name_requests = (0..MENU_REQUESTS_MAX + 1).map(|n| format!("u{n}")).collect();
    let menu = menu(&view(vec![taken, asked]));
    let labels = labels(&menu.items);
    assert_eq!(labels[3], "[x] qwen3-8b — name taken: it is another user's");
    assert_eq!(labels[4], "(Publish as qwen3-8b-mia)");
    assert_eq!(labels[5], "[x] llama — ready");
    let at = labels.iter().position(|label| label.starts_with("(u0 would like to")).unwrap();
    assert_eq!(menu.items[at].id(), Some("model:llama".into()), "{labels:?}");
    assert_eq!(labels[at + MENU_REQUESTS_MAX], "(1 more…)");
    assert_eq!(menu.items[4].id(), Some("publish-as:qwen3-8b qwen3-8b-mia".into()));
}
