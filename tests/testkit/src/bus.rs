//! A D-Bus session bus for one test. It activates no services, so only the test decides what runs.

use crate::process::Process;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A running session bus.
pub struct Bus {
    /// Its address, as in `DBUS_SESSION_BUS_ADDRESS`.
    pub address: String,
    _daemon: Process,
    _folder: TempDir,
}

impl Bus {
    /// Starts one and waits for its socket.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus");
        let address = format!("unix:path={}", socket.display());
        let config = folder.path().join("bus.conf");
        std::fs::write(&config, configuration(&address)).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", "--config-file"]).arg(&config);
        let daemon = Process::start("dbus-daemon", &mut command, folder.path());
        crate::until("the bus is there", async || Path::new(&socket).exists().then_some(())).await;
        Self { address, _daemon: daemon, _folder: folder }
    }
}

fn configuration(address: &str) -> String {
    format!(
        "<busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_type=\"*\"/>\
         <allow own=\"*\"/></policy></busconfig>"
    )
}
