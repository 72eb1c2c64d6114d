//! A desktop in a box: a display that nobody sees, a window manager, a session bus with a keyring, a
//! panel, and the tray app on it.

pub mod logind;
pub mod notifications;
pub mod panel;
pub mod window;

use crate::agent::Home;
use crate::keyring::Keyring;
use crate::process::{Process, finish};
use panel::Panel;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The display, the bus and what is needed to start programs there.
pub struct Desktop {
    /// The keyring, on the bus.
    pub keyring: Keyring,
    display: String,
    folder: TempDir,
    _windows: Process,
    _screen: Process,
}

impl Desktop {
    /// A desktop without a panel.
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
        let number =
            crate::until("the display is there", async || screen.out().trim().parse::<u32>().ok())
                .await;
        let display = format!(":{number}");
        let mut command = Command::new("openbox");
        command.env("DISPLAY", &display).env("HOME", folder.path());
        let windows = Process::start("openbox", &mut command, folder.path());
        Self { keyring, display, folder, _windows: windows, _screen: screen }
    }

    /// A desktop with a panel that shows tray icons.
    pub async fn with_panel() -> (Self, Panel) {
        let desktop = Self::bare().await;
        let panel = Panel::start(&desktop.keyring.bus.address).await;
        (desktop, panel)
    }

    /// A program's environment on this desktop.
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
            // One bus is enough here, and the machine's own is none of a test's business.
            ("DBUS_SYSTEM_BUS_ADDRESS".to_owned(), self.keyring.bus.address.clone()),
        ];
        let keyring = self.keyring.environment();
        environment.extend(keyring.map(|(name, value)| (name.to_owned(), value.to_owned())));
        environment
    }

    /// Where the desktop looks for what starts at login.
    #[must_use]
    pub fn autostart(&self) -> PathBuf {
        self.folder.path().join("home/.config/autostart")
    }

    /// The windows that are seen and whose title has this in it.
    pub async fn windows(&self, title: &str) -> Vec<String> {
        let ended = self.xdotool(&["search", "--onlyvisible", "--name", title]).await;
        ended.out.lines().map(str::to_owned).collect()
    }

    /// Waits for so many windows of this title.
    pub async fn until_windows(&self, title: &str, count: usize) -> Vec<String> {
        crate::until(&format!("{count} windows called {title}"), async || {
            let windows = self.windows(title).await;
            (windows.len() == count).then_some(windows)
        })
        .await
    }

    /// Presses keys in a window.
    pub async fn press(&self, window: &str, keys: &[&str]) {
        self.xdotool(&["windowactivate", "--sync", window]).await;
        self.xdotool(&[&["key", "--clearmodifiers"], keys].concat()).await;
    }

    /// Closes a window as a person does by its frame.
    pub async fn close(&self, window: &str) {
        // A window that was mapped a moment ago may not have the keyboard yet: then once more.
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

    /// Clicks at this place of the screen with this button.
    pub async fn click_at(&self, x: &str, y: &str, button: &str) {
        self.xdotool(&["mousemove", x, y, "click", button]).await;
    }

    /// Writes a picture of this part of the screen, as `520x420+0+480`.
    pub async fn picture(&self, part: &str, path: &str) {
        let mut command = Command::new("import");
        command.args(["-window", "root", "-crop", part, "+repage", path]);
        command.env("DISPLAY", &self.display);
        finish(command, "").await.good();
    }

    async fn xdotool(&self, arguments: &[&str]) -> crate::process::Ended {
        let mut command = Command::new("xdotool");
        command.args(arguments).env("DISPLAY", &self.display);
        finish(command, "").await
    }
}

/// The tray app, as it was built.
///
/// # Panics
/// `MCPLOCAL_APP` does not say where it is.
#[must_use]
pub fn program() -> PathBuf {
    let path = PathBuf::from(std::env::var_os("MCPLOCAL_APP").unwrap_or_default());
    assert!(path.exists(), "MCPLOCAL_APP must name the tray app; see scripts/test.sh");
    path
}

/// The tray app, running.
pub struct App {
    /// The process.
    pub process: Process,
    _log: TempDir,
}

impl App {
    /// Starts it hidden, as at login.
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

    /// The command that starts it.
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
