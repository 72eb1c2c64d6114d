//! The tray app's start: which of its two processes this is, a look whether there is a desktop, and
//! Tauri. The process that stays is [`app`]'s, the one with the window [`window`]'s.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod actions;
mod app;
mod chores;
mod commands;
mod confirm;
mod edits;
mod instance;
mod limits;
mod menu;
mod opener;
mod page;
#[cfg(target_os = "linux")]
mod panel;
mod tell;
mod tray;
mod view;
mod views;
mod window;
mod words;

use instance::Instance;
use menu::Action;
use opener::Opener;
use page::Place;
use registrar::home::Home;
use registrar::logging::{self, Level};
use std::process::ExitCode;
use tauri::{Manager, RunEvent};

/// The argument with which the desktop starts this program at login.
pub(crate) const AT_LOGIN: &str = "--autostart";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_window = arguments.first().is_some_and(|first| first == window::ARGUMENT);
    #[cfg(target_os = "linux")]
    let without_gl = prepare_toolkit(!is_window);
    #[cfg(not(target_os = "linux"))]
    let without_gl = false;
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
    if is_window {
        let place = arguments.get(1).and_then(|text| Place::of_text(text));
        let level = logging::to_files(&home);
        return ended(window::run(home, place, level));
    }
    let instance = match instance::claim(&home) {
        Ok(Some(instance)) => instance,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return refuse(&format!("{} cannot be used: {error}", home.dir().display())),
    };
    let level = logging::to_files(&home);
    let at_login = arguments.iter().any(|argument| argument == AT_LOGIN);
    let opener = Opener::new(home.clone(), without_gl);
    ended(stay(home, opener, level, instance, at_login))
}

fn ended(run: tauri::Result<()>) -> ExitCode {
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("mcplocal could not start: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "the only place left to say why there is no window")]
fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// GTK and WebKit read these from the environment, before anything else of them runs. Whether the
/// window must be started without what was set here.
#[cfg(target_os = "linux")]
fn prepare_toolkit(stays: bool) -> bool {
    use std::path::Path;
    // WebKitGTK shows an empty window on NVIDIA's own driver otherwise.
    if Path::new("/proc/driver/nvidia/version").exists() {
        let _ = gtk::glib::setenv("WEBKIT_DISABLE_DMABUF_RENDERER", "1", false);
    }
    // A process without a window needs no graphics driver: that is 30 MiB.
    let without = stays && std::env::var_os(opener::GL).is_none();
    without && gtk::glib::setenv(opener::GL, "disable", true).is_ok()
}

/// Tauri panics without a display before any of our code runs in it, so GTK is asked first.
fn has_display() -> bool {
    #[cfg(target_os = "linux")]
    return gtk::init().is_ok();
    #[cfg(not(target_os = "linux"))]
    true
}

/// The process that stays until it is told to quit.
fn stay(
    home: Home,
    opener: Opener,
    level: Level,
    instance: Instance,
    at_login: bool,
) -> tauri::Result<()> {
    tauri::Builder::default()
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_notification::init())
        .on_menu_event(|app, event| {
            if let Some(action) = Action::from_id(event.id().as_ref()) {
                actions::act(app, action);
            }
        })
        .setup(move |app| {
            #[cfg(target_os = "macos")]
            app.set_activation_policy(tauri::ActivationPolicy::Accessory);
            app::start(app.handle(), home, opener, level, instance)?;
            let state = app.state::<app::App>();
            if !(at_login && state.settings().start_hidden) {
                state.opener.show(app.handle(), None);
            }
            Ok(())
        })
        .build(tauri::generate_context!())?
        .run(|_, event| {
            // There is no window here whose end could be the program's; a real quit carries a code.
            if let RunEvent::ExitRequested { code: None, api, .. } = event {
                api.prevent_exit();
            }
        });
    Ok(())
}
