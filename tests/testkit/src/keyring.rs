//! A real gnome-keyring on a session bus of its own.

use crate::bus::Bus;
use crate::process::{Process, run_to_end};
use std::process::Command;
use tempfile::TempDir;

const PASSWORD: &str = "a password";

/// A running gnome-keyring daemon.
pub struct Keyring {
    /// The bus.
    pub bus: Bus,
    daemon: Process,
    folder: TempDir,
}

impl Keyring {
    /// Starts one that is unlocked.
    pub async fn unlocked() -> Self {
        let (bus, folder) = (Bus::start().await, tempfile::tempdir().unwrap());
        let daemon = start_daemon(&folder, &bus, Some(PASSWORD));
        let keyring = Self { bus, daemon, folder };
        keyring.until_unlocked().await;
        keyring
    }

    /// Environment with which a program uses this keyring.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 2] {
        [("DBUS_SESSION_BUS_ADDRESS", &self.bus.address), ("MCPCTL_KEYCHAIN", "on")]
    }

    /// Restarts the daemon without the password, as a login without one does.
    pub fn lock(&mut self) {
        self.daemon.kill();
        self.daemon = start_daemon(&self.folder, &self.bus, None);
    }

    /// Restarts the daemon with the password.
    pub fn unlock(&mut self) {
        self.daemon.kill();
        self.daemon = start_daemon(&self.folder, &self.bus, Some(PASSWORD));
    }

    /// Waits until the default collection is available.
    pub async fn until_unlocked(&self) {
        crate::until("the keyring is unlocked", async || {
            self.default_collection().await.contains("/collection/login").then_some(())
        })
        .await;
    }

    async fn default_collection(&self) -> String {
        let mut command = Command::new("dbus-send");
        command
            .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets"])
            .args(["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.ReadAlias"])
            .arg("string:default")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus.address);
        run_to_end(command, "").await.stdout
    }
}

fn start_daemon(folder: &TempDir, bus: &Bus, password: Option<&str>) -> Process {
    let at = folder.path();
    let mut command = Command::new("gnome-keyring-daemon");
    command
        .args(["--foreground", "--components=secrets", "--control-directory"])
        .arg(at.join("control"))
        .env("HOME", at)
        .env("XDG_DATA_HOME", at.join("data"))
        .env("XDG_RUNTIME_DIR", at)
        .env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    if password.is_some() {
        command.arg("--unlock");
    }
    Process::start_with("gnome-keyring", &mut command, at, password.unwrap_or_default())
}
