//! Changes of the file's text that leave everything else as it was: unknown keys, order, comments,
//! layout, line ends, byte order mark, the spelling of numbers.

mod names;

use super::settings;
use jsonc_parser::cst::{CstArray, CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde_json::{Map, Value, json};

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
    /// Some keys of one provider; `null` takes a key away.
    ChangeProvider {
        /// Which, in any case.
        name: String,
        /// The keys and their new values.
        keys: Map<String, Value>,
    },
    /// One more provider, at the end.
    AddProvider(Map<String, Value>),
    /// One provider less.
    RemoveProvider(String),
    /// Publishes a provider under another name; its backend goes on being asked for the model that
    /// it was asked for.
    PublishAs {
        /// Which, in any case.
        name: String,
        /// The name that it gets.
        new: String,
    },
    /// Lets a user, a group or everybody serve a provider's name too, or takes that back.
    ShareName {
        /// Which, in any case.
        name: String,
        /// `<user>`, `group:<group>` or `*`.
        with: String,
        /// Shared or not.
        on: bool,
    },
    /// Does not show a user's request for a provider's name any more, or shows it again.
    DeclineName {
        /// Which, in any case.
        name: String,
        /// The user.
        user: String,
        /// Hidden or not.
        on: bool,
    },
    /// Some of our own settings ([`settings::Settings`]); `null` takes a key away.
    ChangeSettings(Map<String, Value>),
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
    /// The name is taken.
    #[error("config.json has a provider {0} already; choose another name")]
    NameTaken(String),
    /// The value cannot stand there.
    #[error("{0}: {1}")]
    Value(&'static str, String),
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
    let text = match edit {
        Edit::SetMcpdUrl(url) => set(text, &Place::Root, "mcpdUrl", &json!(url))?,
        Edit::SetPublish { name, on } => set(text, &Place::Provider(name), "publish", &json!(on))?,
        Edit::ChangeProvider { name, keys } => {
            refuse_taken_name(text, name, keys)?;
            change(text, &Place::Provider(name), keys)?
        }
        Edit::AddProvider(entry) => {
            refuse_taken_name(text, "", entry)?;
            add(text, entry)?
        }
        Edit::RemoveProvider(name) => remove(text, name)?,
        Edit::PublishAs { name, new } => names::publish_as(text, name, new)?,
        Edit::ShareName { name, with, on } => names::share(text, name, with, *on)?,
        Edit::DeclineName { name, user, on } => names::decline(text, name, user, *on)?,
        Edit::ChangeSettings(keys) => change(text, &Place::Settings, keys)?,
    };
    parse(&text).map_err(|e| Refusal::Broken(format!("this change would break it: {e}")))?;
    Ok(format!("{mark}{text}"))
}

fn parse(text: &str) -> Result<CstRootNode, Refusal> {
    CstRootNode::parse(text, &super::parse::options()).map_err(|e| Refusal::Broken(e.to_string()))
}

/// The object that a change is about.
enum Place<'a> {
    Root,
    Settings,
    Provider(&'a str),
}

impl Place<'_> {
    fn find(&self, root: &CstRootNode) -> Result<CstObject, Refusal> {
        let must_be = |what: &str| Refusal::Broken(format!("{what} must be an object"));
        let object = root.object_value().ok_or_else(|| must_be("it"))?;
        match self {
            Self::Root => Ok(object),
            Self::Settings => {
                object_in(&object, settings::KEY).ok_or_else(|| must_be(settings::KEY))
            }
            Self::Provider(name) => provider(&object, name),
        }
    }
}

/// One key after the other, each as if it were the only one. The name comes last: the others find
/// their provider by it.
fn change(text: &str, place: &Place<'_>, keys: &Map<String, Value>) -> Result<String, Refusal> {
    let (names, others): (Vec<_>, Vec<_>) = keys.iter().partition(|(key, _)| *key == "name");
    let mut text = text.to_owned();
    for (key, value) in others.into_iter().chain(names) {
        text = if value.is_null() {
            unset(&text, place, key)?
        } else {
            set(&text, place, key, value)?
        };
    }
    Ok(text)
}

