//! Wires the registrar to Tauri: the status and the file's intended state become one view that tray
//! and page show; a click becomes an edit of the file; a quit says goodbye. No words and no
//! pictures here, they are [`crate::view`]'s and [`crate::tray`]'s.

use crate::chores;
use crate::confirm;
use crate::instance::Instance;
use crate::limits::{GOODBYE_MAX, PAINT_EVERY, TRAFFIC_EVERY};
use crate::tell;
use crate::tray::{self, Easel};
use crate::view::{self, Facts, View, unix_ms};
use crate::window::{self, Page};
use keychain::Keychain;
use parking_lot::Mutex;
use registrar::config::edit::{self, Edit};
use registrar::config::file::{self, Change};
use registrar::config::settings::Settings;
use registrar::config::{self, Config};
use registrar::home::Home;
use registrar::host;
use registrar::logging::Level;
use registrar::status::Status;
use registrar::watch::Snapshot;
use serde::Serialize;
use std::sync::Arc;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tauri::{AppHandle, Manager};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How this process calls itself in the status.
const PROGRAM: &str = "mcplocal";

/// The running application, kept by Tauri for events and commands.
pub(crate) struct App {
    /// The folder.
    pub home: Home,
    /// Where the token is kept.
    pub keychain: Keychain,
    config: watch::Receiver<Arc<Snapshot>>,
    view: watch::Receiver<View>,
    refused: watch::Sender<Option<String>>,
    no_tray: Arc<watch::Sender<Option<String>>>,
    repaint: Arc<Notify>,
    /// Which page the window is to show next, and the how manieth wish that is.
    wanted: watch::Sender<(u64, Page)>,
    page: Mutex<Option<JoinHandle<()>>>,
    registrar: Mutex<Option<JoinHandle<()>>>,
    quit: CancellationToken,
}

/// What the page is told without asking.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "what", content = "it", rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum News {
    /// How things are now.
    View(Box<View>),
    /// Somebody outside of the window wants this page.
    Show(Page),
}

