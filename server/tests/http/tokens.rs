//! Who may do what, and how fast that ends.

use crate::publisher::Publisher;
use crate::server::Server;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn scopes_are_apart_from_each_other() {
    let server = Server::start().await;
    let _publisher = Publisher::of(&server, "qwen").await;
    let register = json!({"providers": []});
    let wish = json!({"user": "x", "scopes": ["infer"]});
    // A chat with an unknown model is 404 for who may call, and never reaches a publisher.
    let chat = json!({"model": "nope"});
    for (scope, infer, publish, admin) in [
        ("infer", 404, 403, 403),
        ("infer:qwen", 404, 403, 403),
        ("publish", 404, 201, 403),
        ("admin", 403, 403, 201),
    ] {
        let token = server.token("ann", &[scope]).await;
        let status = async |path: &str, body: &Value| {
            let answer = server.post(path, &token).json(body).send().await.unwrap();
            answer.status().as_u16()
        };
        assert_eq!(status("/v1/chat/completions", &chat).await, infer, "{scope}");
        assert_eq!(status(wire::paths::REGISTER, &register).await, publish, "{scope}");
        assert_eq!(status(wire::paths::TOKENS, &wish).await, admin, "{scope}");
    }
    let named = server.token("ann", &["infer:other"]).await;
    let answer = server.chat(&named, "qwen").send().await.unwrap();
    assert_eq!(answer.status(), 404, "a forbidden name looks like one that is not there");
}

#[tokio::test]
async fn a_refused_key_is_told_so_in_the_shape_of_its_endpoint() {
    let server = Server::start().await;
    let refused = async |path: &str, key: Option<&str>| {
        let mut request = server.client.post(format!("{}{path}", server.url));
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let answer = request.body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(answer.headers().contains_key("x-request-id"));
        answer.json::<Value>().await.unwrap()
    };
    let openai = refused("/v1/chat/completions", None).await;
    assert_eq!(openai["error"]["code"], "invalid_api_key");
    let anthropic = refused("/v1/messages", Some("sk-ant-123")).await;
    assert_eq!(
        (&anthropic["type"], &anthropic["error"]["type"]),
        (&json!("error"), &json!("authentication_error"))
    );
    let problem = refused(wire::paths::REGISTER, Some("mcp_x_y")).await;
    assert_eq!((&problem["status"], &problem["title"]), (&json!(401), &json!("Unauthorized")));

    let token = server.token("ann", &["infer"]).await;
    let request = server.client.post(format!("{}/v1/messages", server.url));
    let answer = request.header("x-api-key", &token).body("{\"model\":\"nope\"}").send().await;
    assert_eq!(answer.unwrap().status(), 404, "an Anthropic client's header is a key too");
}

#[tokio::test]
async fn a_key_revoked_behind_the_servers_back_ends_its_streams_within_a_second() {
    let server = Server::start().await;
    let caller = server.make_token("ann", &["infer"]).await;
    let doomed = server.make_token("mia", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "qwen"}]});
    let mut publisher = Publisher::with(&server, &doomed.token, &wish).await;
    let other = server.make_token("mia", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "desk"}]});
    let mut desktop = Publisher::with(&server, &other.token, &wish).await;

    // A caller's key dies in the middle of an answer.
    let chat = tokio::spawn(server.chat(&caller.token, "desk").send());
    let (task, _) = desktop.task().await;
    let (pieces, upload) = desktop.upload(&server, &task, "text/event-stream");
    let upload = tokio::spawn(upload.send());
    pieces.send(Ok(Bytes::from_static(b"data: 1\n\n"))).await.unwrap();
    let answer = chat.await.unwrap().unwrap();
    let revoked = Instant::now();
    server.revoke_behind_its_back(&caller.info.id).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("invalid_api_key"), "{text}");
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    assert_eq!(desktop.event().await.1["reason"], "token_revoked");
    assert_eq!(upload.await.unwrap().unwrap().status(), 410);
    assert_eq!(server.chat(&caller.token, "desk").send().await.unwrap().status(), 401);

    // One of a publisher's keys dies: its channel ends, the other's goes on.
    let revoked = Instant::now();
    server.revoke_behind_its_back(&doomed.info.id).await;
    assert_eq!(publisher.event().await.0, "revoked");
    assert_eq!(publisher.event_or_end().await, None);
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    let reader = server.token("root", &["admin"]).await;
    server.row_where(&reader, "desk", |row| row["connected"] == true).await;
    // The last one dies: nothing of the user's can be called any more.
    server.revoke_behind_its_back(&other.info.id).await;
    assert_eq!(desktop.event().await.0, "revoked");
    server.row_where(&reader, "desk", |row| row["status"] == "inactive").await;
}

#[tokio::test]
async fn an_admin_creates_lists_and_revokes_keys_and_never_sees_a_key_again() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let wish =
        json!({"user": "ann", "scopes": ["infer"], "label": "laptop", "expiresInSeconds": 60});
    let made = server.post(wire::paths::TOKENS, &admin).json(&wish).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    let key = made["token"].as_str().unwrap();
    assert!(key.starts_with("mcp_infer_"));
    assert_eq!(server.get("/v1/models", key).send().await.unwrap().status(), 200);

    let list = server.get(wire::paths::TOKENS, &admin).send().await.unwrap().text().await.unwrap();
    assert!(list.contains("laptop") && !list.contains(key));
    let path = format!("{}{}/{}", server.url, wire::paths::TOKENS, made["id"].as_str().unwrap());
    let revoke = server.client.delete(&path).bearer_auth(&admin).send().await.unwrap();
    assert_eq!(revoke.status(), 204);
    assert_eq!(server.get("/v1/models", key).send().await.unwrap().status(), 401, "at once");
    let bad = json!({"user": "ann", "scopes": ["root"]});
    let bad = server.post(wire::paths::TOKENS, &admin).json(&bad).send().await.unwrap();
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn a_pairing_code_that_an_admin_made_becomes_a_key_once() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let wish = json!({"user": "mia", "scopes": ["publish"]});
    let made = server.post(wire::paths::PAIRINGS, &admin).json(&wish).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    let pair = async |code: &str| {
        let url = format!("{}{}", server.url, wire::paths::PAIR);
        server.client.post(url).json(&json!({"code": code})).send().await.unwrap()
    };
    assert_eq!(pair("AAAA-AAAA").await.status(), 404);
    let key = pair(made["code"].as_str().unwrap()).await;
    assert_eq!(key.status(), 201);
    let key: Value = key.json().await.unwrap();
    let register = json!({"providers": []});
    let answer = server.post(wire::paths::REGISTER, key["token"].as_str().unwrap());
    assert_eq!(answer.json(&register).send().await.unwrap().status(), 201);
    assert_eq!(pair(made["code"].as_str().unwrap()).await.status(), 404, "once");
    let publisher = server.token("mia", &["publish"]).await;
    let refused = server.post(wire::paths::PAIRINGS, &publisher).json(&wish).send().await;
    assert_eq!(refused.unwrap().status(), 403, "only an admin makes codes");
}
