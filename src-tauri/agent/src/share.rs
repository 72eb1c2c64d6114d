//! `share`, `unshare` and `decline`: decide in config.json who else may publish under a provider's
//! name. The publishing process picks the change up.

use crate::publish::warn_if_nothing_publishes;
use client::terminal;
use registrar::config::edit::Edit;
use registrar::config::file;
use registrar::config::name_sharing::DECLINE;
use registrar::home::Home;

/// Shares a provider's name with a user or group, or stops sharing it.
pub(crate) fn share(home: &Home, name: String, with: String, on: bool) -> anyhow::Result<()> {
    file::apply(home, &Edit::ShareName { name: name.clone(), with: with.clone(), on })?;
    let who = if with == "*" { "everybody" } else { &with };
    if !on {
        terminal::line(format_args!("{name}: {who} may no longer publish under this name"));
        return Ok(());
    }
    terminal::line(format_args!(
        "{name}: {who} may publish under this name too; requests go to both machines"
    ));
    warn_if_nothing_publishes(home)
}

/// Hides a user's request for a provider's name.
pub(crate) fn decline(home: &Home, name: String, user: String) -> anyhow::Result<()> {
    let edit = Edit::DeclineName { name: name.clone(), user: user.clone(), on: true };
    file::apply(home, &edit)?;
    terminal::line(format_args!(
        "{name}: the request of {user} is no longer shown ({DECLINE} in config.json)"
    ));
    Ok(())
}
