//! The text of config.json as a concrete syntax tree: finds objects and sets or removes values, and
//! leaves every other byte as it is.

use super::Refusal;
use crate::config::{parse, settings};
use jsonc_parser::cst::{CstArray, CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde_json::{Map, Value, json};

/// Parses a text for editing.
///
/// # Errors
/// The text is no JSON with comments.
pub(super) fn parse_text(text: &str) -> Result<CstRootNode, Refusal> {
    CstRootNode::parse(text, &parse::options()).map_err(|error| Refusal::Broken(error.to_string()))
}

/// The object that an edit changes.
pub(super) enum Target<'a> {
    Root,
    Settings,
    /// The provider of this name.
    Provider(&'a str),
}

impl Target<'_> {
    /// Finds the object; the settings are created if they are missing.
    pub(super) fn find(&self, root: &CstRootNode) -> Result<CstObject, Refusal> {
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

/// Sets or removes (`null`) these keys one by one. The name comes last, because the provider is found
/// by it.
pub(super) fn set_all(
    text: &str,
    target: &Target<'_>,
    keys: &Map<String, Value>,
) -> Result<String, Refusal> {
    let (names, others): (Vec<_>, Vec<_>) = keys.iter().partition(|(key, _)| *key == "name");
    let mut text = text.to_owned();
    for (key, value) in others.into_iter().chain(names) {
        text = if value.is_null() {
            unset(&text, target, key)?
        } else {
            set(&text, target, key, value)?
        };
    }
    Ok(text)
}

/// Removes a key; every one of that name, because an earlier one would count again.
pub(super) fn unset(text: &str, target: &Target<'_>, key: &str) -> Result<String, Refusal> {
    let root = parse_text(text)?;
    // `find` would create the settings.
    let settings = root.object_value().and_then(|object| property(&object, settings::KEY));
    if matches!(target, Target::Settings) && settings.is_none() {
        return Ok(text.to_owned());
    }
    while let Some(property) = property(&target.find(&root)?, key) {
        property.remove();
    }
    Ok(root.to_string())
}

/// Sets one value. A new key gets a line of its own, or a place on the object's only line. An equal
/// value keeps its spelling and layout.
pub(super) fn set(
    text: &str,
    target: &Target<'_>,
    key: &str,
    value: &Value,
) -> Result<String, Refusal> {
    let root = parse_text(text)?;
    let object = target.find(&root)?;
    if let Some(property) = property(&object, key) {
        let current = property.value().and_then(|v| v.to_serde_value());
        if current.as_ref() != Some(value) {
            property.set_value(input(value));
        }
        return Ok(root.to_string());
    }
    let line = object.to_string();
    if line.contains('\n') || line.contains("/*") || object.properties().is_empty() {
        object.append(key, input(value));
        return Ok(root.to_string());
    }
    Ok(append_on_line(&root, object, &line, key, value))
}

/// Appends a key to an object on one line. The library would lay the object out anew: so the object
/// is replaced by a marker, and the marker by the object's own text with the key in it.
fn append_on_line(
    root: &CstRootNode,
    object: CstObject,
    line: &str,
    key: &str,
    value: &Value,
) -> String {
    let whole = root.to_string();
    let inside = line.strip_suffix('}').unwrap_or(line);
    let (inside, space) = inside.split_at(inside.trim_end().len());
    let comma = if inside.ends_with(',') { "" } else { "," };
    let longer = format!("{inside}{comma} {}: {value}{space}}}", json!(key));
    let mut marker = "here".to_owned();
    while whole.contains(&marker) {
        marker.push('.');
    }
    object.replace_with(CstInputValue::String(marker.clone()));
    root.to_string().replacen(&format!("\"{marker}\""), &longer, 1)
}

/// A value as the library takes it.
pub(super) fn input(value: &Value) -> CstInputValue {
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

/// The property of that name; of several the last one, which is the one that every reader takes.
pub(super) fn property(object: &CstObject, key: &str) -> Option<CstObjectProp> {
    let has_name = |property: &CstObjectProp| {
        let name = property.name().and_then(|name| name.decoded_value().ok());
        name.is_some_and(|name| name == key)
    };
    object.properties().into_iter().rfind(has_name)
}

/// The object under that key, created if there is nothing. `None`: the value is no object.
pub(super) fn object_in(object: &CstObject, key: &str) -> Option<CstObject> {
    if property(object, key).is_none() {
        object.append(key, CstInputValue::Object(Vec::new()));
    }
    property(object, key)?.value()?.as_object()
}

/// The list under that key, created if there is nothing. `None`: the value is no list.
pub(super) fn list_in(object: &CstObject, key: &str) -> Option<CstArray> {
    if property(object, key).is_none() {
        object.append(key, CstInputValue::Array(Vec::new()));
    }
    property(object, key)?.value()?.as_array()
}

/// The first provider of that name, which is the one that counts.
pub(super) fn provider(root: &CstObject, name: &str) -> Result<CstObject, Refusal> {
    let value_of = |object: &CstObject, key| property(object, key).and_then(|found| found.value());
    let llm = value_of(root, "llm").and_then(|llm| llm.as_object());
    let list = llm.and_then(|llm| value_of(&llm, "providers")?.as_array());
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
