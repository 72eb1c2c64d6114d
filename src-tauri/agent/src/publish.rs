//! `publish`, `unpublish`, `share`, `unshare` and `decline`: edits of the file; the process that
//! publishes from this folder follows it. `takeover`: a request to that program.

use crate::out;
use anyhow::bail;
use registrar::config::edit::Edit;
use registrar::config::file;
use registrar::config::name_sharing::DECLINE;
use registrar::control_files::{self, ControlRequest};
use registrar::file_lock;
use registrar::home::Home;

pub(crate) fn switch(home: &Home, name: String, on: bool) -> anyhow::Result<()> {
    file::apply(home, &Edit::SetPublish { name: name.clone(), on })?;
    let word = if on { "on" } else { "off" };
    out::line(format!("{name}: publishing is {word} in {}", home.config().display()));
    if on { say_who_publishes(home) } else { Ok(()) }
}

/// Publishes a provider under another name.
pub(crate) fn publish_as(home: &Home, name: String, new: String) -> anyhow::Result<()> {
    file::apply(home, &Edit::PublishAs { name: name.clone(), new: new.clone() })?;
    out::line(format!("{name}: published as {new} in {}", home.config().display()));
    say_who_publishes(home)
}

/// Shares a provider's name, or takes that back.
pub(crate) fn share(home: &Home, name: String, with: String, on: bool) -> anyhow::Result<()> {
    file::apply(home, &Edit::ShareName { name: name.clone(), with: with.clone(), on })?;
    let who = if with == "*" { "everybody" } else { &with };
    if !on {
        out::line(format!("{name}: {who} may not publish under this name any more"));
        return Ok(());
    }
    out::line(format!(
        "{name}: {who} may publish under this name too; requests go to both machines"
    ));
    say_who_publishes(home)
}

/// Hides a user's request for a provider's name.
pub(crate) fn decline(home: &Home, name: String, user: String) -> anyhow::Result<()> {
    let edit = Edit::DeclineName { name: name.clone(), user: user.clone(), on: true };
    file::apply(home, &edit)?;
    let key = DECLINE;
    out::line(format!(
        "{name}: the request of {user} is not shown any more ({key} in config.json)"
    ));
    Ok(())
}

fn say_who_publishes(home: &Home) -> anyhow::Result<()> {
    if file_lock::try_acquire(home)?.is_some() {
        out::line(
            "Nothing publishes from this folder now: start the tray or `mcplocal-agent run`.",
        );
    }
    Ok(())
}

pub(crate) fn take_over(home: &Home) -> anyhow::Result<()> {
    if file_lock::try_acquire(home)?.is_some() {
        bail!(
            "nothing publishes from this folder now: start the tray or `mcplocal-agent run` first"
        );
    }
    control_files::send(home, &ControlRequest::TakeOver)?;
    out::line("The publishing program was asked to take the session over.");
    out::line("`mcplocal-agent status` shows how it went.");
    Ok(())
}
