//! `publish` and `unpublish`: edits of the file; whoever publishes from this folder follows it.
//! `takeover`: a request to that program.

use crate::out;
use anyhow::bail;
use registrar::config::edit::Edit;
use registrar::config::file;
use registrar::home::Home;
use registrar::lock;
use registrar::requests::{self, Request};

pub(crate) fn switch(home: &Home, name: String, on: bool) -> anyhow::Result<()> {
    file::apply(home, &Edit::SetPublish { name: name.clone(), on })?;
    let word = if on { "on" } else { "off" };
    out::line(format!("{name}: publishing is {word} in {}", home.config().display()));
    if on && lock::try_acquire(home)?.is_some() {
        out::line(
            "Nothing publishes from this folder now: start the tray or `mcplocal-agent run`.",
        );
    }
    Ok(())
}

pub(crate) fn take_over(home: &Home) -> anyhow::Result<()> {
    if lock::try_acquire(home)?.is_some() {
        bail!(
            "nothing publishes from this folder now: start the tray or `mcplocal-agent run` first"
        );
    }
    requests::send(home, &Request::TakeOver)?;
    out::line("The publishing program was asked to take the session over.");
    out::line("`mcplocal-agent status` shows how it went.");
    Ok(())
}
