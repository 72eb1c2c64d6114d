//! `publish` and `unpublish`: edits of the file; whoever publishes from this folder follows it.

use crate::out;
use registrar::config::edit::Edit;
use registrar::config::file;
use registrar::home::Home;
use registrar::lock;

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
