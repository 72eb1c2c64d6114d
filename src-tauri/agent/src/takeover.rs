//! `takeover`: asks the publishing process to take the session over from another machine.

use anyhow::bail;
use client::terminal;
use registrar::control_files::{self, ControlRequest};
use registrar::file_lock;
use registrar::home::Home;

pub(crate) fn take_over(home: &Home) -> anyhow::Result<()> {
    if file_lock::try_acquire(home)?.is_some() {
        bail!(
            "nothing publishes from this folder now: start the tray or `mcplocal-agent run` first"
        );
    }
    control_files::send(home, &ControlRequest::TakeOver)?;
    terminal::line("The publishing program was asked to take the session over.");
    terminal::line("`mcplocal-agent status` shows the result.");
    Ok(())
}
