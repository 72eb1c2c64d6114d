//! TLS: calls, the certificate and its renewal, handshakes, and the ends of connections.

use crate::responses::{JSON, SSE};
use crate::server::{PATIENCE, Server, files};
use crate::windows::{WINDOW, limit};
use mcpd::tls::{CertificateFiles, Tls};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use testkit::certificate::Certificate;
use testkit::fake_publisher::{frame, ok};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// The head of an answer and its first bytes.
fn begun(task: &str, kind: &str, bytes: &[u8]) -> Vec<u8> {
    [frame::head(task, &ok(kind)), frame::data(task, 0, bytes)].concat()
}

async fn connect(server: &Server, callers: &TlsConnector) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(server.address()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    timeout(PATIENCE, callers.connect(name, socket)).await.unwrap().unwrap()
}

/// The head of a chat with a body of this length.
fn chat_head(version: &str, key: &str, length: usize) -> String {
    format!(
        "POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// Sends a chat as an old proxy does: the end of the connection is the end of the response.
async fn old_chat(server: &Server, callers: &TlsConnector, key: &str) -> TlsStream<TcpStream> {
    let body = json!({"model": "qwen", "messages": []}).to_string();
    let mut stream = connect(server, callers).await;
    let request = chat_head("1.0", key, body.len()) + &body;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The received bytes, and how the connection ended.
async fn to_end(mut stream: TlsStream<TcpStream>) -> (String, Result<(), ErrorKind>) {
    let mut all = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    let ended = read.expect("the server closes").map(drop).map_err(|error| error.kind());
    (String::from_utf8_lossy(&all).into_owned(), ended)
}

/// The certificate that a new connection gets, from a server whose certificate is one of these.
async fn served(server: &Server, trusted: &[&[u8]]) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    for der in trusted {
        roots.add(der.to_vec().into()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = connect(server, &Arc::new(config).into()).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_call_over_tls_streams() {
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 1.0).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher.deliver(begun(&task, SSE, b"data: 0\n\n")).await;
    let mut response = chat.await.unwrap().unwrap();
    for number in 1..4 {
        // Each piece arrives before the next one is sent.
        let piece = timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().unwrap();
        assert_eq!(piece, format!("data: {}\n\n", number - 1));
        let event = format!("data: {number}\n\n");
        publisher.deliver(frame::data(&task, number * event.len(), event.as_bytes())).await;
    }
    publisher.deliver(frame::end(&task)).await;
    assert_eq!(response.text().await.unwrap(), "data: 3\n\n");
}

#[tokio::test]
async fn a_renewed_certificate_is_served_to_new_connections_while_an_open_stream_goes_on() {
    let old = Certificate::valid();
    let server = Server::with_tls(&old, 0.1).await;
    let before = old.der().to_vec();
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher.deliver(begun(&task, SSE, b"data: 1\n\n")).await;
    let mut response = chat.await.unwrap().unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");

    let new = old.renew();
    testkit::until("the new certificate is served", async || {
        (served(&server, &[&before, new.der()]).await == new.der()).then_some(())
    })
    .await;
    let rest = [frame::data(&task, 9, b"data: 2\n\n"), frame::end(&task)].concat();
    publisher.deliver(rest).await;
    assert_eq!(response.text().await.unwrap(), "data: 2\n\n");
}

#[tokio::test]
async fn a_wrong_certificate_or_key_is_refused_with_the_reason_and_the_remedy() {
    let (good, other) = (Certificate::valid(), Certificate::valid());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = (good.pem(), std::fs::read_to_string(good.key()).unwrap());
    let damaged = certificate.replacen("MI", "?!", 1);
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let text = file("text.pem", "certificate: to do\n");
    for (certificate, key, reason, remedy) in [
        (folder.path().join("none.pem"), good.key(), "No such file", "--tls-cert must name"),
        (good.file(), folder.path().join("none.pem"), "No such file", "--tls-key must name"),
        (folder.path().to_owned(), good.key(), "cannot be read", "--tls-cert must name"),
        (text.clone(), good.key(), "has no certificate in it", "BEGIN CERTIFICATE"),
        (good.key(), good.file(), "has no certificate in it", "--tls-cert must name"),
        (good.file(), text, "has no private key in it", "--tls-key must name"),
        (good.file(), file("locked.pem", &locked), "has no private key in it", "not encrypted"),
        (file("damaged.pem", &damaged), good.key(), "is damaged", "--tls-cert must name"),
        (file("der.pem", no_der), good.key(), "first certificate", "--tls-cert must begin"),
        (good.file(), file("key.pem", no_key), "cannot be used", "--tls-key must have"),
        (good.file(), other.key(), "does not belong", "the key that this certificate"),
        (file("large.pem", &"x".repeat(2 << 20)), good.key(), "more than", "--tls-cert must name"),
    ] {
        let files = CertificateFiles { certificate, key };
        let said = Tls::load(&files).err().unwrap().to_string();
        assert!(said.contains(reason) && said.contains(remedy), "{files:?}: {said}");
        assert!(said.contains(".pem") || said.contains("/tmp"), "names the file: {said}");
    }
    Tls::load(&files(&good)).unwrap();
    Tls::load(&files(&Certificate::expired())).unwrap();
}

/// Runs openssl in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn keys_are_read_in_every_usual_form_and_a_chain_is_sent_whole() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Certificate::valid().pem();
    for (form, make) in [
        ("BEGIN RSA PRIVATE KEY", "genrsa -traditional -out key.pem 2048"),
        ("BEGIN PRIVATE KEY", "genrsa -out key.pem 2048"),
        ("BEGIN EC PARAMETERS", "ecparam -genkey -name prime256v1 -out key.pem"),
        ("BEGIN EC PRIVATE KEY", "ecparam -genkey -noout -name secp384r1 -out key.pem"),
        ("BEGIN PRIVATE KEY", "genpkey -algorithm ed25519 -out key.pem"),
    ] {
        openssl(folder.path(), make);
        openssl(folder.path(), "req -x509 -key key.pem -subj /CN=x -days 2 -out cert.pem");
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        assert!(std::fs::read_to_string(&key).unwrap().contains(form), "{make}");
        let chain = std::fs::read_to_string(&certificate).unwrap() + &issuer;
        std::fs::write(&certificate, chain).unwrap();
        if let Err(error) = Tls::load(&CertificateFiles { certificate, key }) {
            panic!("{make}: {error}");
        }
    }
    // The chain of a running server.
    let leaf = Certificate::valid();
    std::fs::write(leaf.file(), leaf.pem() + &issuer).unwrap();
    let server = Server::with_tls(&leaf, 1.0).await;
    let stream = connect(&server, &leaf.callers).await;
    let sent = stream.get_ref().1.peer_certificates().unwrap();
    let issuer = rustls::pki_types::CertificateDer::from_pem_slice(issuer.as_bytes()).unwrap();
    assert_eq!((sent.len(), &sent[0][..], &sent[1]), (2, leaf.der(), &issuer));
}

#[tokio::test]
async fn tls_is_1_2_or_1_3_and_contains_http_1_1_only() {
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 1.0).await;
    let config = |version, alpn: &[&[u8]]| {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().to_vec().into()).unwrap();
        let config = ClientConfig::builder_with_protocol_versions(&[version]);
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    };
    for version in [&TLS12, &TLS13] {
        let callers = config(version, &[b"h2", b"http/1.1"]);
        let stream = connect(&server, &callers).await;
        let session = stream.get_ref().1;
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(session.protocol_version(), Some(version.version));
    }
    let socket = TcpStream::connect(server.address()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let refused = config(&TLS13, &[b"h2"]).connect(name, socket).await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_is_closed_in_time() {
    // The time for a handshake is 10 s, here 200 ms.
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 0.02).await;
    // Nothing; the beginning of a record; a record that announces more than it has.
    for begin in [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"] {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(begin).await.unwrap();
        let began = Instant::now();
        let mut said = Vec::new();
        let read = timeout(PATIENCE, socket.read_to_end(&mut said)).await;
        let _ = read.expect("the server closes");
        assert!(began.elapsed() > Duration::from_millis(100), "{begin:?}: {:?}", began.elapsed());
        assert!(said.is_empty(), "{said:?}");
    }
}

#[tokio::test]
async fn clear_text_at_a_tls_port_and_tls_at_a_port_without_it_are_closed_at_once() {
    let certificate = Certificate::valid();
    let (tls, plain) = (Server::with_tls(&certificate, 1.0).await, Server::start().await);
    let began = Instant::now();
    let mut socket = TcpStream::connect(tls.address()).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut said)).await.expect("the server closes");
    assert!(!String::from_utf8_lossy(&said).contains("HTTP/"), "{said:?}");
    let socket = TcpStream::connect(plain.address()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let refused = timeout(PATIENCE, certificate.callers.connect(name, socket)).await.unwrap();
    assert!(refused.is_err());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_broken_response_ends_without_close_notify_and_a_whole_one_with_it() {
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 1.0).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    for breaks in [true, false] {
        let mut stream = old_chat(&server, &certificate.callers, &caller).await;
        let (task, _) = publisher.task().await;
        publisher.deliver(begun(&task, JSON, b"{\"half\":")).await;
        // The first half has arrived before the rest follows or does not.
        let mut begun = String::new();
        while !begun.contains("half") {
            let mut buffer = [0; 1024];
            let read = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
            assert!(read > 0, "closed after {begun}");
            begun.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        assert!(begun.contains(" 200 OK"), "{begun}");
        let rest = if breaks {
            frame::failed(&task, &json!({"message": "x", "code": "backend_aborted"}))
        } else {
            [frame::data(&task, 8, b"1}"), frame::end(&task)].concat()
        };
        publisher.deliver(rest).await;
        let (rest, ended) = to_end(stream).await;
        // Without close_notify and without a reset it would be `UnexpectedEof`.
        let expected = if breaks { Err(ErrorKind::ConnectionReset) } else { Ok(()) };
        assert_eq!(ended, expected, "{rest}");
    }
}

#[tokio::test]
async fn a_response_over_tls_that_is_cut_by_the_shutdown_ends_with_a_reset() {
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 0.02).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let stream = old_chat(&server, &certificate.callers, &caller).await;
    let (task, _) = publisher.task().await;
    publisher.deliver(begun(&task, JSON, b"{\"half\":")).await;
    let reads = tokio::spawn(to_end(stream));
    let reader = server.token("root", &["admin"]).await;
    server.entry_where(&reader, "qwen", |entry| entry["inFlight"] == 1).await;
    server.shutdown.cancel();
    let (said, ended) = reads.await.unwrap();
    assert_eq!(ended, Err(ErrorKind::ConnectionReset), "{said}");
}

#[tokio::test]
async fn a_refusal_over_tls_arrives_while_the_body_is_still_being_sent() {
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 1.0).await;
    let caller = server.token("ann", &["infer"]).await;
    let stream = connect(&server, &certificate.callers).await;
    let (reads, mut writes) = tokio::io::split(stream);
    let sends = tokio::spawn(async move {
        let head = chat_head("1.1", &caller, 60 << 20) + "{\"model\":\"nope\",\"x\":\"";
        writes.write_all(head.as_bytes()).await.unwrap();
        // About as much as the server still drops.
        for _ in 0..48 {
            if writes.write_all(&[b'x'; 64 * 1024]).await.is_err() {
                break;
            }
        }
        writes
    });
    let mut reads = reads;
    let mut said = Vec::new();
    timeout(PATIENCE, reads.read_to_end(&mut said)).await.unwrap().unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 404") && said.contains("llm_not_found"), "{said}");
    assert!(said.contains("connection: close"), "{said}");
    drop(sends.await.unwrap());
}

