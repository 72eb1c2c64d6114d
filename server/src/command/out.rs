//! What goes to stdout, and a command's error: the only place that prints. Text that came from elsewhere cannot move a
//! terminal's cursor.

use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write as _};
use wire::names::{escape_unprintable, is_printable};

/// Prints a line, or several.
///
/// # Errors
/// Nobody can read it: the pipe is closed, the disk is full.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    put(&shown(&text))
}

/// Prints a line on stderr. Where nobody can read it, there is nothing left to be done.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", shown(&text));
}

fn shown(text: &impl Display) -> String {
    let text = text.to_string();
    text.chars().map(|c| if c == '\n' || is_printable(c) { c } else { '\u{fffd}' }).collect()
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    put(&escape_unprintable(&text))
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
