//! One list of commands, written down where each needs it.

use std::collections::BTreeSet;
use std::path::Path;

fn names<'a>(text: &'a str, before: &str, after: &str) -> BTreeSet<&'a str> {
    let is_name = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '-'))
    };
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).filter(is_name).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn handler_build_script_capability_and_page_name_the_same_commands() {
    let main = read("src/window.rs");
    let list = main.split("generate_handler![").nth(1).unwrap().split(']').next().unwrap();
    let handled = names(list, "::", ",");
    assert!(handled.len() > 20, "{handled:?}");
    let build = read("build.rs");
    let declared = build.split("COMMANDS: &[&str] = &[").nth(1).unwrap().split(']').next().unwrap();
    assert_eq!(names(declared, "    \"", "\""), handled);
    let capability = read("capabilities/main.json");
    let allowed: BTreeSet<String> =
        names(&capability, "\"allow-", "\"").iter().map(|name| name.replace('-', "_")).collect();
    assert_eq!(allowed, handled.iter().map(ToString::to_string).collect());
    let capability: serde_json::Value = serde_json::from_str(&capability).unwrap();
    let permissions = capability["permissions"].as_array().unwrap();
    assert_eq!(permissions.len(), handled.len(), "the capability allows nothing else");
    let page = read("../ui/src/lib/backend.ts");
    assert_eq!(names(&page, "(\"", "\""), handled, "what the page calls");
}

/// The registrar's own types, which no type of ours brings along.
#[test]
fn the_page_gets_the_types_of_what_the_registrar_finds() {
    use ts_rs::TS as _;
    let config = ts_rs::Config::from_env();
    registrar::config::Wrong::export_all(&config).unwrap();
    registrar::diagnostics::Entry::export_all(&config).unwrap();
    registrar::discover::Found::export_all(&config).unwrap();
    registrar::doctor::Finding::export_all(&config).unwrap();
    registrar::test_request::TestResponse::export_all(&config).unwrap();
}
