//! Forms on their way from a caller to a publisher.

use crate::server::Server;
use bytes::Bytes;
use reqwest::{Body, Response};
use serde_json::{Value, json};
use testkit::caller::{FORM, form};
use tokio_stream::StreamExt as _;

const PATH: &str = "/v1/audio/transcriptions";

async fn error(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["error"].clone())
}

#[tokio::test]
async fn a_form_is_fetched_as_its_caller_sent_it_and_its_fields_are_read() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    for stream in [true, false] {
        let body = form(&[
            ("name=\"file\"; filename=\"a.wav\"", b"\0\xff\r\n"),
            ("name=\"stream\"", stream.to_string().as_bytes()),
            ("name=\"model\"", b"qwen"),
        ]);
        let call = server.post(PATH, &caller).header("content-type", FORM).body(body.clone());
        let call = tokio::spawn(call.send());
        let (task, frame) = publisher.task().await;
        assert_eq!(
            (&frame["path"], &frame["bodyRef"], &frame["streaming"]),
            (&json!(PATH), &json!(true), &json!(stream))
        );
        assert_eq!(frame["headers"]["content-type"], FORM);
        let fetch = server.get(&wire::paths::task_request(&task), &publisher.token);
        let fetched = fetch.send().await.unwrap();
        assert_eq!(fetched.headers()["content-type"], FORM);
        assert_eq!(fetched.bytes().await.unwrap(), body);
        publisher.result(&task, &json!({"status": 200, "body": {"text": "a"}})).await;
        let answer: Value = call.await.unwrap().unwrap().json().await.unwrap();
        assert_eq!(answer, json!({"text": "a"}));
    }
}

#[tokio::test]
async fn a_form_is_refused_before_the_rest_of_it_is_sent() {
    let server = Server::start().await;
    let _publisher = server.publisher("qwen").await;
    let caller = server.token("ann", &["infer"]).await;
    let begin = |parts: &[(&str, &[u8])]| {
        let whole = form(parts);
        whole.slice(..whole.len() - "--\r\n".len())
    };
    for (begin, status, code, word) in [
        (begin(&[("name=\"model\"", b"nope")]), 404, "llm_not_found", "qwen"),
        (begin(&[("name=\"Model\"", b"")]), 400, "invalid_request", "could be taken for `model`"),
        ("{".into(), 400, "invalid_request", "boundary"),
    ] {
        let rest = tokio_stream::pending::<Result<Bytes, std::io::Error>>();
        let body = Body::wrap_stream(tokio_stream::once(Ok(begin)).chain(rest));
        let answer =
            server.post(PATH, &caller).header("content-type", FORM).body(body).send().await;
        let (found, error) = error(answer.unwrap()).await;
        assert_eq!((found, &error["code"]), (status, &json!(code)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_form_without_a_model_gets_the_error_of_json_without_one() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let without = form(&[("name=\"file\"; filename=\"a\"", b"a")]);
    let request = server.post(PATH, &caller).header("content-type", FORM).body(without);
    let of_form = error(request.send().await.unwrap()).await;
    let request = server.post("/v1/embeddings", &caller).json(&json!({}));
    assert_eq!(of_form, error(request.send().await.unwrap()).await);
    assert_eq!((of_form.0, &of_form.1["param"]), (400, &json!("model")));
}

#[tokio::test]
async fn an_endpoint_without_forms_refuses_them() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let body = form(&[("name=\"model\"", b"qwen")]);
    for path in ["/v1/chat/completions", "/v1/images/generations", "/api/v1/llms/qwen/infer"] {
        let request = server.post(path, &caller).header("content-type", FORM).body(body.clone());
        let (status, error) = error(request.send().await.unwrap()).await;
        let message = error["message"].as_str().unwrap();
        assert!(status == 400 && message.contains("takes JSON and no form"), "{path}: {error}");
    }
    let request = server.post("/v1/messages", &caller).header("content-type", FORM).body(body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&answer["type"], &answer["error"]["type"]),
        (&json!("error"), &json!("invalid_request_error"))
    );
}
