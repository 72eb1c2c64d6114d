//! HAProxy with its connections to the backend kept.

use super::{Road, listens};
use std::process::Command;
use testkit::process::Process;

/// In front of `upstream`.
pub(super) async fn before(name: &'static str, upstream: &str) -> Road {
    let folder = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let server = upstream.trim_start_matches("http://");
    let text = format!(
        "global\n  maxconn 4096\n  nbthread 1\n\
         defaults\n  mode http\n  http-reuse always\n  option http-no-delay\n\
         \x20 timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen road\n  bind 127.0.0.1:{port}\n  server backend {server}\n"
    );
    let config = folder.path().join("haproxy.cfg");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(testkit::provided("haproxy.sh"));
    command.arg("-db").arg("-f").arg(&config);
    let process = Process::start("haproxy", &mut command, folder.path());
    listens(port).await;
    Road::through(name, format!("http://127.0.0.1:{port}"), vec![process], folder)
}
