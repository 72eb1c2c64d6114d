//! The process that stays: it wires the registrar to the tray, starts the window when somebody wants
//! it, and says goodbye at the end. No words and no pictures here, they are [`crate::view`]'s and
//! [`crate::tray`]'s.

use crate::chores;
use crate::edits;
use crate::instance::Instance;
use crate::limits::GOODBYE_MAX;
use crate::opener::Opener;
use crate::tell;
use crate::tray::{self, Easel};
use crate::view::View;
use crate::views::Sources;
use keychain::Keychain;
use parking_lot::Mutex;
use registrar::config::Config;
use registrar::config::edit::Edit;
use registrar::config::settings::Settings;
use registrar::config_watch::Snapshot;
use registrar::home::Home;
use registrar::leader::{self, LeaderHandle};
use registrar::logging::Level;
use std::sync::Arc;
use tauri::{AppHandle, Manager};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How this process calls itself in the status.
pub(crate) const PROGRAM: &str = "mcplocal";

/// The running application, kept by Tauri for events.
pub(crate) struct App {
    /// The folder.
    pub home: Home,
    /// Shows the window.
    pub opener: Opener,
    config: watch::Receiver<Arc<Snapshot>>,
    view: watch::Receiver<View>,
    refused: watch::Sender<Option<String>>,
    no_tray: Arc<watch::Sender<Option<String>>>,
    repaint: Arc<Notify>,
    registrar: Mutex<Option<JoinHandle<()>>>,
    quit: CancellationToken,
}

/// Starts the registrar, the view, the tray, and what follows from them.
pub(crate) fn start(
    app: &AppHandle,
    home: Home,
    opener: Opener,
    level: Level,
    instance: Instance,
) -> std::io::Result<()> {
    let quit = CancellationToken::new();
    let _runtime = tauri::async_runtime::handle().inner().enter();
    let hosting = leader::run(home.clone(), Keychain::os(), PROGRAM, quit.clone());
    let LeaderHandle { status, config, task: registrar } = hosting;
    let (refused, no_tray) = (watch::Sender::new(None), Arc::new(watch::Sender::new(None)));
    let sources = Sources {
        status: status.clone(),
        config: config.clone(),
        refused: refused.subscribe(),
        no_tray: no_tray.subscribe(),
    };
    let (view, keep_view) = sources.start();
    let repaint = Arc::new(Notify::new());
    app.manage(App {
        home: home.clone(),
        opener,
        config: config.clone(),
        view: view.clone(),
        refused,
        no_tray: Arc::clone(&no_tray),
        repaint: Arc::clone(&repaint),
        registrar: Mutex::new(Some(registrar)),
        quit: quit.clone(),
    });
    let keep_file = keep_no_tray(home, no_tray.subscribe());
    let shown = app.clone();
    let follow = instance.follow(move || shown.state::<App>().opener.show(&shown, None));
    let chores = chores::keep_doing(app.clone(), status, config, level);
    let work = async { tokio::join!(keep_view, keep_file, follow, chores) };
    let until_quit = quit.clone();
    tauri::async_runtime::spawn(async move { until_quit.run_until_cancelled(work).await });
    tauri::async_runtime::spawn(quit_on_signal(app.clone(), quit));
    let easel = Easel { app: app.clone(), view, no_tray, repaint };
    std::thread::Builder::new()
        .name("tray".into())
        .spawn(move || tauri::async_runtime::block_on(tray::keep_painting(easel)))?;
    Ok(())
}

/// The window is another process: that there is no tray icon stands in a file for it.
async fn keep_no_tray(home: Home, mut no_tray: watch::Receiver<Option<String>>) {
    let file = crate::window::no_tray_file(&home);
    loop {
        let written = match no_tray.borrow_and_update().as_ref() {
            Some(why) => std::fs::write(&file, why),
            None => std::fs::remove_file(&file),
        };
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "the window cannot be told about the tray");
        }
        if no_tray.changed().await.is_err() {
            return;
        }
    }
}

/// Says goodbye to the server, then ends the process.
pub(crate) fn quit(app: &AppHandle) {
    let state = app.state::<App>();
    let Some(registrar) = state.registrar.lock().take() else { return };
    state.quit.cancel();
    state.opener.close();
    let _ = std::fs::remove_file(crate::window::no_tray_file(&state.home));
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if tokio::time::timeout(GOODBYE_MAX, registrar).await.is_err() {
            tracing::warn!("the goodbye took longer than {GOODBYE_MAX:?}; ending without it");
        }
        app.exit(0);
    });
}

/// The window is gone. Without a tray nothing would be visible; with one, who closes it for the first
/// time is told that publishing goes on.
pub(crate) fn window_closed(app: &AppHandle) {
    let state = app.state::<App>();
    if state.no_tray.borrow().is_some() {
        quit(app);
        return;
    }
    let told = state.home.tray_told();
    if !state.quit.is_cancelled() && !told.exists() && std::fs::write(told, "").is_ok() {
        chores::notify(app, &tell::still_there());
    }
}

impl App {
    /// What the file asks for.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow().config)
    }

    /// What a person chose.
    pub(crate) fn settings(&self) -> Settings {
        self.config.borrow().config.settings.clone()
    }

    /// What is shown now.
    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Edits the file for a click, as `decide` finds right for what it says at that moment. The reason
    /// of a refusal is in the view; the menu only has to forget its own check mark.
    pub(crate) async fn click(&self, decide: impl FnOnce(&Config) -> Edit + Send + 'static) {
        let refused = edits::edit_decided(&self.home, self.config(), decide).await.err();
        if refused.is_some() {
            self.repaint.notify_one();
        }
        self.refused.send_replace(refused);
    }
}

/// The end of the session or Ctrl-C is a quit like the menu's.
async fn quit_on_signal(app: AppHandle, quitting: CancellationToken) {
    if let Some(Ok(())) = quitting.run_until_cancelled(signal()).await {
        quit(&app);
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
