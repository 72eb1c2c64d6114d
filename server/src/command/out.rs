//! Prints a command's output and its error. Characters that could control a terminal are replaced.

use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write as _};
use wire::names::{escape_unprintable, is_printable};

/// Prints one or more lines on stdout.
///
/// # Errors
/// Stdout cannot be written: the pipe is closed, or the disk is full.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    put(&printable(&text))
}

/// Prints a line on stderr; a failure is ignored.
pub(crate) fn error_line(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&text));
}

fn printable(text: &impl Display) -> String {
    let text = text.to_string();
    text.chars().map(|c| if c == '\n' || is_printable(c) { c } else { '\u{fffd}' }).collect()
}

/// Prints a value as JSON on stdout.
///
/// # Errors
/// As `line`.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    put(&escape_unprintable(&text))
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
