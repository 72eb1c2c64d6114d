//! The process of the settings window. What it shows comes from the folder: the status that the
//! publishing process writes, and the file that everybody edits. What it changes goes there too.

use crate::commands::{self, account, diagnostics, machine, models, names};
use crate::edits;
use crate::instance;
use crate::limits::{LOOK_EVERY, SHOW_EVERY};
use crate::page::{Page, Place};
use crate::view::View;
use crate::views::Sources;
use crate::words::say;
use keychain::Keychain;
use parking_lot::Mutex;
use registrar::config::Config;
use registrar::config::edit::Edit;
use registrar::config::settings::{Settings, Theme};
use registrar::config_watch::Snapshot;
use registrar::home::Home;
use registrar::logging::Level;
use registrar::status::{self, Status};
use registrar::wake::Recipes;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tauri::{AppHandle, Manager, RunEvent, WebviewUrl, WebviewWindowBuilder, WindowEvent};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The argument that makes this program the window's process; a page may follow.
pub(crate) const ARGUMENT: &str = "--window";
/// The only window; the capability file names it too.
const MAIN: &str = "main";

/// What the page is told without asking.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "what", content = "it", rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum News {
    /// How things are now.
    View(Box<View>),
    /// Somebody outside of the window wants this place.
    Show(Place),
}

/// What the commands work with, kept by Tauri.
pub(crate) struct Window {
    /// The folder.
    pub home: Home,
    /// Where the token is kept.
    pub keychain: Keychain,
    /// Runs a recipe that is being tried.
    pub recipes: Recipes,
    config: watch::Receiver<Arc<Snapshot>>,
    view: watch::Receiver<View>,
    refused: watch::Sender<Option<String>>,
    /// Which place is to be shown next, and the how manieth wish that is.
    wanted: watch::Sender<(u64, Place)>,
    page: Mutex<Option<JoinHandle<()>>>,
}

/// The file that says why there is no tray icon.
pub(crate) fn no_tray_file(home: &Home) -> PathBuf {
    home.tray_missing()
}

/// The file by which a running window is asked to show itself.
fn show_file(home: &Home) -> PathBuf {
    home.window_show()
}

/// Asks the running window to come to the front, at this place if one is meant.
pub(crate) fn ask(home: &Home, place: Option<&Place>) {
    let text = place.map(Place::text).unwrap_or_default();
    if let Err(error) = std::fs::write(show_file(home), text) {
        tracing::warn!(%error, "the window could not be asked to show itself");
    }
}

/// What the window is asked for and has not done: to show itself, at this place if one is meant.
pub(crate) fn take_wish(home: &Home) -> Option<Option<Place>> {
    let file = show_file(home);
    let place = std::fs::read_to_string(&file).ok()?;
    let _ = std::fs::remove_file(file);
    Some(Place::of_text(place.trim()))
}

/// Runs the window until it is closed.
pub(crate) fn run(home: Home, place: Option<Place>, level: Level) -> tauri::Result<()> {
    tauri::Builder::default()
        .plugin(tauri_plugin_autostart::Builder::new().arg(crate::AT_LOGIN).build())
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_opener::Builder::new().open_js_links_on_click(false).build())
        .manage(models::Models::default())
        .invoke_handler(tauri::generate_handler![
            commands::watch_status,
            commands::set_publish,
            commands::pause,
            commands::stop_request,
            commands::copy_text,
            models::model_entry,
            models::check_model,
            models::save_model,
            models::remove_model,
            models::undo_removal,
            models::offered_models,
            models::find_backends,
            models::test_wake,
            models::stop_test,
            names::publish_as,
            names::share_name,
            names::decline_name,
            account::check_server,
            account::sign_in,
            account::pair,
            account::sign_out,
            account::move_to_keychain,
            account::test_connection,
            account::try_model,
            machine::change_settings,
            machine::starts_at_login,
            machine::start_at_login,
            diagnostics::examine,
            diagnostics::bundle,
            diagnostics::save_bundle,
            diagnostics::open_logs,
            diagnostics::about,
        ])
        .setup(move |app| {
            start(app.handle(), home, place, level);
            Ok(make(app.handle())?)
        })
        .build(tauri::generate_context!())?
        .run(|app, event| {
            if let RunEvent::WindowEvent { event: WindowEvent::Destroyed, .. } = event {
                // A recipe that is being tried ends with the window.
                tauri::async_runtime::block_on(async {
                    app.state::<models::Models>().stop_test().await;
                    app.state::<Window>().recipes.finish().await;
                });
            }
        });
    Ok(())
}

