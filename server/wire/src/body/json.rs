//! Finds the top-level keys `model` and `stream` of a JSON object while its bytes arrive, and skips
//! every other value.
//!
//! It checks only what is needed to find these keys and the object's end reliably: quotes, escapes,
//! brackets and the bytes between them. Invalid numbers and words are left to the backend to refuse.
//! It refuses what a lenient backend could read differently: a key that differs from `model` or
//! `stream` in case only, a duplicate, a comment, text after the end.

mod chars;
mod nesting;
mod utf8;

use super::field::Field;
use super::{Head, Place, Scan};
use crate::limits::JSON_KEY;
use chars::{CLASSES, Class, ESCAPE, escape_after, is_space, plain, unexpected};
use nesting::Nesting;
use std::borrow::Cow;
use utf8::Utf8;

/// The context of the next byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before the object.
    #[default]
    Start,
    /// After `{`: a key or the end.
    FirstKey,
    /// After `,`: a key.
    NextKey,
    /// In a key.
    Key,
    /// Between a key and its `:`.
    Colon,
    /// Before a value.
    Value,
    /// In a number or a word.
    Word,
    /// In a string.
    Text,
    /// In an array or an object, outside of strings.
    Nested,
    /// In a string of an array or an object.
    NestedText,
    /// After a value: `,` or the end.
    AfterValue,
    /// After the object.
    End,
}

/// Reads a JSON object piece by piece; the result does not depend on where it is cut.
#[derive(Debug, Default)]
pub(super) struct JsonScanner {
    state: State,
    /// Bytes of the pieces before this one.
    offset: usize,
    utf8: Utf8,
    /// Bytes of an escape that are still to come, see [`escape_after`].
    escape: u8,
    /// The open arrays and objects of the current value.
    nesting: Nesting,
    /// The field whose value comes or is read; `None` for a value that is skipped.
    field: Option<Field>,
    /// The current key or value of a field, as written.
    text: Vec<u8>,
    has_escape: bool,
    value_starts: usize,
    model: Option<String>,
    model_place: Option<(usize, usize)>,
    stream: Option<bool>,
    after_brace: usize,
    has_keys: bool,
}