fn unset(text: &str, place: &Place<'_>, key: &str) -> Result<String, Refusal> {
    let root = parse(text)?;
    // Looking for what is not there must not make it.
    let settings = root.object_value().and_then(|object| property(&object, settings::KEY));
    if matches!(place, Place::Settings) && settings.is_none() {
        return Ok(text.to_owned());
    }
    // All of that name: an earlier one would count again.
    while let Some(property) = property(&place.find(&root)?, key) {
        property.remove();
    }
    Ok(root.to_string())
}

fn add(text: &str, entry: &Map<String, Value>) -> Result<String, Refusal> {
    let root = parse(text)?;
    let list = object_in(&Place::Root.find(&root)?, "llm")
        .and_then(|llm| list_in(&llm, "providers"))
        .ok_or_else(|| Refusal::Broken("llm.providers must be a list".into()))?;
    // A list on one line stays there; an empty one gets a line for each.
    if list.elements().is_empty() {
        list.ensure_multiline();
    }
    list.append(input(&Value::Object(entry.clone())));
    Ok(root.to_string())
}

fn remove(text: &str, name: &str) -> Result<String, Refusal> {
    let root = parse(text)?;
    provider(&Place::Root.find(&root)?, name)?.remove();
    Ok(root.to_string())
}

/// A name must not stand twice: only the first would count.
fn refuse_taken_name(text: &str, own: &str, keys: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(name) = keys.get("name").and_then(Value::as_str) else { return Ok(()) };
    if name.eq_ignore_ascii_case(own) {
        return Ok(());
    }
    match provider(&Place::Root.find(&parse(text)?)?, name) {
        Ok(_) => Err(Refusal::NameTaken(name.to_owned())),
        Err(_) => Ok(()),
    }
}

