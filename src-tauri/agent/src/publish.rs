//! `publish` and `unpublish`: edit config.json. The publishing process picks the change up.

use client::terminal;
use registrar::config::edit::Edit;
use registrar::config::file;
use registrar::file_lock;
use registrar::home::Home;

/// Switches a provider's publishing on or off.
pub(crate) fn publish(home: &Home, name: String, on: bool) -> anyhow::Result<()> {
    file::apply(home, &Edit::SetPublish { name: name.clone(), on })?;
    let state = if on { "on" } else { "off" };
    terminal::line(format_args!("{name}: publishing is {state} in {}", home.config().display()));
    if on { warn_if_nothing_publishes(home) } else { Ok(()) }
}

/// Publishes a provider under another name.
pub(crate) fn publish_as(home: &Home, name: String, new: String) -> anyhow::Result<()> {
    file::apply(home, &Edit::PublishAs { name: name.clone(), new: new.clone() })?;
    terminal::line(format_args!("{name}: published as {new} in {}", home.config().display()));
    warn_if_nothing_publishes(home)
}

/// Prints a hint if no process publishes from this folder.
pub(crate) fn warn_if_nothing_publishes(home: &Home) -> anyhow::Result<()> {
    if file_lock::try_acquire(home)?.is_some() {
        terminal::line(
            "Nothing publishes from this folder now: start the tray or `mcplocal-agent run`.",
        );
    }
    Ok(())
}
