//! The tray process: runs the registrar, shows what it reports, handles every [`Event`] in one place
//! and withdraws the published models at the end.

use crate::background;
use crate::config_edits;
use crate::events::{Event, EventSender};
use crate::handoff::Handoff;
use crate::i18n::tr;
use crate::limits::WITHDRAW_MAX;
use crate::menu::action::Action;
use crate::notifications;
use crate::pause::{self, Pause};
use crate::program;
use crate::route::{Page, Route};
use crate::single_instance::Instance;
use crate::tray::{self, TrayContext};
use crate::view::View;
use crate::view_feed::Sources;
use crate::window_process::WindowProcess;
use jiff::Zoned;
use keychain::Keychain;
use registrar::config::Config;
use registrar::config::edit::Edit;
use registrar::config_watch::Snapshot;
use registrar::home::Home;
use registrar::leader::{self, LeaderHandle};
use registrar::logging::Level;
use registrar::publish_gate::{self, HoldReason};
use std::sync::Arc;
use tauri::AppHandle;
use tauri_plugin_clipboard_manager::ClipboardExt as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Everything that [`start`] needs.
pub(crate) struct Startup {
    /// The folder.
    pub home: Home,
    /// Sends to `inbox`.
    pub events: EventSender,
    /// The supervisor's inbox.
    pub inbox: mpsc::Receiver<Event>,
    /// The log's level, which follows the settings.
    pub level: Level,
    /// Keeps other tray processes out of the folder.
    pub instance: Instance,
    /// This process runs without a graphics driver; see [`program::GDK_GL`].
    pub without_gl: bool,
    /// The desktop started the program at login.
    pub at_login: bool,
}

/// Owns the state that events change.
struct Supervisor {
    app: AppHandle,
    home: Home,
    handoff: Handoff,
    inbox: mpsc::Receiver<Event>,
    window: WindowProcess,
    config: watch::Receiver<Arc<Snapshot>>,
    view: watch::Receiver<View>,
    /// Why the last click's edit was refused.
    refused: watch::Sender<Option<String>>,
    /// Why there is no tray icon.
    no_tray: watch::Sender<Option<String>>,
    repaint: Arc<Notify>,
    /// Edits of config.json that clicks have started.
    edits: JoinSet<()>,
    registrar: JoinHandle<()>,
    quit: CancellationToken,
}

/// Starts the registrar, the tray, the background work and the supervisor.
///
/// # Errors
/// The tray's thread cannot be started.
pub(crate) fn start(app: &AppHandle, startup: Startup) -> std::io::Result<()> {
    let Startup { home, events, inbox, level, instance, without_gl, at_login } = startup;
    let quit = CancellationToken::new();
    let _runtime = tauri::async_runtime::handle().inner().enter();
    let leader = leader::run(home.clone(), Keychain::os(), program::NAME, quit.clone());
    let LeaderHandle { status, config, task: registrar } = leader;
    let (refused, no_tray) = (watch::Sender::new(None), watch::Sender::new(None));
    let sources = Sources {
        status: status.clone(),
        config: config.clone(),
        refused: refused.subscribe(),
        no_tray: no_tray.subscribe(),
    };
    let (view, feed) = sources.start();
    let second_starts = instance.watch_second_starts(events.clone());
    let background = background::run(app.clone(), events.clone(), status, config.clone(), level);
    let work = async { tokio::join!(feed, second_starts, background) };
    let until_quit = quit.clone();
    tauri::async_runtime::spawn(async move { until_quit.run_until_cancelled(work).await });

    let repaint = Arc::new(Notify::new());
    let tray = TrayContext {
        app: app.clone(),
        events: events.clone(),
        view: view.clone(),
        repaint: Arc::clone(&repaint),
    };
    std::thread::Builder::new()
        .name("tray".into())
        .spawn(move || tauri::async_runtime::block_on(tray::run(tray)))?;

    let handoff = Handoff::new(&home);
    handoff.set_tray_missing(None);
    let mut window = WindowProcess::new(handoff.clone(), events, without_gl);
    if !(at_login && config.borrow().config.settings.start_hidden) {
        window.show(None);
    }
    let (app, edits) = (app.clone(), JoinSet::new());
    let supervisor = Supervisor {
        app,
        home,
        handoff,
        inbox,
        window,
        config,
        view,
        refused,
        no_tray,
        repaint,
        edits,
        registrar,
        quit,
    };
    tauri::async_runtime::spawn(supervisor.run());
    Ok(())
}

