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
use registrar::home::Home;
use registrar::logging::{self, Level};
use std::process::ExitCode;
use tauri::{Manager, RunEvent};
use window::Page;

/// The argument with which the desktop starts this program at login.
pub(crate) const AT_LOGIN: &str = "--autostart";

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == window::ARGUMENT) {
        let page = arguments.get(1).and_then(|name| Page::named(name));
        let level = logging::to_files(&home);
        return ended(window::run(home, page, level));
    }
    let instance = match instance::claim(&home) {
        Ok(Some(instance)) => instance,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return refuse(&format!("{} cannot be used: {error}", home.dir().display())),
    };
    let level = logging::to_files(&home);
    ended(stay(home, level, instance, arguments.iter().any(|argument| argument == AT_LOGIN)))
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

/// The process that stays until it is told to quit.
fn stay(home: Home, level: Level, instance: Instance, at_login: bool) -> tauri::Result<()> {
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
            app::start(app.handle(), home, level, instance)?;
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
