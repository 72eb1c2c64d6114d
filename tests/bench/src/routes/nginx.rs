//! nginx, configured for token streams: persistent connections and no buffering.

use super::{Route, until_listening};
use std::any::Any;
use std::process::Command;
use testkit::certificate::Certificate;
use testkit::process::Process;

/// Starts nginx in front of `upstream`, with TLS if there is a certificate. `behind` and `more` are
/// the processes behind it and what they need.
pub(super) async fn before(
    name: &'static str,
    upstream: &str,
    tls: Option<&Certificate>,
    behind: Vec<Process>,
    more: impl Any,
) -> Route {
    let folder = tempfile::tempdir().unwrap();
    let (port, at) = (testkit::free_port(), folder.path().display());
    let server = upstream.trim_start_matches("http://");
    let (listen, certificate) = match tls {
        None => (format!("127.0.0.1:{port}"), String::new()),
        Some(tls) => {
            let (file, key) = (tls.file(), tls.key());
            let (file, key) = (file.display(), key.display());
            let lines = format!("ssl_certificate {file}; ssl_certificate_key {key};");
            (format!("127.0.0.1:{port} ssl"), lines)
        }
    };
    let text = format!(
        "daemon off; master_process off; pid {at}/pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
           access_log off; tcp_nodelay on; keepalive_requests 1000000;\n\
           client_max_body_size 64m; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
           fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
           upstream backend {{ server {server}; keepalive 256; keepalive_requests 1000000; }}\n\
           server {{\n\
             listen {listen}; {certificate}\n\
             location / {{\n\
               proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
               proxy_buffering off; proxy_request_buffering off;\n\
             }}\n\
           }}\n\
         }}\n"
    );
    let config = folder.path().join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(testkit::provided("nginx.sh"));
    command.arg("-e").arg("stderr").arg("-c").arg(&config).arg("-p").arg(folder.path());
    let process = Process::start("nginx", &mut command, folder.path());
    until_listening(port).await;
    let processes = std::iter::once(process).chain(behind).collect();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{port}");
    let callers = tls.map(|tls| tls.callers.clone());
    Route { tls: callers, ..Route::through(name, url, processes, (folder, more)) }
}
