//! A session bus of a test's own with a real gnome-keyring on it.

use crate::process::{Process, finish};
use std::process::Command;
use tempfile::TempDir;

const PASSWORD: &str = "a password";

/// The bus and the keyring's daemon.
pub struct Keyring {
    /// The address of the bus.
    pub bus: String,
    daemon: Process,
    folder: TempDir,
    _bus: Process,
}

impl Keyring {
    /// A keyring that its owner has unlocked.
    pub async fn unlocked() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus = format!("unix:path={}", folder.path().join("bus").display());
        let config = folder.path().join("bus.conf");
        std::fs::write(&config, configuration(&bus)).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", "--config-file"]).arg(&config);
        let process = Process::start("dbus-daemon", &mut command, folder.path());
        crate::until("the bus is there", async || folder.path().join("bus").exists().then_some(()))
            .await;
        let daemon = serve(&folder, &bus, Some(PASSWORD));
        let keyring = Self { bus, daemon, folder, _bus: process };
        crate::until("the keyring is unlocked", async || {
            keyring.default_collection().await.contains("/collection/login").then_some(())
        })
        .await;
        keyring
    }

    /// What a program needs to find it.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 2] {
        [("DBUS_SESSION_BUS_ADDRESS", &self.bus), ("MCPCTL_KEYCHAIN", "on")]
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

    async fn default_collection(&self) -> String {
        let mut command = Command::new("dbus-send");
        command
            .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets"])
            .args(["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.ReadAlias"])
            .arg("string:default")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus);
        finish(command, "").await.out
    }
}

/// A session bus that starts no services of its own: nobody but the test decides what runs.
fn configuration(bus: &str) -> String {
    format!(
        "<busconfig><type>session</type><listen>{bus}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_type=\"*\"/>\
         <allow own=\"*\"/></policy></busconfig>"
    )
}

fn serve(folder: &TempDir, bus: &str, password: Option<&str>) -> Process {
    let at = folder.path();
    let mut command = Command::new("gnome-keyring-daemon");
    command
        .args(["--foreground", "--components=secrets", "--control-directory"])
        .arg(at.join("control"))
        .env("HOME", at)
        .env("XDG_DATA_HOME", at.join("data"))
        .env("XDG_RUNTIME_DIR", at)
        .env("DBUS_SESSION_BUS_ADDRESS", bus);
    if password.is_some() {
        command.arg("--unlock");
    }
    Process::start_with("gnome-keyring", &mut command, at, password.unwrap_or_default())
}
