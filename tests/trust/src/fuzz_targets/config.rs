//! Any text is accepted or rejected as config.json; an edit changes only what it names, and keeps even
//! the spelling of numbers.

use jsonc_parser::{Scanner, ScannerOptions, tokens::Token};
use registrar::config::edit::{Edit, apply};
use registrar::config::{parse, value};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Checks an edit, chosen by the first byte, on the text that follows it.
pub(super) fn parse_and_edit(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (before, parsed) = (value(text), parse(text));
    let Ok(before) = before else {
        assert!(parsed.is_err(), "a text that is not JSON is accepted");
        return;
    };
    let name = parsed.ok().and_then(|parsed| {
        let providers = &parsed.config.providers;
        let at = usize::from(choice >> 3) % providers.len().max(1);
        providers.get(at).map(|provider| provider.name.clone())
    });
    let edit = edit(*choice, name.unwrap_or_else(|| "nobody".into()));
    let Ok(after_text) = apply(text, &edit) else { return };
    let after = value(&after_text);
    assert!(after.is_ok(), "{edit:?} made it invalid: {after:?}");
    let after = after.unwrap_or_default();
    check_rest_unchanged(&edit, &before, &after);
    check_number_spelling(&edit, text, &after_text);
    if is_idempotent(&edit) {
        assert_eq!(apply(&after_text, &edit).ok(), Some(after_text), "{edit:?} is not idempotent");
    }
}

fn edit(choice: u8, name: String) -> Edit {
    let keys = |value: Value| value.as_object().cloned().unwrap_or_else(Map::new);
    let tom = || "tom".to_owned();
    match choice % 8 {
        // These were added later: choices below 192 keep their meaning for stored inputs.
        0 if choice >= 192 => Edit::PublishAs { name, new: "brand-new".into() },
        1 if choice >= 192 => Edit::ShareName { name, with: tom(), on: true },
        2 if choice >= 192 => Edit::ShareName { name, with: tom(), on: false },
        3 if choice >= 192 => Edit::DeclineName { name, user: tom(), on: true },
        0 | 1 => Edit::SetPublish { name, on: choice.is_multiple_of(2) },
        2 => Edit::SetMcpdUrl("https://mcpd.example".into()),
        3 => Edit::ChangeProvider { name, keys: keys(json!({"description": "d", "wake": null})) },
        4 => Edit::AddProvider(keys(json!({"name": "brand-new", "type": "ollama"}))),
        5 => Edit::RemoveProvider(name),
        6 => Edit::ChangeSettings(keys(json!({"onlyOnAc": true, "quietHours": null}))),
        _ => Edit::ChangeSettings(keys(json!({"onlyOnAc": null}))),
    }
}

/// Returns true if repeating the edit must change nothing.
fn is_idempotent(edit: &Edit) -> bool {
    !matches!(edit, Edit::AddProvider(_) | Edit::RemoveProvider(_) | Edit::PublishAs { .. })
}

/// Removes from both values what the edit may change, and compares the rest.
fn check_rest_unchanged(edit: &Edit, before: &Value, after: &Value) {
    let (mut before, mut after) = (before.clone(), after.clone());
    // An empty file counts as an empty object, and may become one.
    for root in [&mut before, &mut after] {
        if root.is_null() {
            *root = json!({});
        }
    }
    for root in [&mut before, &mut after] {
        match edit {
            Edit::SetMcpdUrl(_) => remove(root, "mcpdUrl"),
            Edit::ChangeSettings(_) => remove(root, "mcplocal"),
            Edit::SetPublish { .. } => each_provider(root, |entry| remove(entry, "publish")),
            Edit::ChangeProvider { .. } => each_provider(root, |entry| {
                remove(entry, "description");
                remove(entry, "wake");
            }),
            Edit::PublishAs { .. } => each_provider(root, |entry| {
                for key in ["name", "model", "publish", "pool"] {
                    remove(entry, key);
                }
            }),
            Edit::ShareName { .. } | Edit::DeclineName { .. } => each_provider(root, |entry| {
                remove(entry, "shareName");
                remove(entry, "declineName");
            }),
            Edit::AddProvider(_) | Edit::RemoveProvider(_) => {}
        }
    }
    match edit {
        Edit::AddProvider(entry) => {
            let last = pop(&mut after);
            assert_eq!(last, Some(Value::Object(entry.clone())), "the new provider is not last");
            // The list may not have existed before.
            remove_empty_list(&mut before);
            remove_empty_list(&mut after);
        }
        Edit::RemoveProvider(_) => {
            let (old, new) = (providers(&before), providers(&after));
            assert_eq!(old.len(), new.len() + 1, "not one provider less");
            let gone = (0..old.len()).find(|at| new.get(*at) != Some(&old[*at]));
            let mut rest = old.to_vec();
            rest.remove(gone.unwrap_or_default());
            assert_eq!(rest, new, "other providers changed");
            for root in [&mut before, &mut after] {
                remove(&mut root["llm"], "providers");
            }
        }
        Edit::SetPublish { .. }
        | Edit::SetMcpdUrl(_)
        | Edit::ChangeProvider { .. }
        | Edit::PublishAs { .. }
        | Edit::ShareName { .. }
        | Edit::DeclineName { .. }
        | Edit::ChangeSettings(_) => {}
    }
    assert_eq!(before, after, "{edit:?} changed something else");
}

fn remove(value: &mut Value, key: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(key);
    }
}

fn providers(root: &Value) -> &[Value] {
    root["llm"]["providers"].as_array().map_or(&[], Vec::as_slice)
}

fn each_provider(root: &mut Value, change: impl FnMut(&mut Value)) {
    if let Some(list) = root.pointer_mut("/llm/providers").and_then(Value::as_array_mut) {
        list.iter_mut().for_each(change);
    }
}

fn pop(root: &mut Value) -> Option<Value> {
    root.pointer_mut("/llm/providers")?.as_array_mut()?.pop()
}

fn remove_empty_list(root: &mut Value) {
    let empty = root.pointer("/llm/providers").is_none_or(|list| list == &json!([]));
    if empty && let Some(llm) = root.get_mut("llm") {
        remove(llm, "providers");
    }
    if root.get("llm") == Some(&json!({})) {
        remove(root, "llm");
    }
}

/// Counts the numbers of a JSON text by their spelling.
fn numbers(text: &str) -> BTreeMap<String, usize> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut scanner = Scanner::new(text, &ScannerOptions::default());
    let mut found = BTreeMap::new();
    while let Ok(Some(token)) = scanner.scan() {
        if let Token::Number(number) = token {
            *found.entry(number.to_owned()).or_default() += 1;
        }
    }
    found
}

fn check_number_spelling(edit: &Edit, before: &str, after: &str) {
    let (before, after) = (numbers(before), numbers(after));
    for (number, count) in &after {
        assert!(before.get(number) >= Some(count), "{number} was not in the file before");
    }
    // Other edits may remove or replace values that contain numbers.
    if matches!(edit, Edit::AddProvider(_)) {
        assert_eq!(before, after, "a number disappeared");
    }
}
