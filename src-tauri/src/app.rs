//! Wires the registrar to Tauri: the status and the file's intended state become one view that tray
//! and page show; a click becomes an edit of the file; a quit says goodbye. No words and no
//! pictures here, they are [`crate::view`]'s and [`crate::tray`]'s.

use crate::limits::{GOODBYE_MAX, PAINT_EVERY};
use crate::menu::Action;
use crate::tray::{self, Easel};
use crate::view::{self, Facts, View};
use crate::window;
use keychain::Keychain;
use parking_lot::Mutex;
use registrar::config::edit::Edit;
use registrar::home::Home;
use registrar::status::Status;
use registrar::watch::Snapshot;
use registrar::{config, host};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tauri::{AppHandle, Manager};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How this process calls itself in the status.
const PROGRAM: &str = "mcplocal";

/// The running application, kept by Tauri for events and commands.
pub(crate) struct App {
    home: Home,
    config: watch::Receiver<Arc<Snapshot>>,
    view: watch::Receiver<View>,
    refused: watch::Sender<Option<String>>,
    no_tray: Arc<watch::Sender<Option<String>>>,
    repaint: Arc<Notify>,
    page: Mutex<Option<JoinHandle<()>>>,
    registrar: Mutex<Option<JoinHandle<()>>>,
    quit: CancellationToken,
}

/// Starts the registrar, the view and the tray.
pub(crate) fn start(app: &AppHandle, home: Home) -> std::io::Result<()> {
    let quit = CancellationToken::new();
    let _runtime = tauri::async_runtime::handle().inner().enter();
    let (config, watcher) = registrar::watch::start(&home, quit.clone());
    let (status, registrar) = host::run(home.clone(), Keychain::os(), PROGRAM, quit.clone());
    let registrar = tauri::async_runtime::spawn(async move {
        let _ = tokio::join!(registrar, watcher);
    });
    let refused = watch::Sender::new(None);
    let no_tray = Arc::new(watch::Sender::new(None));
    let facts = Sources {
        status,
        config: config.clone(),
        refused: refused.subscribe(),
        no_tray: no_tray.subscribe(),
    };
    let (views, view) = watch::channel(facts.view());
    let repaint = Arc::new(Notify::new());
    tauri::async_runtime::spawn(quit.clone().run_until_cancelled_owned(facts.keep(views)));
    tauri::async_runtime::spawn(quit_on_signal(app.clone(), quit.clone()));
    app.manage(App {
        home,
        config,
        view: view.clone(),
        refused,
        no_tray: Arc::clone(&no_tray),
        repaint: Arc::clone(&repaint),
        page: Mutex::default(),
        registrar: Mutex::new(Some(registrar)),
        quit,
    });
    let easel = Easel { app: app.clone(), view, no_tray, repaint };
    std::thread::Builder::new()
        .name("tray".into())
        .spawn(move || tauri::async_runtime::block_on(tray::keep_painting(easel)))?;
    Ok(())
}

/// Does what a menu line asks for.
pub(crate) fn act(app: &AppHandle, action: Action) {
    match action {
        Action::OpenSettings => window::show(app),
        Action::Quit => quit(app),
        Action::Toggle(name) => {
            let app = app.clone();
            tauri::async_runtime::spawn(async move {
                let state = app.state::<App>();
                let on = !state.is_published(&name);
                // The reason is in the view; the menu only has to forget its own check mark.
                if state.set_publish(name, on).await.is_err() {
                    state.repaint.notify_one();
                }
            });
        }
    }
}

/// Says goodbye to the server, then ends the process.
pub(crate) fn quit(app: &AppHandle) {
    let state = app.state::<App>();
    let Some(registrar) = state.registrar.lock().take() else { return };
    state.quit.cancel();
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if tokio::time::timeout(GOODBYE_MAX, registrar).await.is_err() {
            tracing::warn!("the goodbye took longer than {GOODBYE_MAX:?}; ending without it");
        }
        app.exit(0);
    });
}

/// The window is gone: nobody reads its channel, and without a tray nothing would be visible.
pub(crate) fn window_closed(app: &AppHandle) {
    let state = app.state::<App>();
    if let Some(page) = state.page.lock().take() {
        page.abort();
    }
    if state.no_tray.borrow().is_some() {
        quit(app);
    }
}

impl App {
    /// Sends every view to the page; a page that asks again replaces the one before.
    pub(crate) fn show_to_page(&self, channel: Channel<View>) {
        let mut view = self.view.clone();
        let page = tauri::async_runtime::spawn(async move {
            loop {
                let shown = channel.send(view.borrow_and_update().clone());
                if shown.is_err() || view.changed().await.is_err() {
                    return;
                }
            }
        });
        if let Some(before) = self.page.lock().replace(page) {
            before.abort();
        }
    }

    /// Edits the file; the view follows when the watcher has seen it.
    pub(crate) async fn set_publish(&self, name: String, on: bool) -> Result<(), String> {
        let home = self.home.clone();
        let edit = Edit::SetPublish { name, on };
        let edited = tokio::task::spawn_blocking(move || config::file::apply(&home, &edit)).await;
        let refused = match edited {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.refused.send_replace(refused.clone());
        refused.map_or(Ok(()), Err)
    }

    fn is_published(&self, name: &str) -> bool {
        self.config.borrow().config.provider(name).is_some_and(|provider| provider.publish)
    }
}

/// Where the view's facts come from.
struct Sources {
    status: watch::Receiver<Status>,
    config: watch::Receiver<Arc<Snapshot>>,
    refused: watch::Receiver<Option<String>>,
    no_tray: watch::Receiver<Option<String>>,
}

impl Sources {
    /// Publishes a view whenever it differs, and not more often than people can read.
    async fn keep(mut self, views: watch::Sender<View>) {
        loop {
            let view = self.view();
            if views.send_if_modified(|shown| replace_if_other(shown, view)) {
                tokio::time::sleep(PAINT_EVERY).await;
            }
            if self.changed().await.is_err() {
                return;
            }
        }
    }

    fn view(&self) -> View {
        let snapshot = self.config.borrow();
        view::view(Facts {
            status: &self.status.borrow(),
            config: &snapshot.config,
            refused: self.refused.borrow().as_deref(),
            no_tray: self.no_tray.borrow().as_deref(),
            pid: std::process::id(),
            now: unix_ms(),
        })
    }

    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        let counts_down = view::counts_down(&self.status.borrow());
        tokio::select! {
            changed = self.status.changed() => changed,
            changed = self.config.changed() => changed,
            changed = self.refused.changed() => changed,
            changed = self.no_tray.changed() => changed,
            () = tokio::time::sleep(PAINT_EVERY), if counts_down => Ok(()),
        }
    }
}

fn replace_if_other(shown: &mut View, view: View) -> bool {
    let other = *shown != view;
    *shown = view;
    other
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
