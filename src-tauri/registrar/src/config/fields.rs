//! Typed access to the fields of a JSON object; collects an error for each field that is invalid.

use super::problem::FieldError;
use serde_json::{Map, Value};

/// An object whose fields are read one by one.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, errors: Vec::new() }
    }

    /// The errors found so far.
    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// True if no field read so far was invalid.
    pub(super) fn are_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// Records an error of this field.
    pub(super) fn refuse<T>(&mut self, field: &str, message: impl Into<String>) -> Option<T> {
        self.errors.push(FieldError::new(field, message));
        None
    }

    /// The whole object.
    pub(super) fn object(&self) -> Value {
        Value::Object(self.map.clone())
    }

    pub(super) fn string(&mut self, key: &str) -> Option<String> {
        let text = self.value(key)?.as_str().map(str::to_owned);
        text.or_else(|| self.refuse(key, "it must be a text"))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.value(key)?.as_bool();
        value.or_else(|| self.refuse(key, "it must be true or false"))
    }

    pub(super) fn integer(&mut self, key: &str) -> Option<u64> {
        let number = self.value(key)?.as_u64();
        number.or_else(|| self.refuse(key, "it must be a whole number"))
    }

    /// A list of at most `max` strings, each of which passes `check`.
    pub(super) fn strings(
        &mut self,
        key: &str,
        max: usize,
        check: fn(&str) -> Result<(), String>,
    ) -> Vec<String> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let list: Option<Vec<&str>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        let error = match &list {
            None => Some("it must be a list of texts, as [\"tom\"]".to_owned()),
            Some(list) if list.len() > max => {
                Some(format!("it has at most {max} entries, this one has {}", list.len()))
            }
            Some(list) => list.iter().find_map(|entry| check(entry).err()),
        };
        let list = list.unwrap_or_default().into_iter().map(str::to_owned).collect();
        match error {
            Some(message) => self.refuse(key, message).unwrap_or_default(),
            None => list,
        }
    }

    /// An object inside this one; errors of its fields are named `key.field`.
    pub(super) fn block<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&mut Fields<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let Some(map) = value.as_object() else {
            return self.refuse(key, "it must be an object");
        };
        let mut inner = Fields::new(map);
        let parsed = parse(&mut inner);
        let fields_are_valid = inner.are_valid();
        let in_block =
            |error: FieldError| FieldError { field: format!("{key}.{}", error.field), ..error };
        self.errors.extend(inner.into_errors().into_iter().map(in_block));
        match parsed {
            Ok(block) => Some(block),
            Err(message) if fields_are_valid => self.refuse(key, message),
            Err(_) => None,
        }
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }
}