/// The text with one value set. A key that is new to an object stands on a line of its own, or on
/// the object's only line.
fn set(text: &str, place: &Place<'_>, key: &str, value: &Value) -> Result<String, Refusal> {
    let root = parse(text)?;
    let object = place.find(&root)?;
    if let Some(property) = property(&object, key) {
        // What is the same keeps its spelling and layout.
        let same = property.value().and_then(|v| v.to_serde_value()).as_ref() == Some(value);
        if !same {
            property.set_value(input(value));
        }
        return Ok(root.to_string());
    }
    let line = object.to_string();
    if line.contains('\n') || line.contains("/*") || object.properties().is_empty() {
        object.append(key, input(value));
        return Ok(root.to_string());
    }
    // The library would lay the object out anew: so it gets a name to be found by, and its own text
    // again with the key in it.
    let whole = root.to_string();
    let inside = line.strip_suffix('}').unwrap_or(&line);
    let (inside, space) = inside.split_at(inside.trim_end().len());
    let comma = if inside.ends_with(',') { "" } else { "," };
    let longer = format!("{inside}{comma} {}: {value}{space}}}", json!(key));
    let mut marker = "here".to_owned();
    while whole.contains(&marker) {
        marker.push('.');
    }
    object.replace_with(CstInputValue::String(marker.clone()));
    Ok(root.to_string().replacen(&format!("\"{marker}\""), &longer, 1))
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

/// The property of that name; when it stands twice, the last one: it counts for whoever reads the file.
fn property(object: &CstObject, key: &str) -> Option<CstObjectProp> {
    let named = |property: &CstObjectProp| {
        let name = property.name().and_then(|name| name.decoded_value().ok());
        name.is_some_and(|name| name == key)
    };
    object.properties().into_iter().rfind(named)
}

/// The object under that key, made when there is nothing. `None`: something else is there.
fn object_in(object: &CstObject, key: &str) -> Option<CstObject> {
    if property(object, key).is_none() {
        object.append(key, CstInputValue::Object(Vec::new()));
    }
    property(object, key)?.value()?.as_object()
}

/// The list under that key, made when there is nothing. `None`: something else is there.
fn list_in(object: &CstObject, key: &str) -> Option<CstArray> {
    if property(object, key).is_none() {
        object.append(key, CstInputValue::Array(Vec::new()));
    }
    property(object, key)?.value()?.as_array()
}

/// The first entry of that name: the one that counts when it stands twice.
fn provider(root: &CstObject, name: &str) -> Result<CstObject, Refusal> {
    let inside = |object: &CstObject, key| property(object, key).and_then(|found| found.value());
    let llm = inside(root, "llm").and_then(|llm| llm.as_object());
    let list = llm.and_then(|llm| inside(&llm, "providers")?.as_array());
    let entries = list.map(|list| list.elements()).unwrap_or_default();
    let objects: Vec<CstObject> = entries.iter().filter_map(|e| e.as_object()).collect();
    let name_of = |object: &CstObject| {
        let value = property(object, "name")?.value()?;
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
    use serde_json::json;

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

    fn keys(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_change_of_some_keys_leaves_every_other_byte_of_the_provider() {
        let before = r#"{
  "llm": { "providers": [
    { "name": "a", "x": 1e400, "url": "http://h:1", /* mine */ "maxConcurrency": 2 },
    {
      "name": "b", // second
      "wake": { "type": "command", "command": "c",
                "args": [ "x" ] }, "pool": "p"
    }
  ] }
}
"#;
        let change = |text: &str, name: &str, value| {
            apply(text, &Edit::ChangeProvider { name: name.into(), keys: keys(value) }).unwrap()
        };
        let same = json!({"maxConcurrency": 2, "url": "http://h:1"});
        assert_eq!(change(before, "A", same), before, "what is the same stays as it was written");
        let after = change(before, "a", json!({"url": "http://h:2", "maxConcurrency": null}));
        let expected = before
            .replace("http://h:1", "http://h:2")
            .replace(r#", /* mine */ "maxConcurrency": 2"#, "");
        assert_eq!(after, expected, "a comment goes with the key that it stands before");
        let after = change(before, "b", json!({"pool": "q", "name": "c"}));
        assert_eq!(after, before.replace(r#""p""#, r#""q""#).replace(r#""b""#, r#""c""#));
        let taken = Edit::ChangeProvider { name: "b".into(), keys: keys(json!({"name": "A"})) };
        assert_eq!(apply(before, &taken), Err(Refusal::NameTaken("A".into())));
    }

    #[test]
    fn a_provider_comes_and_goes_and_the_others_do_not_notice() {
        let entry = keys(json!({"name": "b", "type": "ollama", "publish": true}));
        for before in ["", "{}", "{\"llm\": {}}", "{ \"llm\": { \"providers\": [] } }"] {
            let after = apply(before, &Edit::AddProvider(entry.clone())).unwrap();
            let parsed = crate::config::parse(&after).unwrap();
            assert!(parsed.config.provider("b").is_some_and(|b| b.publish), "{before}: {after}");
        }
        let before = "{\n  // mine\n  \"llm\": {\n    \"providers\": [\n      { \"name\": \"a\", \"n\": 1E3 }\n    ]\n  }\n}\n";
        let with = apply(before, &Edit::AddProvider(entry.clone())).unwrap();
        assert!(
            with.contains("// mine") && with.contains("{ \"name\": \"a\", \"n\": 1E3 }"),
            "{with}"
        );
        let refused = apply(&with, &Edit::AddProvider(entry)).unwrap_err();
        assert_eq!(refused, Refusal::NameTaken("b".into()));
        let without = apply(&with, &Edit::RemoveProvider("B".into())).unwrap();
        assert_eq!(without, before, "{without}");
        let none = apply(&without, &Edit::RemoveProvider("a".into())).unwrap();
        assert!(crate::config::parse(&none).unwrap().config.providers.is_empty(), "{none}");
        assert!(none.contains("// mine"), "{none}");
    }

    #[test]
    fn a_setting_of_ours_is_kept_under_our_key_and_taken_away_again() {
        let before = "{ \"other\": 1 }\n";
        let pause = |value| Edit::ChangeSettings(keys(json!({"pausedUntil": value})));
        let paused = apply(before, &pause(json!("turnedOn"))).unwrap();
        let settings = crate::config::parse(&paused).unwrap().config.settings;
        assert!(settings.paused_until.is_some(), "{paused}");
        let on = apply(&paused, &pause(json!(null))).unwrap();
        let parsed = crate::config::parse(&on).unwrap();
        assert_eq!(parsed.config.settings.paused_until, None, "{on}");
        assert!(on.contains("\"other\": 1"), "{on}");
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
