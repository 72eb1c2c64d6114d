//! rathole, a reverse tunnel: its client connects outwards, as our agent does.

use super::{Route, nginx, until_listening};
use crate::delay_proxy::DelayProxy;
use std::any::Any;
use std::path::Path;
use std::process::Command;
use testkit::certificate::Certificate;
use testkit::process::Process;

/// Starts a tunnel to the backend behind an nginx, a typical set-up of existing tools.
pub(super) async fn open(name: &'static str, backend: &str) -> Route {
    tunnel(name, backend, None, async |control| (control, ())).await
}

/// The same with TLS in front of it and the tunnel's own encryption.
pub(super) async fn open_tls(name: &'static str, backend: &str, tls: &Certificate) -> Route {
    tunnel(name, backend, Some(tls), async |control| (control, ())).await
}

/// The same with a delay between its two ends.
pub(super) async fn open_far(name: &'static str, backend: &str) -> Route {
    let delayed = async |control: String| {
        let delay = DelayProxy::before(&control).await;
        (delay.address.clone(), delay)
    };
    tunnel(name, backend, None, delayed).await
}

async fn tunnel<W: Any>(
    name: &'static str,
    backend: &str,
    tls: Option<&Certificate>,
    connect: impl AsyncFnOnce(String) -> (String, W),
) -> Route {
    let folder = tempfile::tempdir().unwrap();
    let (control, service) = (testkit::free_port(), testkit::free_port());
    let [server_side, client_side] = transport(tls.is_some());
    let server = start(
        folder.path(),
        "server",
        &format!(
            "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"bench\"\n\
             [server.services.llm]\nbind_addr = \"127.0.0.1:{service}\"\n{server_side}"
        ),
    );
    until_listening(control).await;
    let (remote, proxy) = connect(format!("127.0.0.1:{control}")).await;
    let local = backend.trim_start_matches("http://");
    let client = start(
        folder.path(),
        "client",
        &format!(
            "[client]\nremote_addr = \"{remote}\"\ndefault_token = \"bench\"\n\
             [client.services.llm]\nlocal_addr = \"{local}\"\n{client_side}"
        ),
    );
    until_listening(service).await;
    let upstream = format!("http://127.0.0.1:{service}");
    nginx::before(name, &upstream, tls, vec![server, client], (folder, proxy)).await
}

/// Configuration of the transport for server and client.
fn transport(encrypted: bool) -> [String; 2] {
    if !encrypted {
        return [String::new(), String::new()];
    }
    let keys = Command::new(testkit::provided("rathole.sh")).arg("--genkey").output().unwrap();
    let keys = String::from_utf8(keys.stdout).unwrap();
    let mut keys = keys.lines().filter(|line| !line.is_empty() && !line.ends_with(':'));
    let (private, public) = (keys.next().unwrap(), keys.next().unwrap());
    let side = |side, key, value| {
        format!(
            "[{side}.transport]\ntype = \"noise\"\n[{side}.transport.noise]\n{key} = \"{value}\"\n"
        )
    };
    [side("server", "local_private_key", private), side("client", "remote_public_key", public)]
}

fn start(folder: &Path, side: &str, text: &str) -> Process {
    let config = folder.join(format!("{side}.toml"));
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(testkit::provided("rathole.sh"));
    command.arg(format!("--{side}")).arg(&config).env("RUST_LOG", "error");
    Process::start(&format!("rathole-{side}"), &mut command, folder)
}
