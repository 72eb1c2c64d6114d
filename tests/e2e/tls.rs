//! A server with TLS of its own, for a real agent and a real mcpctl.

use crate::chat_body;
use serde_json::Value;
use std::process::Command;
use testkit::agent::{Agent, Home, provider};
use testkit::caller::counted;
use testkit::certificate::Certificate;
use testkit::fake_backend::FakeBackend;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::{CommandLine as _, CommandOutput, program, run_to_end};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Open files of a server: with 64 for other things, room for 192 connections.
const FILES: &str = "-n 256";

#[tokio::test]
async fn agent_and_mcpctl_use_a_server_whose_certificate_they_are_given() {
    let certificate = Certificate::valid();
    let (mcpd, backend) =
        tokio::join!(Mcpd::limited_with_tls(FILES, &certificate, 1.0), FakeBackend::awake());
    assert!(mcpd.url.starts_with("https://127.0.0.1:"), "{}", mcpd.url);
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let (token, file) = (mcpd.token("mia", "publish"), certificate.file());
    let file = file.to_str().unwrap();
    let _agent =
        Agent::with_environment(&home, &[("MCPCTL_TOKEN", &token), ("MCPCTL_CA_FILE", file)]);
    let caller = mcpd.token("tom", "infer");
    mcpd.until_active(&caller, "qwen").await;
    let streams = |status: &Value| status["channel"] == "stream" && status["upload"] == "uplink";
    home.until_status("streams", streams).await;
    let response = mcpd.post("/v1/chat/completions", &caller).json(&chat_body()).send().await;
    assert_eq!(response.unwrap().status(), 200);

    let mcpctl = Mcpctl::with(&mcpd.url, &caller);
    let chat = ["chat", "qwen", r#"{"do": "count", "n": 7}"#];
    for variable in ["MCPCTL_CA_FILE", "SSL_CERT_FILE"] {
        let said = mcpctl.run_with(&chat, "", &[(variable, file)]).await.expect_success();
        assert_eq!(said, format!("{}\n", counted(7)), "{variable}");
    }
    let refused = mcpctl.run(&chat).await.expect_failure();
    assert!(refused.contains("cannot be reached: invalid peer certificate"), "{refused}");
}

#[tokio::test]
async fn a_renewal_is_logged_and_a_broken_one_says_what_to_do() {
    let old = Certificate::valid();
    let mcpd = Mcpd::limited_with_tls(FILES, &old, 0.1).await;
    let other = Certificate::valid();
    std::fs::copy(other.key(), old.key()).unwrap();
    let logged = async |what: &'static str| {
        testkit::until(what, async || mcpd.process.stderr().contains(what).then_some(())).await;
    };
    logged("the new TLS certificate is not used, the one before stays in force").await;
    logged("does not belong to the first certificate in").await;
    let healthz = format!("{}/healthz", mcpd.url);
    assert_eq!(old.client().get(&healthz).send().await.unwrap().status(), 200);
    let new = old.renew();
    logged("the TLS certificate was renewed").await;
    assert_eq!(new.client().get(&healthz).send().await.unwrap().status(), 200);
    let errors = mcpd.process.stderr().matches("is not used").count();
    assert_eq!(errors, 1, "once for each change: {}", mcpd.process.stderr());
}

/// Runs mcpd with these arguments in a folder of its own until it exits.
async fn refused(arguments: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("mcpd"));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path()).args(arguments);
    run_to_end(command, "").await
}

#[tokio::test]
async fn mcpd_refuses_to_start_with_wrong_settings_for_tls_or_cors() {
    let (good, other) = (Certificate::valid(), Certificate::valid());
    let (file, key, wrong) = (good.file(), good.key(), other.key());
    let [file, key, wrong] = [&file, &key, &wrong].map(|path| path.to_str().unwrap());
    let said = refused(&["--tls-cert", file, "--tls-key", wrong]).await.expect_failure();
    let expected = format!(
        "Error: the key in {wrong} does not belong to the first certificate in {file}; give the \
         key that this certificate was made for, and put the server's own certificate first\n"
    );
    assert_eq!(said, expected);
    let said = refused(&["--tls-key", key]).await.expect_failure();
    assert!(said.starts_with("Error: tls-key is given without tls-cert"), "{said}");
    let said = refused(&["--cors-origin", "https://app.example/"]).await.expect_failure();
    assert!(said.starts_with("Error: cors-origin: \"https://app.example/\" is not"), "{said}");
}

#[tokio::test]
async fn an_expired_certificate_is_used_with_a_warning() {
    let certificate = Certificate::expired();
    let mcpd = Mcpd::limited_with_tls(FILES, &certificate, 1.0).await;
    testkit::until("the log has a warning", async || {
        let log = mcpd.process.stderr();
        let line = log.lines().find(|line| line.contains("the TLS certificate has expired"))?;
        assert!(line.contains("WARN") && line.contains("cert.pem"), "{line}");
        Some(())
    })
    .await;
    let refused = certificate.client().get(&mcpd.url).send().await.unwrap_err();
    assert!(format!("{refused:?}").contains("Expired"), "{refused:?}");
}

#[tokio::test]
async fn clients_that_begin_no_handshake_do_not_shut_out_others() {
    let certificate = Certificate::valid();
    let mcpd = Mcpd::limited_with_tls(FILES, &certificate, 1.0).await;
    let address = mcpd.url.trim_start_matches("https://");
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let caller = mcpd.token("tom", "infer");
    for path in ["/healthz", "/v1/models"] {
        let request = certificate.client().get(format!("{}{path}", mcpd.url));
        let response = request.bearer_auth(&caller).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    // The oldest ones were closed for the others, long before their time was over.
    let closed = tokio::time::timeout(testkit::TIMEOUT, silent[0].read(&mut [0; 16])).await;
    assert!(matches!(closed.unwrap(), Ok(0) | Err(_)));
}
