//! The tray app's start: one per folder, logging, a look whether there is a desktop, Tauri and its
//! plugins. What happens then is [`app`]'s.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod actions;
mod app;
mod chores;
mod commands;
mod confirm;
mod instance;
mod limits;
mod menu;
#[cfg(target_os = "linux")]
mod panel;
mod tell;
mod tray;
mod view;
mod window;
mod words;

use commands::{account, diagnostics, machine, models};
use instance::Instance;
use menu::Action;
use registrar::home::Home;
use registrar::logging::{self, Level};
use std::process::ExitCode;
use tauri::{AppHandle, Manager, RunEvent, WindowEvent};

/// The argument with which the desktop starts this program at login.
const AT_LOGIN: &str = "--autostart";

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    draw_without_dmabuf();
    if !has_display() {
        return refuse(
            "mcplocal needs a graphical session and cannot open one (DISPLAY and WAYLAND_DISPLAY). \
             On a machine without a desktop, run `mcplocal-agent run`.",
        );
    }
    let home = match Home::from_env() {
        Ok(home) => home,
        Err(error) => return refuse(&error.to_string()),
    };
    let instance = match instance::claim(&home) {
        Ok(Some(instance)) => instance,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return refuse(&format!("{} cannot be used: {error}", home.dir().display())),
    };
    let level = logging::to_files(&home);
    match run(home, level, instance) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("mcplocal could not start: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "the only place left to say why there is no window")]
fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// WebKitGTK shows an empty window on NVIDIA's own driver unless this variable says otherwise. It
/// must be there from the start, so this program starts itself again with it.
#[cfg(target_os = "linux")]
fn draw_without_dmabuf() {
    use std::os::unix::process::CommandExt as _;
    const VARIABLE: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    let nvidia = std::path::Path::new("/proc/driver/nvidia/version").exists();
    if !nvidia || std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut again = std::process::Command::new(program);
        // Returns only when it fails; then this one goes on as it is.
        let _ = again.args(std::env::args_os().skip(1)).env(VARIABLE, "1").exec();
    }
}

/// Tauri panics without a display before any of our code runs in it, so GTK is asked first.
fn has_display() -> bool {
    #[cfg(target_os = "linux")]
    return gtk::init().is_ok();
    #[cfg(not(target_os = "linux"))]
    true
}

fn run(home: Home, level: Level, instance: Instance) -> tauri::Result<()> {
    tauri::Builder::default()
        .plugin(tauri_plugin_autostart::Builder::new().arg(AT_LOGIN).build())
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
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
        .on_menu_event(|app, event| {
            if let Some(action) = Action::from_id(event.id().as_ref()) {
                actions::act(app, action);
            }
        })
        .setup(|app| {
            #[cfg(target_os = "macos")]
            app.set_activation_policy(tauri::ActivationPolicy::Accessory);
            app::start(app.handle(), home, level, instance)?;
            let hidden = app.state::<app::App>().settings().start_hidden;
            if !(hidden && std::env::args().any(|argument| argument == AT_LOGIN)) {
                window::show(app.handle());
            }
            Ok(())
        })
        .build(tauri::generate_context!())?
        .run(on_event);
    Ok(())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most events of the toolkit are its own")]
fn on_event(app: &AppHandle, event: RunEvent) {
    match event {
        // The last window closed. The tray stays; a real quit carries a code.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::WindowEvent { event: WindowEvent::Destroyed, .. } => {
            app.state::<models::Models>().stop_test();
            app::window_closed(app);
        }
        _ => {}
    }
}
