//! A real nginx in front of mcpd, with its default settings.

use crate::process::Process;
use std::process::Command;
use tempfile::TempDir;

/// Settings that docs/operations.md recommends for the `location` in front of mcpd.
pub const RECOMMENDED_LINES: &str = "client_max_body_size 64m; \
    proxy_http_version 1.1; proxy_set_header Connection \"\"; \
    proxy_request_buffering off; proxy_buffering off; \
    proxy_read_timeout 35m; proxy_send_timeout 35m;";

/// A running nginx.
pub struct Nginx {
    /// `http://127.0.0.1:…`
    pub url: String,
    _process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// Starts one in front of `upstream`; `more` goes into its `location`.
    pub async fn in_front_of(upstream: &str, more: &str) -> Self {
        Self::with_settings(upstream, "", more).await
    }

    /// As [`Self::in_front_of`], with `defaults` in the `http` block.
    pub async fn with_settings(upstream: &str, defaults: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = crate::free_port();
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(&folder, port, upstream, defaults, more)).unwrap();
        let mut command = Command::new(crate::provided("nginx.sh"));
        command.arg("-e").arg("stderr").arg("-c").arg(&config).arg("-p").arg(folder.path());
        let process = Process::start("nginx", &mut command, folder.path());
        crate::until("nginx listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let url = format!("http://127.0.0.1:{port}");
        Self { url, _process: process, _folder: folder }
    }
}

fn configuration(
    folder: &TempDir,
    port: u16,
    upstream: &str,
    defaults: &str,
    more: &str,
) -> String {
    let at = folder.path().display();
    format!(
        "daemon off; master_process off; pid {at}/pid;\n\
         events {{}}\n\
         http {{\n\
           access_log off; {defaults}\n\
           client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
           fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location / {{ proxy_pass {upstream}; {more} }}\n\
           }}\n\
         }}\n"
    )
}