#[tokio::test]
async fn a_caller_over_tls_that_does_not_read_is_disconnected() {
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 0.05).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let lazy = old_chat(&server, &certificate.callers, &caller).await;
    let (task, _) = publisher.task().await;
    publisher.deliver(frame::head(&task, &ok(SSE))).await;
    let (mut sent, mut most) = (0, WINDOW);
    loop {
        publisher.deliver(frame::data(&task, sent, &vec![b'x'; most - sent])).await;
        sent = most;
        assert!(sent < 64 << 20, "the answer must be held back");
        let told = timeout(Duration::from_millis(300), publisher.flow("taken")).await;
        let Ok(taken) = told else { break };
        most = limit(&taken, &task).unwrap_or(most);
    }
    let (name, event) = publisher.event().await;
    assert_eq!((name.as_str(), &event["taskId"]), ("cancel", &json!(task)));
    let (_, ended) = to_end(lazy).await;
    assert_eq!(ended, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn errors_over_tls_are_as_without_it() {
    let certificate = Certificate::valid();
    let server = Server::with_tls(&certificate, 1.0).await;
    let refused = server.post("/v1/chat/completions", "mcp_infer_x").body("{}").send();
    let refused = refused.await.unwrap();
    assert_eq!(refused.status(), 401);
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "invalid_api_key");
}