/// Starts the registrar, the view, the tray, and what follows from them.
pub(crate) fn start(
    app: &AppHandle,
    home: Home,
    level: Level,
    instance: Instance,
) -> std::io::Result<()> {
    let quit = CancellationToken::new();
    let _runtime = tauri::async_runtime::handle().inner().enter();
    let keychain = Keychain::os();
    let (config, watcher) = registrar::watch::start(&home, quit.clone());
    let (status, registrar) = host::run(home.clone(), keychain.clone(), PROGRAM, quit.clone());
    let registrar = tauri::async_runtime::spawn(async move {
        let _ = tokio::join!(registrar, watcher);
    });
    let (refused, no_tray) = (watch::Sender::new(None), Arc::new(watch::Sender::new(None)));
    let facts = Sources {
        status: status.clone(),
        config: config.clone(),
        refused: refused.subscribe(),
        no_tray: no_tray.subscribe(),
    };
    let (views, view) = watch::channel(facts.view());
    let repaint = Arc::new(Notify::new());
    app.manage(App {
        home,
        keychain,
        config: config.clone(),
        view: view.clone(),
        refused,
        no_tray: Arc::clone(&no_tray),
        repaint: Arc::clone(&repaint),
        wanted: watch::Sender::new((0, Page::Overview)),
        page: Mutex::default(),
        registrar: Mutex::new(Some(registrar)),
        quit: quit.clone(),
    });
    let until_quit = |work| drop(tauri::async_runtime::spawn(work));
    until_quit(in_time(&quit, facts.keep(views)));
    until_quit(in_time(&quit, chores::keep_doing(app.clone(), status, config, level)));
    let shown = app.clone();
    until_quit(in_time(&quit, instance.follow(move || window::show(&shown))));
    tauri::async_runtime::spawn(quit_on_signal(app.clone(), quit));
    let easel = Easel { app: app.clone(), view, no_tray, repaint };
    std::thread::Builder::new()
        .name("tray".into())
        .spawn(move || tauri::async_runtime::block_on(tray::keep_painting(easel)))?;
    Ok(())
}

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The work, until the application quits.
fn in_time(quit: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) -> Work {
    let quit = quit.clone();
    Box::pin(async move { quit.run_until_cancelled_owned(work).await.unwrap_or_default() })
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

/// The window is gone: nobody reads its channel, and without a tray nothing would be visible. Who
/// closes it for the first time is told that publishing goes on.
pub(crate) fn window_closed(app: &AppHandle) {
    let state = app.state::<App>();
    if let Some(page) = state.page.lock().take() {
        page.abort();
    }
    if state.no_tray.borrow().is_some() {
        quit(app);
        return;
    }
    let told = state.home.dir().join("tray.told");
    if !told.exists() && std::fs::write(told, "").is_ok() {
        chores::notify(app, &tell::still_there());
    }
}

impl App {
    /// Sends every view to the page, and which page is wanted; a page that asks again replaces the
    /// one before.
    pub(crate) fn show_to_page(&self, channel: Channel<News>) {
        let (mut view, mut wanted) = (self.view.clone(), self.wanted.subscribe());
        let page = tauri::async_runtime::spawn(async move {
            loop {
                let shown = Box::new(view.borrow_and_update().clone());
                let (wish, page) = *wanted.borrow_and_update();
                let page = (wish > 0).then(|| channel.send(News::Show(page)));
                if page.is_some_and(|sent| sent.is_err())
                    || channel.send(News::View(shown)).is_err()
                {
                    return;
                }
                let changed = tokio::select! {
                    changed = view.changed() => {
                        wanted.mark_unchanged();
                        changed
                    }
                    changed = wanted.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        });
        if let Some(before) = self.page.lock().replace(page) {
            before.abort();
        }
    }

    /// The window is to show this page.
    pub(crate) fn want_page(&self, page: Page) {
        self.wanted.send_modify(|(wish, wanted)| (*wish, *wanted) = (*wish + 1, page));
    }

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

    /// A click changed a check mark that the view does not change: all of it is painted again.
    pub(crate) fn repaint(&self) {
        self.repaint.notify_one();
    }

    /// Edits the file for a click; the view follows when the watcher has seen it. A refusal is a
    /// notice of the view, for the tray says it too.
    pub(crate) async fn click(&self, edit: Edit) -> Result<(), String> {
        let edited = self.edit(edit).await.map(drop);
        self.refused.send_replace(edited.clone().err());
        edited
    }

    /// Edits the file for the page. A command that was not in the file before needs the person's
    /// word by a dialog of the desktop.
    pub(crate) async fn edit_for_page(
        &self,
        app: &AppHandle,
        edit: Edit,
    ) -> Result<Change, String> {
        let (home, wish) = (self.home.clone(), edit.clone());
        let commands = on_a_thread(move || new_commands(&home, &wish)).await?;
        if !commands.is_empty() && !confirm::ask(app, &commands).await {
            return Err(crate::words::say("confirm.refused"));
        }
        self.edit(edit).await
    }

    /// Edits the file.
    pub(crate) async fn edit(&self, edit: Edit) -> Result<Change, String> {
        let home = self.home.clone();
        on_a_thread(move || file::apply(&home, &edit)).await
    }
}

/// The commands that an edit would bring. One that makes an entry unusable is refused: it would be
/// written and then ignored.
fn new_commands(home: &Home, edit: &Edit) -> Result<Vec<String>, String> {
    let text = file::read(&home.config()).map_err(|error| error.to_string())?;
    let after = edit::apply(&text, edit).map_err(|refusal| refusal.to_string())?;
    let read = |text: &str| config::parse(text).map_err(|problem| problem.message);
    let (before, after) = (read(&text)?, read(&after)?);
    match after.warnings.iter().find(|warning| !before.warnings.contains(warning)) {
        Some(new) => Err(new.message.clone()),
        None => Ok(confirm::new_commands(&before.config, &after.config)),
    }
}

/// Work that may block; what went wrong in words.
pub(crate) async fn on_a_thread<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
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
            let ages = view::ages(&view);
            if views.send_if_modified(|shown| replace_if_other(shown, view)) {
                tokio::time::sleep(PAINT_EVERY).await;
            }
            if self.changed(ages).await.is_err() {
                return;
            }
        }
    }

    fn view(&self) -> View {
        view::view(Facts {
            status: &self.status.borrow(),
            config: &self.config.borrow(),
            refused: self.refused.borrow().as_deref(),
            no_tray: self.no_tray.borrow().as_deref(),
            pid: std::process::id(),
            now: unix_ms(),
        })
    }

    async fn changed(&mut self, ages: bool) -> Result<(), watch::error::RecvError> {
        let counts_down = view::counts_down(&self.status.borrow());
        tokio::select! {
            changed = self.status.changed() => changed,
            changed = self.config.changed() => changed,
            changed = self.refused.changed() => changed,
            changed = self.no_tray.changed() => changed,
            () = tokio::time::sleep(PAINT_EVERY), if counts_down => Ok(()),
            () = tokio::time::sleep(TRAFFIC_EVERY), if ages => Ok(()),
        }
    }
}

fn replace_if_other(shown: &mut View, view: View) -> bool {
    let other = *shown != view;
    *shown = view;
    other
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
