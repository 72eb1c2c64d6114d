//! Bodies that are no text: forms with files on their way to a backend, binary responses on their way
//! back; called by hand and by the official clients.

use crate::Setup;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::process::Command;
use testkit::caller::{FORM, error_code, form, noise};
use testkit::llama;
use testkit::process::Process;
use testkit::received_request::ReceivedRequest;

const MIB: usize = 1 << 20;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a form through mcpd, and returns what the backend received.
async fn through_mcpd(setup: &Setup, path: &str, body: Bytes) -> ReceivedRequest {
    let request = setup.mcpd.post(path, &setup.caller).header("content-type", FORM).body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}: {:?}", response.text().await);
    setup.backend.requests().pop().unwrap()
}

/// Sends a form to the backend, and returns what it received.
async fn directly(setup: &Setup, path: &str, body: Bytes) -> ReceivedRequest {
    let request = reqwest::Client::new().post(format!("{}{path}", setup.backend.url));
    request.header("content-type", FORM).body(body).send().await.unwrap();
    setup.backend.requests().pop().unwrap()
}

#[tokio::test]
async fn a_form_through_mcpd_equals_the_direct_one_except_for_the_value_of_model() {
    let setup = Setup::new().await;
    let file = noise(3 * MIB);
    let (name, script) = ("name=\"file\"; filename=\"C:\\a \u{e4}.wav\"", "{\"do\": \"whole\"}");
    for path in wire::paths::FORMS {
        let small = |model: &'static str| {
            form(&[
                ("name=\"model\"", model.as_bytes()),
                (name, b"\r\n--\r\n-"),
                ("name=\"a[]\"", b""),
            ])
        };
        let large = |model: &'static str| {
            let prompt = ("name=\"prompt\"", script.as_bytes());
            form(&[prompt, (name, &file), ("name=model", model.as_bytes()), (name, b"\xff")])
        };
        for body in [&small as &dyn Fn(&'static str) -> Bytes, &large] {
            let relayed = through_mcpd(&setup, path, body("qwen")).await;
            let direct = directly(&setup, path, body("the-backends-own-name")).await;
            assert!(relayed.body == direct.body, "{path}: another byte than the model's changed");
            assert_eq!(relayed.content_type(), direct.content_type(), "{path}");
            assert_eq!(relayed.path, *path);
            assert_eq!(relayed.form().await["model"], "the-backends-own-name");
        }
    }
}

#[tokio::test]
async fn a_streamed_form_is_answered_by_the_backends_events() {
    let setup = Setup::new().await;
    let (file, script) = (noise(100), json!({"do": "count", "n": 30}).to_string());
    let parts: [(&str, &[u8]); 4] = [
        ("name=\"file\"; filename=\"a.wav\"", &file),
        ("name=\"prompt\"", script.as_bytes()),
        ("name=\"stream\"", b"true"),
        ("name=\"model\"", b"qwen"),
    ];
    let request = setup.mcpd.post("/v1/audio/transcriptions", &setup.caller);
    let request = request.header("content-type", FORM).body(form(&parts));
    let streamed = testkit::caller::read_stream(request.send().await.unwrap()).await;
    assert_eq!((streamed.text, streamed.done), (testkit::caller::counted(30), true));
}

#[tokio::test]
async fn a_binary_response_of_three_megabytes_arrives_unchanged() {
    let setup = Setup::new().await;
    let script = json!({"do": "bytes", "n": 3 * MIB, "type": "audio/mpeg"});
    let speech = json!({"model": "qwen", "voice": "alloy", "input": script.to_string()});
    let speech = setup.mcpd.post("/v1/audio/speech", &setup.caller).json(&speech);
    let script = script.to_string();
    let edit = form(&[("name=model", b"qwen"), ("name=\"prompt\"", script.as_bytes())]);
    let edit = setup.mcpd.post("/v1/images/edits", &setup.caller).body(edit);
    for request in [speech, edit.header("content-type", FORM)] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "audio/mpeg");
        let bytes = response.bytes().await.unwrap();
        assert_eq!((bytes.len(), sha256(&bytes)), (3 * MIB, sha256(&noise(3 * MIB))));
    }
}