impl JsonScanner {
    /// The value of `model`, as soon as it has been read.
    #[must_use]
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// As [`super::head`].
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), String> {
        if !self.utf8.feed(piece) {
            return Err("the body is not UTF-8".into());
        }
        let mut at = 0;
        while at < piece.len() {
            at = match self.state {
                State::Key | State::Text | State::NestedText => self.in_text(piece, at)?,
                State::Nested => self.in_nested(piece, at)?,
                State::Word => self.in_word(piece, at)?,
                State::Value => self.value_begins(piece, at)?,
                State::Start
                | State::FirstKey
                | State::NextKey
                | State::Colon
                | State::AfterValue
                | State::End => {
                    self.between(piece[at], self.offset + at)?;
                    at + 1
                }
            };
        }
        self.offset += piece.len();
        Ok(())
    }

    /// Returns the result, after the last byte.
    ///
    /// # Errors
    /// As [`super::head`].
    pub(super) fn finish(self) -> Result<Scan, String> {
        if self.state == State::Start {
            return Err(NO_OBJECT.into());
        }
        if self.state != State::End {
            return Err(format!("the JSON of the body is cut off at byte {}", self.offset));
        }
        let place = match self.model_place {
            Some((start, end)) => Place::Value(start..end),
            None => Place::Absent { at: self.after_brace, is_empty: !self.has_keys },
        };
        let head = Head { model: self.model, stream: self.stream.unwrap_or(false) };
        Ok(Scan { head, model: place })
    }

    /// Reads a byte outside of keys and values.
    fn between(&mut self, byte: u8, at: usize) -> Result<(), String> {
        if is_space(byte) {
            return Ok(());
        }
        self.state = match (self.state, byte) {
            (State::Start, b'{') => {
                self.after_brace = at + 1;
                State::FirstKey
            }
            (State::Start, _) => return Err(NO_OBJECT.into()),
            (State::FirstKey | State::NextKey, b'"') => {
                self.has_keys = true;
                self.begin_text();
                State::Key
            }
            (State::Colon, b':') => State::Value,
            (State::AfterValue, b',') => State::NextKey,
            (State::FirstKey | State::AfterValue, b'}') => State::End,
            (State::End, _) => {
                return Err(format!("something follows the JSON object of the body, at byte {at}"));
            }
            _ => return Err(unexpected(at)),
        };
        Ok(())
    }

    fn begin_text(&mut self) {
        self.text.clear();
        self.text.push(b'"');
        self.has_escape = false;
    }

    /// Reads a string up to its end, and returns the position behind it.
    fn in_text(&mut self, piece: &[u8], from: usize) -> Result<usize, String> {
        let mut at = from;
        while let Some(byte) = piece.get(at) {
            if self.escape > 0 {
                self.escape =
                    escape_after(self.escape, *byte).ok_or_else(|| unexpected(self.offset + at))?;
                at += 1;
                continue;
            }
            at += plain(&piece[at..]);
            match piece.get(at) {
                None => break,
                Some(b'"') => {
                    self.store(&piece[from..=at])?;
                    self.text_ends(self.offset + at + 1)?;
                    return Ok(at + 1);
                }
                Some(_backslash) => {
                    self.has_escape = true;
                    self.escape = ESCAPE;
                    at += 1;
                }
            }
        }
        self.store(&piece[from..])?;
        Ok(piece.len())
    }

    /// Stores the text of a key or of the value of a field.
    fn store(&mut self, written: &[u8]) -> Result<(), String> {
        let is_value = matches!(self.state, State::Text | State::Word);
        if self.state != State::Key && !(is_value && self.field.is_some()) {
            return Ok(());
        }
        if self.text.len() + written.len() > JSON_KEY {
            let what = if self.state == State::Key { "a top-level key" } else { "`model`" };
            return Err(format!("{what} of the body is longer than {JSON_KEY} bytes"));
        }
        self.text.extend_from_slice(written);
        Ok(())
    }

    /// Ends a string behind its closing quote.
    fn text_ends(&mut self, end: usize) -> Result<(), String> {
        if self.state == State::Key {
            self.field = self.key()?;
            self.state = State::Colon;
        } else if self.state == State::NestedText {
            self.state = State::Nested;
        } else {
            self.state = State::AfterValue;
            if self.field == Some(Field::Model) {
                let model = serde_json::from_slice(&self.text);
                self.model = Some(model.map_err(|_| "`model` is no valid string")?);
                self.model_place = Some((self.value_starts, end));
            }
        }
        Ok(())
    }

    /// The field that the key names.
    fn key(&self) -> Result<Option<Field>, String> {
        let written = &self.text[1..self.text.len() - 1];
        let key = if self.has_escape {
            // A decoder that drops invalid escapes could read `model`.
            let read = serde_json::from_slice::<String>(&self.text);
            Cow::Owned(read.map_err(|_| "a top-level key of the body is no valid string")?)
        } else {
            String::from_utf8_lossy(written)
        };
        let Some(field) = Field::like(&key) else { return Ok(None) };
        let name = field.name();
        if key != name {
            return Err(format!(
                "the key {key:?} could be taken for `{name}`; write it in lower-case letters"
            ));
        }
        let is_duplicate = match field {
            Field::Model => self.model_place.is_some(),
            Field::Stream => self.stream.is_some(),
        };
        if is_duplicate {
            return Err(format!("the body has a duplicate key `{name}`"));
        }
        Ok(Some(field))
    }

    fn value_begins(&mut self, piece: &[u8], at: usize) -> Result<usize, String> {
        let byte = piece[at];
        if is_space(byte) {
            return Ok(at + 1);
        }
        self.value_starts = self.offset + at;
        match (byte, self.field) {
            (b'"', Some(Field::Stream)) | (b'{' | b'[', Some(_)) => {
                return Err(self.field.map_or_else(String::new, Field::wrong_type));
            }
            (b'"', _) => {
                self.begin_text();
                self.state = State::Text;
            }
            (b'{' | b'[', None) => {
                self.nesting.open(byte, self.offset + at)?;
                self.state = State::Nested;
            }
            _ if CLASSES[usize::from(byte)] == Class::Word => {
                self.text.clear();
                self.state = State::Word;
                return Ok(at);
            }
            _ => return Err(unexpected(self.offset + at)),
        }
        Ok(at + 1)
    }

    /// Reads a number or a word up to its end.
    fn in_word(&mut self, piece: &[u8], from: usize) -> Result<usize, String> {
        let is_word = |byte: &&u8| CLASSES[usize::from(**byte)] == Class::Word;
        let end = from + piece[from..].iter().take_while(is_word).count();
        self.store(&piece[from..end])?;
        if end == piece.len() {
            return Ok(end);
        }
        self.state = State::AfterValue;
        match (self.field, self.text.as_slice()) {
            (None, _) => {}
            (Some(Field::Model), b"null") => {
                self.model_place = Some((self.value_starts, self.offset + end));
            }
            (Some(Field::Stream), b"true") => self.stream = Some(true),
            (Some(Field::Stream), b"false" | b"null") => self.stream = Some(false),
            (Some(field), _) => return Err(field.wrong_type()),
        }
        Ok(end)
    }

    /// Reads an array or an object up to a string or its end.
    fn in_nested(&mut self, piece: &[u8], from: usize) -> Result<usize, String> {
        let mut at = from;
        while at < piece.len() {
            let byte = piece[at];
            match CLASSES[usize::from(byte)] {
                Class::Word | Class::Between => {}
                Class::Quote => {
                    self.state = State::NestedText;
                    return Ok(at + 1);
                }
                Class::Open => self.nesting.open(byte, self.offset + at)?,
                Class::Close => {
                    if self.nesting.close(byte, self.offset + at)? {
                        self.state = State::AfterValue;
                        return Ok(at + 1);
                    }
                }
                Class::Bad => return Err(unexpected(self.offset + at)),
            }
            at += 1;
        }
        Ok(at)
    }
}

const NO_OBJECT: &str = "the body must be a JSON object";

#[cfg(test)]
mod tests;
