//! Edits that add or remove a provider.

use super::Refusal;
use super::document::{Target, input, list_in, object_in, parse_text, provider};
use serde_json::{Map, Value};

/// Appends a provider.
pub(super) fn add(text: &str, entry: &Map<String, Value>) -> Result<String, Refusal> {
    let root = parse_text(text)?;
    let list = object_in(&Target::Root.find(&root)?, "llm")
        .and_then(|llm| list_in(&llm, "providers"))
        .ok_or_else(|| Refusal::Broken("llm.providers must be a list".into()))?;
    // A list on one line stays there; an empty one gets a line for each provider.
    if list.elements().is_empty() {
        list.ensure_multiline();
    }
    list.append(input(&Value::Object(entry.clone())));
    Ok(root.to_string())
}

/// Removes a provider.
pub(super) fn remove(text: &str, name: &str) -> Result<String, Refusal> {
    let root = parse_text(text)?;
    provider(&Target::Root.find(&root)?, name)?.remove();
    Ok(root.to_string())
}

/// Refuses the name in `keys` if another provider than `own` has it: only the first one would count.
pub(super) fn refuse_taken_name(
    text: &str,
    own: &str,
    keys: &Map<String, Value>,
) -> Result<(), Refusal> {
    let Some(name) = keys.get("name").and_then(Value::as_str) else { return Ok(()) };
    if name.eq_ignore_ascii_case(own) {
        return Ok(());
    }
    match provider(&Target::Root.find(&parse_text(text)?)?, name) {
        Ok(_) => Err(Refusal::NameTaken(name.to_owned())),
        Err(_) => Ok(()),
    }
}
