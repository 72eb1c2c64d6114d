//! Starts, shows and ends the window process, from the tray process.
//!
//! The window is a process of its own: all of its memory is freed when it closes, and a crash in it
//! does not end publishing.

use crate::events::{Event, EventSender};
use crate::handoff::Handoff;
use crate::program;
use crate::route::Route;
use std::process::Stdio;
use tokio::process::Command;
use tokio::sync::oneshot;

/// The window process, if one runs.
pub(crate) struct WindowProcess {
    handoff: Handoff,
    events: EventSender,
    /// [`program::GDK_GL`] was set by this program and not by the person: the window needs it unset.
    without_gl: bool,
    /// Ends the process when it is dropped.
    running: Option<oneshot::Sender<()>>,
}

impl WindowProcess {
    /// No window yet.
    pub(crate) fn new(handoff: Handoff, events: EventSender, without_gl: bool) -> Self {
        Self { handoff, events, without_gl, running: None }
    }

    /// Brings the window to the front, on this page if one is given; starts it if there is none. Its
    /// end is reported as [`Event::WindowClosed`].
    pub(crate) fn show(&mut self, route: Option<Route>) {
        if self.running.is_some() {
            self.handoff.request_window(route.as_ref());
            return;
        }
        let (end, ended) = oneshot::channel();
        self.running = Some(end);
        let (events, without_gl) = (self.events.clone(), self.without_gl);
        tokio::spawn(async move {
            if let Err(error) = run(route, without_gl, ended).await {
                tracing::warn!(%error, "the window could not be shown: {error}");
            }
            events.deliver(Event::WindowClosed).await;
        });
    }

    /// Notes that the process has ended, and shows a new window if one was requested meanwhile.
    /// True if there is no window now.
    pub(crate) fn closed(&mut self) -> bool {
        self.running = None;
        match self.handoff.take_window_request() {
            Some(route) => {
                self.show(route);
                false
            }
            None => true,
        }
    }

    /// Ends the process.
    pub(crate) fn end(&mut self) {
        self.running = None;
    }
}

async fn run(
    route: Option<Route>,
    without_gl: bool,
    ended: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(program::WINDOW).stdin(Stdio::null()).kill_on_drop(true);
    if without_gl {
        command.env_remove(program::GDK_GL);
    }
    if let Some(route) = route {
        command.arg(route.text());
    }
    let mut window = command.spawn()?;
    tokio::select! {
        status = window.wait() => {
            let status = status?;
            tracing::debug!(%status, "the window is closed");
        }
        _ = ended => window.kill().await?,
    }
    Ok(())
}
