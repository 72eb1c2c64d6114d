//! HAProxy with persistent connections to the backend.

use super::{Route, until_listening};
use std::process::Command;
use testkit::process::Process;

/// Starts HAProxy in front of `upstream`.
pub(super) async fn before(name: &'static str, upstream: &str) -> Route {
    let folder = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let server = upstream.trim_start_matches("http://");
    let text = format!(
        "global\n  maxconn 4096\n  nbthread 1\n\
         defaults\n  mode http\n  http-reuse always\n  option http-no-delay\n\
         \x20 timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen route\n  bind 127.0.0.1:{port}\n  server backend {server}\n"
    );
    let config = folder.path().join("haproxy.cfg");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(testkit::provided("haproxy.sh"));
    command.arg("-db").arg("-f").arg(&config);
    let process = Process::start("haproxy", &mut command, folder.path());
    until_listening(port).await;
    Route::through(name, format!("http://127.0.0.1:{port}"), vec![process], folder)
}
