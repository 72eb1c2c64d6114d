//! Edits of a provider's name, and of the users who may serve that name too.

use super::Refusal;
use super::document::{Target, input, parse_text, property, provider, set, set_all, unset};
use super::providers::refuse_taken_name;
use crate::config::name_sharing::{self, DECLINE, SHARE};
use jsonc_parser::cst::CstNode;
use serde_json::{Map, Value, json};

/// Renames a provider as a person would do it by hand. If it has no model of its own, the old name
/// becomes the model, because that is what its backend gets today.
pub(super) fn publish_as(text: &str, name: &str, new: &str) -> Result<String, Refusal> {
    let new = wire::names::normalise(new).map_err(|why| Refusal::Value("name", why))?;
    let root = parse_text(text)?;
    let object = provider(&Target::Root.find(&root)?, name)?;
    let value = |key| property(&object, key)?.value()?.to_serde_value().filter(|v| !v.is_null());
    let old = name.to_ascii_lowercase();
    let mut keys: Map<String, Value> =
        [("name".to_owned(), json!(new)), ("publish".to_owned(), json!(true))]
            .into_iter()
            .collect();
    if value("model").is_none() && new != old {
        keys.insert("model".into(), json!(old));
    }
    // A pool of the same name is as taken as the name.
    let pool = value("pool").and_then(|pool| Some(pool.as_str()?.to_ascii_lowercase()));
    if pool.is_some_and(|pool| pool == old && pool != new) {
        keys.insert("pool".into(), Value::Null);
    }
    refuse_taken_name(text, name, &keys)?;
    set_all(text, &Target::Provider(name), &keys)
}

/// Adds or removes an entry of `shareName`. An added user is not declined any more.
pub(super) fn share(text: &str, name: &str, with: &str, on: bool) -> Result<String, Refusal> {
    if !on {
        return set_entry(text, name, SHARE, with, false);
    }
    name_sharing::check_share(with).map_err(|why| Refusal::Value(SHARE, why))?;
    let text = set_entry(text, name, SHARE, with, true)?;
    set_entry(&text, name, DECLINE, with, false)
}

/// Adds or removes an entry of `declineName`.
pub(super) fn decline(text: &str, name: &str, user: &str, on: bool) -> Result<String, Refusal> {
    if on {
        name_sharing::check_user(user).map_err(|why| Refusal::Value(DECLINE, why))?;
    }
    set_entry(text, name, DECLINE, user, on)
}

