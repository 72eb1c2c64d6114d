//! A desktop for one test: a virtual display, a window manager, a session bus with a keyring, a panel,
//! and the tray app.

pub mod logind;
pub mod notifications;
pub mod panel;
pub mod window;

use crate::agent::Home;
use crate::keyring::Keyring;
use crate::process::{Process, run_to_end};
use panel::Panel;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A display and a session bus, with what is needed to start programs there.
pub struct Desktop {
    /// The keyring; its bus is the session bus.
    pub keyring: Keyring,
    display: String,
    folder: TempDir,
    _windows: Process,
    _screen: Process,
}

impl Desktop {
    /// Starts a desktop without a panel.
    pub async fn bare() -> Self {
        let (keyring, folder) = (Keyring::unlocked().await, tempfile::tempdir().unwrap());
        let mut command = Command::new("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1200x900x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ]);
        let screen = Process::start("Xvfb", &mut command, folder.path());
        let number = crate::until("the display is there", async || {
            screen.stdout().trim().parse::<u32>().ok()
        })
        .await;
        let display = format!(":{number}");
        let mut command = Command::new("openbox");
        command.env("DISPLAY", &display).env("HOME", folder.path());
        let windows = Process::start("openbox", &mut command, folder.path());
        Self { keyring, display, folder, _windows: windows, _screen: screen }
    }

    /// Starts a desktop with a panel that shows tray icons.
    pub async fn with_panel() -> (Self, Panel) {
        let desktop = Self::bare().await;
        let panel = Panel::start(&desktop.keyring.bus.address).await;
        (desktop, panel)
    }

    /// Environment of programs on this desktop.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let mut environment = vec![
            ("DISPLAY".to_owned(), self.display.clone()),
            ("GDK_BACKEND".to_owned(), "x11".to_owned()),
            ("NO_AT_BRIDGE".to_owned(), "1".to_owned()),
            ("HOME".to_owned(), at("home")),
            ("XDG_RUNTIME_DIR".to_owned(), at("")),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            // Programs must not reach the machine's own system bus.
            ("DBUS_SYSTEM_BUS_ADDRESS".to_owned(), self.keyring.bus.address.clone()),
        ];
        let keyring = self.keyring.environment();
        environment.extend(keyring.map(|(name, value)| (name.to_owned(), value.to_owned())));
        environment
    }

    /// Folder of the programs that start at login.
    #[must_use]
    pub fn autostart(&self) -> PathBuf {
        self.folder.path().join("home/.config/autostart")
    }

    /// Ids of the visible windows whose title contains `title`.
    pub async fn windows(&self, title: &str) -> Vec<String> {
        let ended = self.xdotool(&["search", "--onlyvisible", "--name", title]).await;
        ended.stdout.lines().map(str::to_owned).collect()
    }

    /// Waits for exactly `count` windows of this title.
    pub async fn until_windows(&self, title: &str, count: usize) -> Vec<String> {
        crate::until(&format!("there are {count} windows titled {title}"), async || {
            let windows = self.windows(title).await;
            (windows.len() == count).then_some(windows)
        })
        .await
    }

    /// Activates a window and presses keys in it.
    pub async fn press(&self, window: &str, keys: &[&str]) {
        self.xdotool(&["windowactivate", "--sync", window]).await;
        self.xdotool(&[&["key", "--clearmodifiers"], keys].concat()).await;
    }

    /// Closes a window by Alt+F4.
    pub async fn close(&self, window: &str) {
        // A window that was just mapped may not have the keyboard focus yet: retry until it closes.
        crate::until("the window closes", async || {
            self.press(window, &["alt+F4"]).await;
            let closing = crate::within(Duration::from_secs(60), "", async || {
                let there = self.xdotool(&["getwindowname", window]).await.code == Some(0);
                (!there).then_some(())
            });
            tokio::time::timeout(Duration::from_secs(1), closing).await.ok()
        })
        .await;
    }

    /// Clicks at this position of the screen with this button.
    pub async fn click_at(&self, x: &str, y: &str, button: &str) {
        self.xdotool(&["mousemove", x, y, "click", button]).await;
    }

    /// Writes a picture of a part of the screen, given as `WIDTHxHEIGHT+X+Y`.
    pub async fn picture(&self, part: &str, path: &str) {
        let mut command = Command::new("import");
        command.args(["-window", "root", "-crop", part, "+repage", path]);
        command.env("DISPLAY", &self.display);
        run_to_end(command, "").await.expect_success();
    }

    async fn xdotool(&self, arguments: &[&str]) -> crate::process::CommandOutput {
        let mut command = Command::new("xdotool");
        command.args(arguments).env("DISPLAY", &self.display);
        run_to_end(command, "").await
    }
}

/// Path of the tray app, from `MCPLOCAL_APP`.
///
/// # Panics
/// The variable does not name an existing file.
#[must_use]
pub fn program() -> PathBuf {
    let path = PathBuf::from(std::env::var_os("MCPLOCAL_APP").unwrap_or_default());
    assert!(path.exists(), "MCPLOCAL_APP must name the tray app; see scripts/test.sh");
    path
}

/// A running tray app.
pub struct App {
    /// The process.
    pub process: Process,
    _log: TempDir,
}

impl App {
    /// Starts it as at login: hidden.
    #[must_use]
    pub fn at_login(desktop: &Desktop, home: &Home, more: &[(&str, &str)]) -> Self {
        Self::start(desktop, home, &["--autostart"], more)
    }

    /// Starts it with these arguments and environment variables.
    #[must_use]
    pub fn start(
        desktop: &Desktop,
        home: &Home,
        arguments: &[&str],
        more: &[(&str, &str)],
    ) -> Self {
        let log = tempfile::tempdir().unwrap();
        let mut command = Self::command(desktop, home, more);
        let process = Process::start("mcplocal", command.args(arguments), log.path());
        Self { process, _log: log }
    }

    /// Command that starts it, without arguments.
    #[must_use]
    pub fn command(desktop: &Desktop, home: &Home, more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program());
        command
            .envs(desktop.environment())
            .env("MCPCTL_HOME", home.file(""))
            .env("MCPCTL_TIME_SCALE", "0.1")
            .env("RUST_LOG", "debug")
            .env_remove("MCPCTL_TOKEN")
            .env_remove("WAYLAND_DISPLAY")
            .envs(more.iter().copied());
        command
    }
}