impl Supervisor {
    /// Handles events until the program is to end, then withdraws and exits.
    async fn run(mut self) {
        let mut signal = std::pin::pin!(termination_signal());
        loop {
            let event = tokio::select! {
                event = self.inbox.recv() => event,
                // The end of the session or Ctrl-C is a quit like the menu's.
                () = &mut signal => None,
            };
            let Some(event) = event else { break };
            if !self.handle(event) {
                break;
            }
            while self.edits.try_join_next().is_some() {}
        }
        self.quit().await;
    }

    /// Handles one event; false if it ends the program.
    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Show(route) => self.window.show(route),
            Event::Clicked(action) => return self.click(action),
            Event::TrayShown => self.set_no_tray(None),
            Event::TrayMissing => {
                self.set_no_tray(Some(tr("notice.noTray")));
                self.window.show(None);
            }
            Event::WindowClosed => return !self.window.closed() || self.stay_without_window(),
        }
        true
    }

    fn set_no_tray(&self, reason: Option<String>) {
        self.handoff.set_tray_missing(reason.as_deref());
        self.no_tray.send_replace(reason);
    }

    /// Decides what the end of the window means: without a tray icon nothing would be visible, so the
    /// program ends (false). With one it goes on, and says so the first time.
    fn stay_without_window(&self) -> bool {
        if self.no_tray.borrow().is_some() {
            return false;
        }
        if self.handoff.first_close() {
            notifications::show(&self.app, &notifications::still_running());
        }
        true
    }

    /// Performs the action of a menu line; false if it ends the program.
    fn click(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => return false,
            Action::OpenSettings => self.window.show(None),
            Action::OpenActivity => self.window.show(Some(Page::Activity.into())),
            Action::OpenModels => self.window.show(Some(Page::Models.into())),
            Action::OpenModel(name) => self.window.show(Some(Route::to_model(name))),
            Action::CopyUrl => self.copy_url(),
            Action::TogglePublishing => self.edit(toggle_pause),
            Action::Pause(pause) => self.edit(move |_| pause::edit(Some(pause))),
            Action::TogglePublish(name) => self.edit(|config| {
                let on = !config.provider(&name).is_some_and(|provider| provider.publish);
                Edit::SetPublish { name, on }
            }),
            Action::PublishAs { name, new } => self.edit(|_| Edit::PublishAs { name, new }),
        }
        true
    }

    /// Edits config.json for a click. `decide` sees what the file says at that moment, which may be
    /// newer than the check mark that was clicked. The reason of a refusal goes into the view, and the
    /// menu is repainted, because the desktop has changed the check mark already.
    fn edit(&mut self, decide: impl FnOnce(&Config) -> Edit + Send + 'static) {
        let last_good = Arc::clone(&self.config.borrow().config);
        let (home, refused) = (self.home.clone(), self.refused.clone());
        let repaint = Arc::clone(&self.repaint);
        self.edits.spawn(async move {
            let refusal = config_edits::apply_decided(&home, last_good, decide).await.err();
            if refusal.is_some() {
                repaint.notify_one();
            }
            refused.send_replace(refusal);
        });
    }

    fn copy_url(&self) {
        let Some(url) = self.view.borrow().call_url.clone() else { return };
        if let Err(error) = self.app.clipboard().write_text(url) {
            tracing::warn!(%error, "the clipboard cannot be written");
        }
    }

    /// Withdraws the published models, waits for running requests for a few seconds, and exits.
    async fn quit(mut self) {
        self.quit.cancel();
        self.window.end();
        self.handoff.set_tray_missing(None);
        if tokio::time::timeout(WITHDRAW_MAX, self.registrar).await.is_err() {
            tracing::warn!("withdrawing took longer than {WITHDRAW_MAX:?}; exiting without it");
        }
        self.app.exit(0);
    }
}

/// The edit that turns the master switch: pauses, or ends the pause.
fn toggle_pause(config: &Config) -> Edit {
    let hold = publish_gate::check(&config.settings, &Zoned::now(), false);
    let is_paused = hold.is_some_and(|hold| hold.reason == HoldReason::Paused);
    pause::edit((!is_paused).then_some(Pause::TurnedOn))
}

/// Returns when a signal ends the process; never if signals cannot be received.
async fn termination_signal() {
    if let Err(error) = received_signal().await {
        tracing::warn!(%error, "signals cannot be received; quit from the tray menu");
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn received_signal() -> std::io::Result<()> {
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
async fn received_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