fn start(app: &AppHandle, home: Home, place: Option<Place>, level: Level) {
    let stop = CancellationToken::new();
    let _runtime = tauri::async_runtime::handle().inner().enter();
    let (config, _watcher) = registrar::config_watch::start(&home, stop);
    let (refused, no_tray) = (watch::Sender::new(None), watch::Sender::new(None));
    let statuses = watch::Sender::new(status::file::read(&home).unwrap_or_default());
    let sources = Sources {
        status: statuses.subscribe(),
        config: config.clone(),
        refused: refused.subscribe(),
        no_tray: no_tray.subscribe(),
    };
    let (view, keep_view) = sources.start();
    let wanted = place.map_or((0, Page::Overview.into()), |place| (1, place));
    let wanted = watch::Sender::new(wanted);
    let folder = home.clone();
    let of_window = config.clone();
    let keychain = Keychain::os();
    let page = Mutex::default();
    let recipes = Recipes::new(&home);
    app.manage(Window { home, keychain, recipes, config, view, refused, wanted, page });
    tauri::async_runtime::spawn(keep_view);
    tauri::async_runtime::spawn(read(folder.clone(), statuses, no_tray));
    tauri::async_runtime::spawn(obey(app.clone(), folder));
    tauri::async_runtime::spawn(dress(app.clone(), of_window, level));
}

/// Reads what the other processes write into the folder.
async fn read(home: Home, statuses: watch::Sender<Status>, no_tray: watch::Sender<Option<String>>) {
    let no_tray_file = no_tray_file(&home);
    loop {
        let now = status::file::read(&home).unwrap_or_default();
        statuses.send_if_modified(|status| replace_if_other(status, now));
        let missing = std::fs::read_to_string(&no_tray_file).ok();
        no_tray.send_if_modified(|why| replace_if_other(why, missing));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn replace_if_other<T: PartialEq>(value: &mut T, now: T) -> bool {
    let other = *value != now;
    *value = now;
    other
}

/// Comes to the front when it is asked to, and ends with the process that stays.
async fn obey(app: AppHandle, home: Home) {
    let _before_us = take_wish(&home);
    while instance::is_running(&home) {
        tokio::time::sleep(SHOW_EVERY).await;
        let Some(place) = take_wish(&home) else { continue };
        if let Some(place) = place {
            app.state::<Window>().want(place);
        }
        if let Err(error) = to_front(&app) {
            tracing::debug!(%error, "the window could not be brought to the front");
        }
    }
    tracing::info!("the tray app has ended, and the window ends with it");
    app.exit(0);
}

fn to_front(app: &AppHandle) -> tauri::Result<()> {
    let Some(window) = app.get_webview_window(MAIN) else { return Ok(()) };
    window.unminimize()?;
    window.show()?;
    window.set_focus()
}

/// The window's own colours and the log's level follow the settings; the page follows by itself.
async fn dress(app: AppHandle, mut config: watch::Receiver<Arc<Snapshot>>, mut level: Level) {
    loop {
        let settings = config.borrow_and_update().config.settings.clone();
        level.set(settings.log_level);
        if let Some(window) = app.get_webview_window(MAIN) {
            let _ = window.set_theme(native(settings.theme));
        }
        if config.changed().await.is_err() {
            return;
        }
    }
}

fn native(theme: Theme) -> Option<tauri::Theme> {
    match theme {
        Theme::System => None,
        Theme::Light => Some(tauri::Theme::Light),
        Theme::Dark => Some(tauri::Theme::Dark),
    }
}

fn make(app: &AppHandle) -> tauri::Result<()> {
    let theme = app.state::<Window>().settings().theme;
    let mut window = WebviewWindowBuilder::new(app, MAIN, WebviewUrl::default())
        .title(say("window.title"))
        .theme(native(theme))
        .inner_size(940.0, 660.0)
        .min_inner_size(360.0, 320.0);
    if let Some(icon) = app.default_window_icon() {
        window = window.icon(icon.clone())?;
    }
    window.build()?;
    Ok(())
}

impl Window {
    /// Sends every view to the page, and which place is wanted; a page that asks again replaces the
    /// one before.
    pub(crate) fn show_to_page(&self, channel: Channel<News>) {
        let (mut view, mut wanted) = (self.view.clone(), self.wanted.subscribe());
        let (mut new_view, mut new_wish) = (true, wanted.borrow().0 > 0);
        let page = tauri::async_runtime::spawn(async move {
            loop {
                let mut sent = Ok(());
                if new_view {
                    let shown = Box::new(view.borrow_and_update().clone());
                    sent = channel.send(News::View(shown));
                }
                if new_wish {
                    let (_, place) = wanted.borrow_and_update().clone();
                    sent = sent.and_then(|()| channel.send(News::Show(place)));
                }
                if sent.is_err() {
                    return;
                }
                (new_view, new_wish) = tokio::select! {
                    changed = view.changed() => (changed.is_ok(), false),
                    changed = wanted.changed() => (false, changed.is_ok()),
                };
                if !new_view && !new_wish {
                    return;
                }
            }
        });
        if let Some(before) = self.page.lock().replace(page) {
            before.abort();
        }
    }

    fn want(&self, place: Place) {
        self.wanted.send_modify(|(wish, wanted)| (*wish, *wanted) = (*wish + 1, place));
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

    /// Edits the file for a switch; the view follows when the watcher has seen it. A refusal is a
    /// notice on every page.
    pub(crate) async fn click(&self, edit: Edit) -> Result<(), String> {
        let edited = edits::edit(&self.home, edit).await.map(drop);
        self.refused.send_replace(edited.clone().err());
        edited
    }
}
