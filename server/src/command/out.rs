//! What goes to stdout: the only place that prints. Text that came from elsewhere cannot move a
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
    let text = text.to_string();
    let shown: String =
        text.chars().map(|c| if c == '\n' || is_printable(c) { c } else { '\u{fffd}' }).collect();
    put(&shown)
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
