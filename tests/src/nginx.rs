//! A real nginx in front of mcpd, with the settings that it comes with.

use crate::process::Process;
use std::process::Command;
use tempfile::TempDir;

/// A running nginx.
pub struct Nginx {
    /// `http://127.0.0.1:…`
    pub url: String,
    _process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// In front of `upstream`; `more` goes into its `location`.
    pub async fn before(upstream: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = crate::free_port();
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(&folder, port, upstream, more)).unwrap();
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

fn configuration(folder: &TempDir, port: u16, upstream: &str, more: &str) -> String {
    let at = folder.path().display();
    format!(
        "daemon off; master_process off; pid {at}/pid;\n\
         events {{}}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
           fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location / {{ proxy_pass {upstream}; {more} }}\n\
           }}\n\
         }}\n"
    )
}
