//! The tray app's start: logging, a look whether there is a desktop, Tauri and its plugins. What
//! happens then is [`app`]'s.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod app;
mod commands;
mod limits;
mod menu;
#[cfg(target_os = "linux")]
mod panel;
mod tray;
mod view;
mod window;

use menu::Action;
use registrar::home::Home;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::ExitCode;
use tauri::{AppHandle, RunEvent, WindowEvent};

fn main() -> ExitCode {
    registrar::logging::to_stderr();
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
    match run(home) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("mcplocal could not start: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "the only place left to say why there is no window")]
fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// Tauri panics without a display before any of our code runs in it, so GTK is asked first.
fn has_display() -> bool {
    #[cfg(target_os = "linux")]
    return gtk::init().is_ok();
    #[cfg(not(target_os = "linux"))]
    true
}

fn run(home: Home) -> tauri::Result<()> {
    let single = tauri_plugin_single_instance::Builder::new()
        .callback(|app, _, _| window::show(app))
        .dbus_id(bus_name(&home))
        .build();
    tauri::Builder::default()
        .plugin(single)
        .invoke_handler(tauri::generate_handler![commands::watch_status, commands::set_publish])
        .on_menu_event(|app, event| {
            if let Some(action) = Action::from_id(event.id().as_ref()) {
                app::act(app, action);
            }
        })
        .setup(|app| {
            #[cfg(target_os = "macos")]
            app.set_activation_policy(tauri::ActivationPolicy::Accessory);
            Ok(app::start(app.handle(), home)?)
        })
        .build(tauri::generate_context!())?
        .run(on_event);
    Ok(())
}

/// One tray app per folder: a second start shows the window of the first.
fn bus_name(home: &Home) -> String {
    let mut hasher = DefaultHasher::new();
    home.config().hash(&mut hasher);
    format!("dev.mcpctl.mcplocal.home{:016x}", hasher.finish())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most events of the toolkit are its own")]
fn on_event(app: &AppHandle, event: RunEvent) {
    match event {
        // The last window closed. The tray stays; a real quit carries a code.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::WindowEvent { event: WindowEvent::Destroyed, .. } => app::window_closed(app),
        _ => {}
    }
}
