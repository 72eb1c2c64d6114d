//! Entry point of the tray app: checks for a desktop and starts one of its two processes. The tray
//! process is [`supervisor`]'s, the window process [`window`]'s.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod background;
mod blocking;
mod command_approval;
mod config_edits;
mod events;
mod handoff;
mod i18n;
mod keep_awake;
mod limits;
mod menu;
mod notifications;
mod pause;
mod program;
mod route;
mod single_instance;
mod supervisor;
mod tray;
#[cfg(target_os = "linux")]
mod tray_host;
mod view;
mod view_feed;
mod window;
mod window_process;

use events::Event;
use handoff::Handoff;
use menu::action::Action;
use program::Mode;
use registrar::home::Home;
use registrar::logging;
use std::process::ExitCode;
use supervisor::Startup;
use tauri::RunEvent;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = Mode::from_arguments(&arguments);
    #[cfg(target_os = "linux")]
    let without_gl = prepare_toolkit(&mode);
    #[cfg(not(target_os = "linux"))]
    let without_gl = false;
    if !has_display() {
        return fail(
            "mcplocal needs a graphical session and found none (DISPLAY, WAYLAND_DISPLAY). \
             On a machine without a desktop, run `mcplocal-agent run`.",
        );
    }
    let home = match Home::from_env() {
        Ok(home) => home,
        Err(error) => return fail(&error.to_string()),
    };
    let run = match mode {
        Mode::Window { route } => {
            let level = logging::to_files(&home);
            window::run(home, route, level)
        }
        Mode::Tray { at_login } => {
            let instance = match single_instance::claim(&Handoff::new(&home)) {
                Ok(Some(instance)) => instance,
                Ok(None) => return ExitCode::SUCCESS,
                Err(error) => {
                    return fail(&format!("{} cannot be used: {error}", home.dir().display()));
                }
            };
            let level = logging::to_files(&home);
            let (events, inbox) = events::channel();
            run_tray(Startup { home, events, inbox, level, instance, without_gl, at_login })
        }
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("mcplocal could not start: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "without a window, stderr is the only place for errors")]
fn fail(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Sets environment variables that GTK and WebKit read when they start. Returns true if the window
/// process must be started without [`program::GDK_GL`].
#[cfg(target_os = "linux")]
fn prepare_toolkit(mode: &Mode) -> bool {
    use std::path::Path;
    // With NVIDIA's own driver, WebKitGTK would show an empty window.
    if Path::new("/proc/driver/nvidia/version").exists() {
        let _ = gtk::glib::setenv("WEBKIT_DISABLE_DMABUF_RENDERER", "1", false);
    }
    // A process without a window needs no graphics driver, which saves 30 MiB.
    let is_tray = matches!(mode, Mode::Tray { .. });
    let disable = is_tray && std::env::var_os(program::GDK_GL).is_none();
    disable && gtk::glib::setenv(program::GDK_GL, "disable", true).is_ok()
}

/// Checks for a display before Tauri starts, which would panic without one.
fn has_display() -> bool {
    #[cfg(target_os = "linux")]
    return gtk::init().is_ok();
    #[cfg(not(target_os = "linux"))]
    true
}

/// Runs the tray process until it quits.
fn run_tray(startup: Startup) -> tauri::Result<()> {
    let events = startup.events.clone();
    tauri::Builder::default()
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_notification::init())
        .on_menu_event(move |_, event| {
            if let Some(action) = Action::from_id(event.id().as_ref()) {
                events.send(Event::Clicked(action));
            }
        })
        .setup(move |app| {
            #[cfg(target_os = "macos")]
            app.set_activation_policy(tauri::ActivationPolicy::Accessory);
            Ok(supervisor::start(app.handle(), startup)?)
        })
        .build(tauri::generate_context!())?
        .run(|_, event| {
            // Without a window of its own, this process ends only by a quit, which carries a code.
            if let RunEvent::ExitRequested { code: None, api, .. } = event {
                api.prevent_exit();
            }
        });
    Ok(())
}
