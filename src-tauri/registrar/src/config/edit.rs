//! Changes of the file's text that leave everything else as it was: unknown keys, order, comments,
//! layout, line ends, byte order mark, the spelling of numbers.

use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};

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
    match edit {
        Edit::SetMcpdUrl(url) => set(&object, "mcpdUrl", CstInputValue::String(url.clone())),
        Edit::SetPublish { name, on } => {
            let provider = provider(&object, name)?;
            set(&provider, "publish", CstInputValue::Bool(*on));
        }
    }
    Ok(format!("{mark}{root}"))
}

fn set(object: &CstObject, key: &str, value: CstInputValue) {
    match object.get(key) {
        Some(property) => property.set_value(value),
        None => drop(object.append(key, value)),
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
    fn a_missing_switch_is_added_to_its_provider_only() {
        let before = "{\"z\": 1e400, \"llm\": {\"providers\": [\n  {\"name\": \"a\"},\n  {\"name\": \"b\"}\n]}}";
        let after = apply(before, &publish("b", true)).unwrap();
        assert!(
            after.starts_with("{\"z\": 1e400, \"llm\": {\"providers\": [\n  {\"name\": \"a\"},\n")
        );
        let parsed = crate::config::parse(&after.replace("1e400", "1")).unwrap();
        assert_eq!(parsed.config.providers.len(), 0, "no url: both are left out, none is lost");
        assert!(after.contains("\"publish\": true"), "{after}");
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