#[tokio::test]
async fn invalid_forms_are_refused_with_their_reason_and_never_reach_the_backend() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let model = ("name=\"model\"", &b"qwen"[..]);
    let whole = form(&[model, ("name=\"file\"; filename=\"a\"", b"a")]);
    for (content_type, body, word) in [
        (FORM, form(&[("name=\"file\"; filename=\"a\"", b"a")]), "`model` is missing"),
        (FORM, form(&[model, model]), "duplicate part `model`"),
        (FORM, form(&[model, ("name=\"MODEL\"", b"other")]), "could be taken for `model`"),
        (FORM, whole.slice(..whole.len() - 4), "cut off"),
        (FORM, "{\"model\": \"qwen\"}".into(), "must begin with the boundary"),
        ("multipart/form-data", whole.clone(), "no usable `boundary`"),
        ("text/plain", whole.clone(), "takes `multipart/form-data`"),
        ("application/json", whole, "JSON object"),
    ] {
        let request = setup.mcpd.post("/v1/audio/transcriptions", &setup.caller);
        let request = request.header("content-type", content_type).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{word}");
        let text = response.text().await.unwrap();
        assert!(text.contains(word) && text.contains("invalid_request_error"), "{word}: {text}");
    }
    let unknown = form(&[("name=\"model\"", b"gwen")]);
    let request = setup.mcpd.post("/v1/images/edits", &setup.caller).header("content-type", FORM);
    let response = request.body(unknown).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(error_code(response).await, "llm_not_found");
    assert!(setup.backend.requests().is_empty());
}

/// The script of a response with this body.
fn says(content_type: &str, body: &str) -> Value {
    json!({"do": "status", "status": 200, "type": content_type, "body": body})
}

#[tokio::test]
async fn the_official_python_and_javascript_clients_send_files_and_get_binary_responses() {
    let setup = Setup::new().await;
    let clients = testkit::repository().join("tests/clients");
    let python = llama::folder().join("venv/bin/python");
    let image = json!({"created": 1, "data": [{"b64_json": "aW1hZ2U="}]}).to_string();
    let events = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"hel\"}\n\n\
                  data: {\"type\":\"transcript.text.delta\",\"delta\":\"lo\"}\n\n\
                  data: {\"type\":\"transcript.text.done\",\"text\":\"hello\"}\n\n";
    let scripts = json!({
        "text": says("application/json", "{\"text\":\"hello\"}"),
        "events": says("text/event-stream", events),
        "image": says("application/json", &image),
        "speech": {"do": "bytes", "n": 3 * MIB, "type": "audio/mpeg"},
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("speech.wav");
    std::fs::write(&file, noise(MIB)).unwrap();
    for (program, script) in
        [(python.to_str().unwrap(), clients.join("files.py")), ("node", clients.join("files.mjs"))]
    {
        let (before, output) = (setup.backend.requests().len(), tempfile::tempdir().unwrap());
        let mut command = Command::new(program);
        command.arg(script).env("OPENAI_BASE_URL", format!("{}/v1", setup.mcpd.url));
        command.env("OPENAI_API_KEY", &setup.caller).env("MODEL", "qwen");
        command.env("SCRIPTS", scripts.to_string()).env("FILE", &file);
        let mut client = Process::start("client", &mut command, output.path());
        let ended = testkit::until("the client exits", async || client.exit_status()).await;
        assert!(ended.success(), "{program}: {}", client.stderr());
        let result: Value = serde_json::from_str(&client.stdout()).unwrap();
        let expected = json!({
            "transcribed": "hello", "streamed": "hello", "translated": "hello",
            "drawn": "aW1hZ2U=", "edited": "aW1hZ2U=", "varied": "aW1hZ2U=",
            "spoken": sha256(&noise(3 * MIB)), "error": 404,
        });
        assert_eq!(result, expected, "{program}");
        for received in &setup.backend.requests()[before..] {
            let form = received.form().await;
            let body = if form.is_null() { received.json() } else { form };
            assert_eq!(body["model"], "the-backends-own-name", "{program}: {}", received.path);
        }
    }
}
