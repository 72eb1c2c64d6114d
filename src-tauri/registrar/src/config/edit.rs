//! Changes of the file's text that leave everything else as it was: unknown keys, order, comments,
//! layout, line ends, byte order mark, the spelling of numbers.

use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::{Value, json};

/// One change, as a person would name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The publish switch of one provider.
    SetPublish {
        /// Which, in any case.
        name: String,
        /// On or off.
        on: bool,
    },
    /// The server.
    SetMcpdUrl(String),
}

/// Why a change cannot be made. Nothing is lost then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is broken; a person must mend it first.
    #[error("config.json cannot be changed while it is broken: {0}")]
    Broken(String),
    /// There is no such provider.
    #[error("config.json has no provider {0}; it has: {1}")]
    NoProvider(String, String),
}

/// The text after the change.
///
/// # Errors
/// [`Refusal`].
pub fn apply(text: &str, edit: &Edit) -> Result<String, Refusal> {
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let root = CstRootNode::parse(text, &super::parse::options())
        .map_err(|e| Refusal::Broken(e.to_string()))?;
    let object =
        root.object_value().ok_or_else(|| Refusal::Broken("it must be an object".into()))?;
    let text = match edit {
        Edit::SetMcpdUrl(url) => set(&root, &object, "mcpdUrl", &json!(url)),
        Edit::SetPublish { name, on } => {
            set(&root, &provider(&object, name)?, "publish", &json!(on))
        }
    };
    CstRootNode::parse(&text, &super::parse::options())
        .map_err(|e| Refusal::Broken(format!("this change would break it: {e}")))?;
    Ok(format!("{mark}{text}"))
}

/// The text with one value set. A key that is new to an object stands on a line of its own, or on
/// the object's only line.
fn set(root: &CstRootNode, object: &CstObject, key: &str, value: &Value) -> String {
    if let Some(property) = object.get(key) {
        property.set_value(input(value));
        return root.to_string();
    }
    let line = object.to_string();
    if line.contains('\n') || line.contains("/*") || object.properties().is_empty() {
        object.append(key, input(value));
        return root.to_string();
    }
    // The library would lay the object out anew: so it gets a name to be found by, and its own text
    // again with the key in it.
    let whole = root.to_string();
    let inside = line.strip_suffix('}').unwrap_or(&line);
    let (inside, space) = inside.split_at(inside.trim_end().len());
    let comma = if inside.ends_with(',') { "" } else { "," };
    let longer = format!("{inside}{comma} \"{key}\": {value}{space}}}");
    let mut marker = "here".to_owned();
    while whole.contains(&marker) {
        marker.push('.');
    }
    object.clone().replace_with(CstInputValue::String(marker.clone()));
    root.to_string().replacen(&format!("\"{marker}\""), &longer, 1)
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(on) => CstInputValue::Bool(*on),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(object) => {
            CstInputValue::Object(object.iter().map(|(k, v)| (k.clone(), input(v))).collect())
        }
    }
}

/// The first entry of that name: the one that counts when it stands twice.
fn provider(root: &CstObject, name: &str) -> Result<CstObject, Refusal> {
    let list = root.object_value("llm").and_then(|llm| llm.array_value("providers"));
    let entries = list.map(|list| list.elements()).unwrap_or_default();
    let objects: Vec<CstObject> = entries.iter().filter_map(|e| e.as_object()).collect();
    let name_of = |object: &CstObject| {
        let value = object.get("name")?.value()?;
        value.as_string_lit()?.decoded_value().ok()
    };
    let found = objects.iter().find(|o| name_of(o).is_some_and(|n| n.eq_ignore_ascii_case(name)));
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = objects.iter().filter_map(name_of).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Refusal::NoProvider(name.to_owned(), names)
    })
}

#[cfg(test)]
mod tests {
    use super::{Edit, Refusal, apply};

    fn publish(name: &str, on: bool) -> Edit {
        Edit::SetPublish { name: name.into(), on }
    }

    #[test]
    fn a_switch_changes_its_own_value_and_not_one_other_byte() {
        let before = "\u{feff}{\r\n  // mine\r\n  \"n\": 1E3, \"big\": 12345678901234567890123, \"d\": 1, \"d\": 2,\r\n  \"llm\": { \"providers\": [ {\"name\": \"A\", \"publish\": false /* why */, \"x\": 1.0,}, ], }\r\n}\r\n";
        let after = apply(before, &publish("a", true)).unwrap();
        assert_eq!(after, before.replace("\"publish\": false", "\"publish\": true"));
        assert_eq!(apply(&after, &publish("a", false)).unwrap(), before, "and back again");
    }

    #[test]
    fn a_missing_switch_is_added_to_its_provider_and_not_one_other_byte_changes() {
        let added = |provider: &str| {
            let around = |inside: &str| {
                format!(
                    "{{\"z\": 1e400, \"llm\": {{\"providers\": [\n {{\"name\": \"a\"}}, {inside}]}}}}\n"
                )
            };
            let after = apply(&around(provider), &publish("b", true)).unwrap();
            let (before, end) =
                around("|").split_once('|').map(|(b, e)| (b.len(), e.len())).unwrap();
            assert_eq!(after, around(&after[before..after.len() - end]));
            after[before..after.len() - end].to_owned()
        };
        for (provider, expected) in [
            (r#"{"name": "b"}"#, r#"{"name": "b", "publish": true}"#),
            (r#"{ "name": "b", "x": {} }"#, r#"{ "name": "b", "x": {}, "publish": true }"#),
            (r#"{"name": "b",}"#, r#"{"name": "b", "publish": true}"#),
        ] {
            assert_eq!(added(provider), expected);
        }
        let lines = "{\r\n  \"llm\": {\"providers\": [\r\n    {\r\n      \"name\": \"b\" // c\r\n    }\r\n  ]}\r\n}";
        let after = apply(lines, &publish("b", true)).unwrap();
        let expected = "\"b\", // c\r\n      \"publish\": true\r\n";
        assert_eq!(after, lines.replace("\"b\" // c\r\n", expected));
        let comma_behind_a_comment = r#"{"llm": {"providers": [{"name": "b", /* c */ }]}}"#;
        let after = apply(comma_behind_a_comment, &publish("b", true)).unwrap();
        assert!(after.contains("/* c */") && crate::config::parse(&after).is_ok(), "{after}");
        let root = r#"{ "llm": {} }"#;
        let after = apply(root, &Edit::SetMcpdUrl("https://x".into())).unwrap();
        assert_eq!(after, r#"{ "llm": {}, "mcpdUrl": "https://x" }"#);
    }

    #[test]
    fn a_broken_text_is_refused_and_an_unknown_name_lists_the_known_ones() {
        assert!(matches!(apply("{\"a\": ", &publish("a", true)), Err(Refusal::Broken(_))));
        let text = "{\"llm\": {\"providers\": [{\"name\": \"qwen\"}]}}";
        let said = apply(text, &publish("gwen", true)).unwrap_err().to_string();
        assert!(said.contains("gwen") && said.contains("qwen"), "{said}");
    }

    #[test]
    fn the_first_server_is_written_into_an_empty_file() {
        let text = apply("", &Edit::SetMcpdUrl("https://x".into())).unwrap();
        let parsed = crate::config::parse(&text).unwrap();
        assert_eq!(parsed.config.mcpd_url.unwrap().as_str(), "https://x/");
    }
}
