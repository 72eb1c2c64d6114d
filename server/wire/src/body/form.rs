//! Finds the parts `model` and `stream` of a form (`multipart/form-data`) while its bytes arrive, and
//! skips the content of every other part.
//!
//! It refuses what a lenient decoder could read differently: text before the first boundary or after
//! the last one, a boundary that is not between two parts, a part whose name is ambiguous.

mod boundary_search;
mod part_header;

use super::field::Field;
use super::format::Boundary;
use super::{Head, Place, Scan};
use crate::limits::{FORM_FIELD, FORM_HEADER, FORM_PARTS};
use boundary_search::BoundarySearch;
use memchr::memmem;
use std::ops::Range;

/// The context of the next byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the first boundary.
    Start,
    /// Behind a boundary.
    AfterBoundary,
    /// In the headers of a part.
    Header,
    /// In the content of a part.
    Content,
    /// After the last boundary.
    End,
}

/// Reads a form piece by piece; the result does not depend on where it is cut.
#[derive(Debug)]
pub(super) struct FormScanner {
    state: State,
    /// Bytes of the pieces before this one.
    offset: usize,
    search: BoundarySearch,
    /// What follows a boundary, the headers of a part, or the content of a field.
    text: Vec<u8>,
    parts: usize,
    /// The field whose content is read; `None` for content that is skipped.
    field: Option<Field>,
    content_starts: usize,
    model: Option<String>,
    model_place: Option<Range<usize>>,
    stream: Option<bool>,
}

impl FormScanner {
    /// Begins a form with this boundary.
    #[must_use]
    pub(super) fn new(boundary: &Boundary) -> Self {
        Self {
            state: State::Start,
            offset: 0,
            search: BoundarySearch::new(boundary.line()),
            text: Vec::new(),
            parts: 0,
            field: None,
            content_starts: 0,
            model: None,
            model_place: None,
            stream: None,
        }
    }

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
        let mut at = 0;
        while at < piece.len() {
            if self.state == State::Content {
                at = self.in_content(piece, at)?;
            } else {
                self.between(piece[at], self.offset + at)?;
                at += 1;
            }
        }
        self.offset += piece.len();
        Ok(())
    }

    /// Returns the result, after the last byte.
    ///
    /// # Errors
    /// As [`super::head`].
    pub(super) fn finish(self) -> Result<Scan, String> {
        if self.state != State::End || self.text == b"\r" {
            return Err(format!("the form of the body is cut off at byte {}", self.offset));
        }
        let head = Head { model: self.model, stream: self.stream.unwrap_or(false) };
        Ok(Scan { head, model: self.model_place.map_or(Place::NoPart, Place::Value) })
    }

    /// Reads a byte outside of the parts' content.
    fn between(&mut self, byte: u8, at: usize) -> Result<(), String> {
        match self.state {
            State::Start => {
                if byte != self.search.line()[at] {
                    return Err(
                        "the form must begin with the boundary of its `content-type`".into()
                    );
                }
                if at + 1 == self.search.line().len() {
                    self.begin(State::AfterBoundary);
                }
            }
            State::AfterBoundary => {
                self.text.push(byte);
                match self.text.as_slice() {
                    b"\r\n" => self.part_begins()?,
                    b"--" => self.begin(State::End),
                    b"\r" | b"-" => {}
                    _ => return Err(misplaced(at)),
                }
            }
            State::Header => {
                self.text.push(byte);
                if self.text.len() > FORM_HEADER {
                    return Err(format!(
                        "the headers of a part of the form are longer than {FORM_HEADER} bytes"
                    ));
                }
                if self.text == b"\r\n" || self.text.ends_with(b"\r\n\r\n") {
                    self.content_begins(at + 1)?;
                }
            }
            State::Content | State::End => {
                self.text.push(byte);
                if !b"\r\n".starts_with(&self.text) {
                    return Err(format!("something follows the form of the body, at byte {at}"));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, state: State) {
        self.text.clear();
        self.state = state;
    }

    fn part_begins(&mut self) -> Result<(), String> {
        self.parts += 1;
        if self.parts > FORM_PARTS {
            return Err(format!("the form has more than {FORM_PARTS} parts"));
        }
        self.begin(State::Header);
        Ok(())
    }

    /// Takes the headers of a part, with the empty line behind them.
    fn content_begins(&mut self, at: usize) -> Result<(), String> {
        if memmem::find(&self.text, self.search.line()).is_some() {
            return Err(misplaced(at));
        }
        self.field = part_header::field(&self.text[..self.text.len() - 2])?;
        let is_duplicate = match self.field {
            Some(Field::Model) => self.model.is_some(),
            Some(Field::Stream) => self.stream.is_some(),
            None => false,
        };
        if let Some(field) = self.field.filter(|_| is_duplicate) {
            return Err(format!("the form has a duplicate part `{}`", field.name()));
        }
        self.content_starts = at;
        self.search.begin();
        self.begin(State::Content);
        Ok(())
    }

    /// Reads content up to the end of the next boundary, and returns the position behind it.
    fn in_content(&mut self, piece: &[u8], from: usize) -> Result<usize, String> {
        let found = self.search.feed(&piece[from..]);
        let end = found.as_ref().map_or(piece.len(), |found| from + found.end);
        let line = self.search.line().len();
        if let Some(field) = self.field {
            if self.text.len() + end - from > FORM_FIELD + 2 + line {
                return Err(too_long(field));
            }
            self.text.extend_from_slice(&piece[from..end]);
        }
        if let Some(found) = found {
            let begins = self.offset + end - line;
            if !found.follows_line_break {
                return Err(misplaced(begins));
            }
            self.content_ends(self.content_starts..begins - 2)?;
            self.begin(State::AfterBoundary);
        }
        Ok(end)
    }

    /// Takes the content of a part, which stands in this range.
    fn content_ends(&mut self, place: Range<usize>) -> Result<(), String> {
        let Some(field) = self.field else { return Ok(()) };
        if place.len() > FORM_FIELD {
            return Err(too_long(field));
        }
        let value = std::str::from_utf8(&self.text[..place.len()]);
        let value = value.map_err(|_| format!("`{}` of the form is not UTF-8", field.name()))?;
        match field {
            Field::Model => {
                self.model = Some(value.to_owned());
                self.model_place = Some(place);
            }
            Field::Stream => {
                self.stream = Some(match value.to_ascii_lowercase().as_str() {
                    "true" | "1" => true,
                    "false" | "0" | "" => false,
                    _ => return Err(field.wrong_type()),
                });
            }
        }
        Ok(())
    }
}

fn misplaced(at: usize) -> String {
    format!("the boundary of the form stands inside of a part, at byte {at}; choose another one")
}

fn too_long(field: Field) -> String {
    format!("`{}` of the form is longer than {FORM_FIELD} bytes", field.name())
}

#[cfg(test)]
mod tests;
