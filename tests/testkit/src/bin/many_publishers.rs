//! Many real registrars in one process: `many_publishers FOLDER`, where every folder in FOLDER is the
//! `~/.mcpctl` of one of them. Ends on SIGTERM.
#![expect(clippy::unwrap_used, reason = "a tool of the tests")]

use keychain::Keychain;
use registrar::home::Home;
use registrar::leader;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let stop = CancellationToken::new();
    let mut tasks = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let home = Home::at(entry.unwrap().path()).unwrap();
        tasks.push(leader::run(home, Keychain::os(), "many_publishers", stop.clone()).task);
    }
    signal(SignalKind::terminate()).unwrap().recv().await;
    stop.cancel();
    for task in tasks {
        let _ = task.await;
    }
}
