//! The menu for every state that a person can meet.

use super::{Action, Item, menu};
use crate::limits::{MENU_LINE_CHARS_MAX, MENU_MODELS_MAX};
use crate::view::{Mark, Model, View};

fn view(models: Vec<Model>) -> View {
    View {
        mark: Mark::Online,
        headline: "Online — mcpd.example.com".into(),
        notices: vec![],
        models,
    }
}

fn model(name: &str, publish: bool, state: &str, trouble: Option<&str>) -> Model {
    Model { name: name.into(), publish, state: state.into(), trouble: trouble.map(str::to_owned) }
}

fn labels(items: &[Item]) -> Vec<String> {
    let text = |item: &Item| match item {
        Item::Words(text) => text.clone(),
        Item::Switch { label, on, .. } => format!("[{}] {label}", if *on { "x" } else { " " }),
        Item::Button { label, .. } => format!("({label})"),
        Item::Separator => "--".into(),
    };
    items.iter().map(text).collect()
}

#[test]
fn the_first_line_is_the_state_and_each_model_has_a_switch_that_says_how_it_is() {
    let models = vec![
        model("qwen3-8b", true, "asleep", None),
        model("llama", true, "down", Some("cannot be reached")),
        model("private", false, "", None),
    ];
    let menu = menu(&view(models));
    assert_eq!(
        labels(&menu.items),
        [
            "● Online — mcpd.example.com",
            "--",
            "[x] qwen3-8b — asleep",
            "[x] llama — down: cannot be reached",
            "[ ] private",
            "--",
            "(Open settings…)",
            "(Quit (stop publishing))",
        ]
    );
}

#[test]
fn a_long_error_of_many_lines_becomes_one_short_line() {
    let mut long = view(vec![]);
    long.notices = vec![format!("first\nsecond {}", "x".repeat(500))];
    let menu = menu(&long);
    let Item::Words(notice) = &menu.items[1] else { panic!("a notice") };
    assert!(notice.starts_with("first second") && notice.ends_with('…'), "{notice}");
    assert!(notice.chars().count() <= MENU_LINE_CHARS_MAX);
}

#[test]
fn more_models_than_a_menu_can_hold_are_found_in_the_window() {
    let models = (0..MENU_MODELS_MAX + 3).map(|n| model(&format!("m{n}"), true, "ready", None));
    let menu = menu(&view(models.collect()));
    assert!(labels(&menu.items).contains(&"(3 more…)".to_owned()));
}

#[test]
fn every_click_finds_its_way_back_to_its_action() {
    for action in [Action::OpenSettings, Action::Quit, Action::Toggle("a:b/c".into())] {
        assert_eq!(Action::from_id(&action.id()), Some(action));
    }
    assert_eq!(Action::from_id("something else"), None);
}
