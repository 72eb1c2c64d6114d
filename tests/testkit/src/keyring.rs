//! A real gnome-keyring on a session bus of a test's own.

use crate::bus::Bus;
use crate::process::{Process, finish};
use std::process::Command;
use tempfile::TempDir;

const PASSWORD: &str = "a password";

/// The bus and the keyring's daemon.
pub struct Keyring {
    /// The bus.
    pub bus: Bus,
    daemon: Process,
    folder: TempDir,
}

impl Keyring {
    /// A keyring that its owner has unlocked.
    pub async fn unlocked() -> Self {
        let (bus, folder) = (Bus::start().await, tempfile::tempdir().unwrap());
        let daemon = serve(&folder, &bus, Some(PASSWORD));
        let keyring = Self { bus, daemon, folder };
        keyring.until_unlocked().await;
        keyring
    }

    /// What a program needs to find it.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 2] {
        [("DBUS_SESSION_BUS_ADDRESS", &self.bus.address), ("MCPCTL_KEYCHAIN", "on")]
    }

    /// A new session, begun in a way that does not unlock the keyring.
    pub fn lock(&mut self) {
        self.daemon.kill();
        self.daemon = serve(&self.folder, &self.bus, None);
    }

    /// A new session, begun with the password.
    pub fn unlock(&mut self) {
        self.daemon.kill();
        self.daemon = serve(&self.folder, &self.bus, Some(PASSWORD));
    }

    /// Waits until a program that asks would be answered.
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
        finish(command, "").await.out
    }
}

fn serve(folder: &TempDir, bus: &Bus, password: Option<&str>) -> Process {
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
