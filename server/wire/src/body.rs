//! Reads `model` and `stream` of a request body, a JSON object or a form, and rewrites `model`.
//!
//! All other bytes pass unread, so that parameters of newer backends arrive unchanged.

mod field;
mod form;
mod format;
mod json;
mod parameters;

pub use format::{Boundary, Format};

use bytes::{Bytes, BytesMut};
use form::FormScanner;
use json::JsonScanner;
use std::ops::Range;

/// The top-level fields of a request body that the relay needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `model`, if it is present and not null.
    pub model: Option<String>,
    /// `stream`, false when it is absent or null.
    pub stream: bool,
}

/// The result of a [`Scanner`] for a whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The fields.
    pub head: Head,
    /// The position of the value of `model`, or where one can be inserted.
    pub model: Place,
}

/// A position in a body, in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The value's range.
    Value(Range<usize>),
    /// The JSON object has no `model`.
    Absent {
        /// The position behind the `{` of the body.
        at: usize,
        /// The body has no key at all.
        is_empty: bool,
    },
    /// The form has no part `model`.
    NoPart,
}

/// Reads a body piece by piece; the result does not depend on where it is cut.
#[derive(Debug)]
pub struct Scanner(Syntax);

#[derive(Debug)]
enum Syntax {
    Json(JsonScanner),
    Form(FormScanner),
}

impl Scanner {
    /// Begins a body of this format.
    #[must_use]
    pub fn new(format: &Format) -> Self {
        Self(match format {
            Format::Json => Syntax::Json(JsonScanner::default()),
            Format::Form(boundary) => Syntax::Form(FormScanner::new(boundary)),
        })
    }

    /// The value of `model`, as soon as it has been read.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match &self.0 {
            Syntax::Json(json) => json.model(),
            Syntax::Form(form) => form.model(),
        }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// As [`head`].
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), String> {
        match &mut self.0 {
            Syntax::Json(json) => json.feed(piece),
            Syntax::Form(form) => form.feed(piece),
        }
    }

    /// Returns the result, after the last byte.
    ///
    /// # Errors
    /// As [`head`].
    pub fn finish(self) -> Result<Scan, String> {
        match self.0 {
            Syntax::Json(json) => json.finish(),
            Syntax::Form(form) => form.finish(),
        }
    }
}

/// Reads [`Head`] out of a request body.
///
/// # Errors
/// The body is not one JSON object in UTF-8 or not one form, `model` is no string, `stream` is no
/// boolean, or one of them is given twice or in another spelling. The sentence is for the caller.
pub fn head(format: &Format, body: &[u8]) -> Result<Head, String> {
    scan(format, body).map(|scan| scan.head)
}

/// The same body with the value of `model` replaced, or added in front when a JSON object had none.
/// Every other byte stays as it is.
///
/// # Errors
/// As [`head`]; the form has no part `model`, or its boundary is a part of the new value.
pub fn with_model(format: &Format, body: &Bytes, model: &str) -> Result<Bytes, String> {
    let value = match format {
        Format::Json => serde_json::to_string(model).map_err(|e| e.to_string())?,
        Format::Form(boundary) if boundary.is_in(model) => {
            return Err("the boundary of the form is a part of the model's id".into());
        }
        Format::Form(_) => model.to_owned(),
    };
    let (at, insert) = match scan(format, body)?.model {
        Place::Value(at) => (at, value),
        Place::Absent { at, is_empty } => {
            (at..at, format!("\"model\":{value}{}", if is_empty { "" } else { "," }))
        }
        Place::NoPart => return Err("the form has no part `model`".into()),
    };
    let mut out = BytesMut::with_capacity(body.len() + insert.len());
    out.extend_from_slice(&body[..at.start]);
    out.extend_from_slice(insert.as_bytes());
    out.extend_from_slice(&body[at.end..]);
    Ok(out.freeze())
}

fn scan(format: &Format, body: &[u8]) -> Result<Scan, String> {
    let mut scanner = Scanner::new(format);
    scanner.feed(body)?;
    scanner.finish()
}
