//! Edits of the text of config.json that keep everything else as it is: unknown keys, order, comments,
//! layout, line ends, byte order mark, the spelling of numbers.

mod document;
mod names;
mod providers;

use document::{Target, parse_text, set, set_all};
use serde_json::{Map, Value, json};

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Sets the publish switch of a provider.
    SetPublish {
        /// The provider's name, in any case.
        name: String,
        /// On or off.
        on: bool,
    },
    /// Sets the server.
    SetMcpdUrl(String),
    /// Sets keys of a provider; `null` removes a key.
    ChangeProvider {
        /// The provider's name, in any case.
        name: String,
        /// The keys and their new values.
        keys: Map<String, Value>,
    },
    /// Appends a provider.
    AddProvider(Map<String, Value>),
    /// Removes the provider of this name.
    RemoveProvider(String),
    /// Publishes a provider under another name. Its backend still gets the model that it got before.
    PublishAs {
        /// The provider's name, in any case.
        name: String,
        /// Its new name.
        new: String,
    },
    /// Lets a user, a group or everybody serve a provider's name too, or takes that back.
    ShareName {
        /// The provider's name, in any case.
        name: String,
        /// `<user>`, `group:<group>` or `*`.
        with: String,
        /// Shared or not.
        on: bool,
    },
    /// Hides a user's request for a provider's name, or shows it again.
    DeclineName {
        /// The provider's name, in any case.
        name: String,
        /// The user.
        user: String,
        /// Hidden or not.
        on: bool,
    },
    /// Sets some of the [settings](super::settings::Settings); `null` removes a key.
    ChangeSettings(Map<String, Value>),
}

/// Why an edit is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is broken; a person must correct it first.
    #[error("config.json cannot be changed while it is broken: {0}")]
    Broken(String),
    /// There is no provider of this name; the names that there are.
    #[error("config.json has no provider {0}; it has: {1}")]
    NoProvider(String, String),
    /// Another provider has this name.
    #[error("config.json has a provider {0} already; choose another name")]
    NameTaken(String),
    /// The value of this key is not valid; the cause.
    #[error("{0}: {1}")]
    Value(&'static str, String),
}

/// Applies an edit to a text.
///
/// # Errors
/// The text is broken, the provider does not exist, its name is taken, or the value is not valid.
pub fn apply(text: &str, edit: &Edit) -> Result<String, Refusal> {
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let text = match edit {
        Edit::SetMcpdUrl(url) => set(text, &Target::Root, "mcpdUrl", &json!(url))?,
        Edit::SetPublish { name, on } => set(text, &Target::Provider(name), "publish", &json!(on))?,
        Edit::ChangeProvider { name, keys } => {
            providers::refuse_taken_name(text, name, keys)?;
            set_all(text, &Target::Provider(name), keys)?
        }
        Edit::AddProvider(entry) => {
            providers::refuse_taken_name(text, "", entry)?;
            providers::add(text, entry)?
        }
        Edit::RemoveProvider(name) => providers::remove(text, name)?,
        Edit::PublishAs { name, new } => names::publish_as(text, name, new)?,
        Edit::ShareName { name, with, on } => names::share(text, name, with, *on)?,
        Edit::DeclineName { name, user, on } => names::decline(text, name, user, *on)?,
        Edit::ChangeSettings(keys) => set_all(text, &Target::Settings, keys)?,
    };
    parse_text(&text).map_err(|e| Refusal::Broken(format!("this change would break it: {e}")))?;
    Ok(format!("{mark}{text}"))
}

#[cfg(test)]
mod tests {
    use super::{Edit, Refusal, apply};
    use serde_json::json;

    fn publish(name: &str, on: bool) -> Edit {
        Edit::SetPublish { name: name.into(), on }
    }

    #[test]
    fn a_publish_switch_changes_its_value_and_no_other_byte() {
        let before = "\u{feff}{\r\n  // mine\r\n  \"n\": 1E3, \"big\": 12345678901234567890123, \"d\": 1, \"d\": 2,\r\n  \"llm\": { \"providers\": [ {\"name\": \"A\", \"publish\": false /* why */, \"x\": 1.0,}, ], }\r\n}\r\n";
        let after = apply(before, &publish("a", true)).unwrap();
        assert_eq!(after, before.replace("\"publish\": false", "\"publish\": true"));
        assert_eq!(apply(&after, &publish("a", false)).unwrap(), before, "and back again");
    }

    #[test]
    fn a_missing_publish_switch_is_added_and_no_other_byte_changes() {
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
    fn a_change_of_some_keys_keeps_every_other_byte_of_the_provider() {
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
    fn adding_and_removing_a_provider_keeps_the_others() {
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
    fn a_setting_is_stored_under_our_key_and_removed_again() {
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
        let message = apply(text, &publish("gwen", true)).unwrap_err().to_string();
        assert!(message.contains("gwen") && message.contains("qwen"), "{message}");
    }

    #[test]
    fn the_first_server_is_written_into_an_empty_file() {
        let text = apply("", &Edit::SetMcpdUrl("https://x".into())).unwrap();
        let parsed = crate::config::parse(&text).unwrap();
        assert_eq!(parsed.config.mcpd_url.unwrap().as_str(), "https://x/");
    }
}
