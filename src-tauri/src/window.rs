//! The process of the settings window. It shows what the tray process writes into the folder, and
//! changes what the folder's files say.

mod commands;
mod state;

use crate::handoff::Handoff;
use crate::i18n::tr;
use crate::limits::{READ_EVERY, WINDOW_REQUEST_EVERY};
use crate::program;
use crate::route::Route;
use crate::view_feed::{Sources, replace_if_different};
use commands::{account, diagnostics, models, names, settings, wake_test};
use registrar::config::settings::Theme;
use registrar::config_watch::Snapshot;
use registrar::home::Home;
use registrar::logging::Level;
use registrar::status::{self, Status};
use state::WindowState;
use std::sync::Arc;
use tauri::{AppHandle, Manager, RunEvent, WebviewUrl, WebviewWindowBuilder, WindowEvent};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The label of the only window; the capability file names it too.
const MAIN: &str = "main";

/// Runs the window until it is closed, with this page open at first.
pub(crate) fn run(home: Home, route: Option<Route>, level: Level) -> tauri::Result<()> {
    tauri::Builder::default()
        .plugin(tauri_plugin_autostart::Builder::new().arg(program::AT_LOGIN).build())
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_opener::Builder::new().open_js_links_on_click(false).build())
        .manage(models::LastRemoval::default())
        .manage(wake_test::WakeTest::default())
        .invoke_handler(tauri::generate_handler![
            commands::watch_view,
            commands::set_publish,
            commands::pause,
            commands::stop_request,
            commands::copy_text,
            models::model_entry,
            models::validate_model,
            models::save_model,
            models::remove_model,
            models::undo_remove_model,
            models::list_backend_models,
            models::find_backends,
            wake_test::start_wake_test,
            wake_test::stop_wake_test,
            names::publish_as,
            names::share_name,
            names::decline_name,
            account::validate_server_url,
            account::sign_in,
            account::sign_in_with_code,
            account::sign_out,
            account::move_token_to_keychain,
            account::test_connection,
            account::send_test_request,
            settings::change_settings,
            settings::autostart,
            settings::set_autostart,
            diagnostics::run_checks,
            diagnostics::preview_bundle,
            diagnostics::save_bundle,
            diagnostics::open_logs,
            diagnostics::about,
        ])
        .setup(move |app| {
            start(app.handle(), home, route, level);
            Ok(create(app.handle())?)
        })
        .build(tauri::generate_context!())?
        .run(|app, event| {
            if let RunEvent::WindowEvent { event: WindowEvent::Destroyed, .. } = event {
                // A wake test ends with the window, and so do its recipe's processes.
                tauri::async_runtime::block_on(async {
                    app.state::<wake_test::WakeTest>().stop().await;
                    app.state::<WindowState>().recipes.finish().await;
                });
            }
        });
    Ok(())
}

/// Starts everything that runs beside the page.
fn start(app: &AppHandle, home: Home, route: Option<Route>, level: Level) {
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
    let (view, feed) = sources.start();
    let handoff = Handoff::new(&home);
    app.manage(WindowState::new(home.clone(), config.clone(), view, refused, route));
    tauri::async_runtime::spawn(feed);
    tauri::async_runtime::spawn(read_files(home, handoff.clone(), statuses, no_tray));
    tauri::async_runtime::spawn(follow_tray(app.clone(), handoff));
    tauri::async_runtime::spawn(apply_settings(app.clone(), config, level));
}

/// Reads the files that the tray process writes.
async fn read_files(
    home: Home,
    handoff: Handoff,
    statuses: watch::Sender<Status>,
    no_tray: watch::Sender<Option<String>>,
) {
    loop {
        let now = status::file::read(&home).unwrap_or_default();
        statuses.send_if_modified(|status| replace_if_different(status, now));
        let missing = handoff.read_tray_missing();
        no_tray.send_if_modified(|reason| replace_if_different(reason, missing));
        tokio::time::sleep(READ_EVERY).await;
    }
}

/// Comes to the front when the tray process requests it, and exits when that process has ended.
async fn follow_tray(app: AppHandle, handoff: Handoff) {
    // A request from before this start is done: the window appears anyway.
    let _ = handoff.take_window_request();
    while handoff.is_tray_running() {
        tokio::time::sleep(WINDOW_REQUEST_EVERY).await;
        let Some(route) = handoff.take_window_request() else { continue };
        if let Some(route) = route {
            app.state::<WindowState>().request_route(route);
        }
        if let Err(error) = bring_to_front(&app) {
            tracing::debug!(%error, "the window could not be brought to the front");
        }
    }
    tracing::info!("the tray process has ended; closing the window");
    app.exit(0);
}

fn bring_to_front(app: &AppHandle) -> tauri::Result<()> {
    let Some(window) = app.get_webview_window(MAIN) else { return Ok(()) };
    window.unminimize()?;
    window.show()?;
    window.set_focus()
}

/// Applies the theme to the window's frame, and the log's level. The page applies the theme itself.
async fn apply_settings(
    app: AppHandle,
    mut config: watch::Receiver<Arc<Snapshot>>,
    mut level: Level,
) {
    loop {
        let settings = config.borrow_and_update().config.settings.clone();
        level.set(settings.log_level);
        if let Some(window) = app.get_webview_window(MAIN) {
            let _ = window.set_theme(frame_theme(settings.theme));
        }
        if config.changed().await.is_err() {
            return;
        }
    }
}

fn frame_theme(theme: Theme) -> Option<tauri::Theme> {
    match theme {
        Theme::System => None,
        Theme::Light => Some(tauri::Theme::Light),
        Theme::Dark => Some(tauri::Theme::Dark),
    }
}

fn create(app: &AppHandle) -> tauri::Result<()> {
    let theme = app.state::<WindowState>().settings().theme;
    let mut window = WebviewWindowBuilder::new(app, MAIN, WebviewUrl::default())
        .title(tr("window.title"))
        .theme(frame_theme(theme))
        .inner_size(940.0, 660.0)
        .min_inner_size(360.0, 320.0);
    if let Some(icon) = app.default_window_icon() {
        window = window.icon(icon.clone())?;
    }
    window.build()?;
    Ok(())
}