/// Adds or removes an entry of a provider's list; an empty list is removed.
fn set_entry(
    text: &str,
    name: &str,
    key: &'static str,
    entry: &str,
    on: bool,
) -> Result<String, Refusal> {
    let root = parse_text(text)?;
    let object = provider(&Target::Root.find(&root)?, name)?;
    let target = Target::Provider(name);
    let value = property(&object, key).and_then(|found| found.value());
    let Some(value) = value.filter(|value| value.as_null_keyword().is_none()) else {
        return if on { set(text, &target, key, &json!([entry])) } else { Ok(text.to_owned()) };
    };
    let list = value
        .as_array()
        .ok_or_else(|| Refusal::Value(key, "it must be a list; mend it by hand first".into()))?;
    let entries = list.elements();
    // The server compares without case, too.
    let is_entry = |node: &&CstNode| {
        let value = node.to_serde_value();
        value.as_ref().and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case(entry))
    };
    let found: Vec<CstNode> = entries.iter().filter(is_entry).cloned().collect();
    match (on, found.len()) {
        (true, 0) => {
            name_sharing::check_room(entries.len()).map_err(|why| Refusal::Value(key, why))?;
            list.append(input(&json!(entry)));
        }
        (true, _) | (false, 0) => {}
        (false, all) if all == entries.len() => return unset(text, &target, key),
        (false, _) => found.into_iter().for_each(CstNode::remove),
    }
    Ok(root.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Edit, Refusal, apply};

    fn shared(name: &str, with: &str, on: bool) -> Edit {
        Edit::ShareName { name: name.into(), with: with.into(), on }
    }

    fn declined(name: &str, user: &str, on: bool) -> Edit {
        Edit::DeclineName { name: name.into(), user: user.into(), on }
    }

    fn publish_as(name: &str, new: &str) -> Edit {
        Edit::PublishAs { name: name.into(), new: new.into() }
    }

    const BEFORE: &str = r#"{ // mine
  "llm": { "providers": [
    { "name": "Qwen", "n": 1E3, "url": "http://h:1" /* why */ },
    { "name": "other", "url": "http://h:2", "shareName": ["ann", "group:lab"] }
  ] }
}
"#;

    #[test]
    fn sharing_a_name_and_taking_it_back_keeps_every_other_byte() {
        let with_tom = apply(BEFORE, &shared("qwen", "tom", true)).unwrap();
        assert!(with_tom.contains(r#""shareName": ["tom"]"#), "{with_tom}");
        assert!(with_tom.contains("/* why */") && with_tom.contains("1E3"), "{with_tom}");
        assert_eq!(apply(&with_tom, &shared("QWEN", "Tom", true)).unwrap(), with_tom, "once");
        let back = apply(&with_tom, &shared("qwen", "tom", false)).unwrap();
        assert!(!back.contains("shareName\": [\"tom"), "{back}");
        let more = apply(BEFORE, &shared("other", "tom", true)).unwrap();
        assert_eq!(more, BEFORE.replace(r#""group:lab"]"#, r#""group:lab", "tom"]"#));
        let less = apply(&more, &shared("other", "ann", false)).unwrap();
        assert_eq!(less.replace("[ ", "["), more.replace(r#""ann", "#, ""));
        assert_eq!(apply(BEFORE, &shared("other", "nobody", false)).unwrap(), BEFORE);
    }

    #[test]
    fn sharing_a_name_with_a_user_ends_the_decline() {
        let declined_tom = apply(BEFORE, &declined("qwen", "tom", true)).unwrap();
        assert!(declined_tom.contains(r#""declineName": ["tom"]"#), "{declined_tom}");
        let allowed = apply(&declined_tom, &shared("qwen", "tom", true)).unwrap();
        let config = crate::config::parse(&allowed).unwrap().config;
        let qwen = config.provider("qwen").unwrap();
        assert!(qwen.share_name == ["tom"] && qwen.decline_name.is_empty(), "{allowed}");
    }

    #[test]
    fn an_invalid_entry_of_a_list_is_refused_with_its_cause() {
        for (edit, word) in [
            (shared("qwen", "group:", true), "group must have a name"),
            (shared("qwen", "a\nb", true), "character"),
            (declined("qwen", "*", true), "more than one user"),
            (shared("nothing", "tom", true), "no provider nothing"),
            (publish_as("qwen", "a b"), "letters, digits"),
        ] {
            let message = apply(BEFORE, &edit).unwrap_err().to_string();
            assert!(message.contains(word), "{edit:?}: {message}");
        }
        let no_list = BEFORE.replace(r#"["ann", "group:lab"]"#, "7");
        let message = apply(&no_list, &shared("other", "tom", true)).unwrap_err();
        assert!(matches!(message, Refusal::Value("shareName", _)), "{message:?}");
        let many: Vec<String> = (0..64).map(|n| format!("\"u{n}\"")).collect();
        let full = BEFORE.replace(r#"["ann", "group:lab"]"#, &format!("[{}]", many.join(",")));
        let message = apply(&full, &shared("other", "tom", true)).unwrap_err().to_string();
        assert!(message.contains("at most 64"), "{message}");
    }

    #[test]
    fn a_model_under_another_name_keeps_the_model_of_its_backend() {
        let backend_model = |text: &str, name: &str| {
            let config = crate::config::parse(text).unwrap().config;
            let provider = config.provider(name).unwrap();
            assert!(provider.publish, "{text}");
            crate::provider::model(provider).to_owned()
        };
        let after = apply(BEFORE, &publish_as("qwen", "Qwen-Tom")).unwrap();
        assert_eq!(backend_model(&after, "qwen-tom"), "qwen");
        assert!(after.contains("1E3") && after.contains("/* why */"), "{after}");
        let with_model = BEFORE.replace(r#""n": 1E3"#, r#""model": "q4.gguf""#);
        let after = apply(&with_model, &publish_as("QWEN", "qwen-tom")).unwrap();
        assert_eq!(backend_model(&after, "qwen-tom"), "q4.gguf");
        let taken = apply(BEFORE, &publish_as("qwen", "OTHER")).unwrap_err();
        assert_eq!(taken, Refusal::NameTaken("other".into()));
        let in_pool = BEFORE.replace(r#""n": 1E3"#, r#""pool": "QWEN""#);
        let after = apply(&in_pool, &publish_as("qwen", "qwen-tom")).unwrap();
        assert!(!after.contains("pool"), "a pool of the taken name is taken too: {after}");
    }
}
