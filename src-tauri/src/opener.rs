//! Shows the window, from the process that stays: the window is a process of its own, so that all of
//! its memory goes when it is closed, and nothing that happens to it ends the publishing.

use crate::app::{self, App};
use crate::page::Place;
use crate::window;
use parking_lot::Mutex;
use registrar::home::Home;
use std::process::Stdio;
use tauri::{AppHandle, Manager};
use tokio::process::Command;
use tokio::sync::oneshot;

/// The variable by which GTK is told to do without a graphics driver.
pub(crate) const GL: &str = "GDK_GL";

/// The window's process, if there is one.
pub(crate) struct Opener {
    home: Home,
    /// [`GL`] was set for this process, and not by the person.
    without_gl: bool,
    /// Ends it.
    running: Mutex<Option<oneshot::Sender<()>>>,
}

impl Opener {
    /// None yet.
    pub(crate) fn new(home: Home, without_gl: bool) -> Self {
        Self { home, without_gl, running: Mutex::default() }
    }

    /// Brings the window to the front, at this place if one is meant; starts it if there is none.
    pub(crate) fn show(&self, app: &AppHandle, place: Option<Place>) {
        let mut running = self.running.lock();
        if running.as_ref().is_some_and(|end| !end.is_closed()) {
            window::ask(&self.home, place.as_ref());
            return;
        }
        let (end, ended) = oneshot::channel();
        *running = Some(end);
        let (app, without_gl) = (app.clone(), self.without_gl);
        tauri::async_runtime::spawn(async move {
            if let Err(error) = run(place, without_gl, ended).await {
                tracing::warn!(%error, "the window could not be shown: {error}");
            }
            // Whoever asked while it was closing means another one.
            match window::take_wish(&app.state::<App>().home) {
                Some(place) => app.state::<App>().opener.show(&app, place),
                None => app::window_closed(&app),
            }
        });
    }

    /// Closes the window.
    pub(crate) fn close(&self) {
        self.running.lock().take();
    }
}

async fn run(
    place: Option<Place>,
    without_gl: bool,
    ended: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(window::ARGUMENT).stdin(Stdio::null()).kill_on_drop(true);
    if without_gl {
        command.env_remove(GL);
    }
    if let Some(place) = place {
        command.arg(place.text());
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
