//! Pairing codes.

use crate::server::Server;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::Executor as _;

/// A code for mia, made by this key.
async fn code(server: &Server, admin: &str) -> Value {
    let wish = json!({"user": "mia", "scopes": ["publish"], "groups": ["ops"], "label": "laptop"});
    let made = server.post(wire::paths::PAIRINGS, admin).json(&wish).send().await.unwrap();
    assert_eq!(made.status(), 201);
    made.json().await.unwrap()
}

async fn pair(server: &Server, code: &Value) -> Response {
    let url = format!("{}{}", server.url, wire::paths::PAIR);
    server.client.post(url).json(&json!({"code": code})).send().await.unwrap()
}

async fn waiting(server: &Server, admin: &str) -> Vec<Value> {
    let list = server.get(wire::paths::PAIRINGS, admin).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    list["pairings"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_pairing_code_is_exchanged_for_a_key_once() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let made = code(&server, &admin).await;
    assert_eq!(made["code"].as_str().unwrap().len(), "K7QM-3XTP-9RWD".len());
    let key = pair(&server, &made["code"]).await;
    assert_eq!(key.status(), 201);
    let key: Value = key.json().await.unwrap();
    assert_eq!(key["groups"], json!(["ops"]));
    let register = json!({"providers": []});
    let answer = server.post(wire::paths::REGISTER, key["token"].as_str().unwrap());
    assert_eq!(answer.json(&register).send().await.unwrap().status(), 201);
    assert_eq!(pair(&server, &made["code"]).await.status(), 404, "once");
    let publisher = server.token("mia", &["publish"]).await;
    let wish = json!({"user": "mia", "scopes": ["publish"]});
    let refused = server.post(wire::paths::PAIRINGS, &publisher).json(&wish).send().await;
    assert_eq!(refused.unwrap().status(), 403, "only an admin makes codes");
}

#[tokio::test]
async fn wrong_codes_do_not_block_others_from_pairing() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let made = code(&server, &admin).await;
    let wrong = json!("AAAA-AAAA-AAAA");
    let tries = (0..100).map(|_| pair(&server, &wrong));
    for answer in futures_util::future::join_all(tries).await {
        assert_eq!(answer.status(), 404);
    }
    assert_eq!(pair(&server, &made["code"]).await.status(), 201);
}

#[tokio::test]
async fn codes_are_listed_without_their_text_and_can_be_withdrawn() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let (first, second) = (code(&server, &admin).await, code(&server, &admin).await);
    let list = waiting(&server, &admin).await;
    assert_eq!(list.len(), 2);
    assert!(!json!(list).to_string().contains(first["code"].as_str().unwrap()));
    let shown = &list[1];
    for field in ["id", "expires", "created"] {
        assert_eq!(shown[field], first[field], "{field}");
    }
    assert_eq!((&shown["user"], &shown["madeBy"]), (&json!("mia"), &json!("root")));
    assert_eq!((&shown["label"], &shown["scopes"]), (&json!("laptop"), &json!(["publish"])));

    let path = format!("{}/{}", wire::paths::PAIRINGS, first["id"].as_str().unwrap());
    let other = server.token("other", &["admin"]).await;
    assert_eq!(server.delete(&path, &other).send().await.unwrap().status(), 204);
    assert_eq!(server.delete(&path, &other).send().await.unwrap().status(), 404);
    assert_eq!(pair(&server, &first["code"]).await.status(), 404);
    assert_eq!(waiting(&server, &admin).await.len(), 1);
    assert_eq!(pair(&server, &second["code"]).await.status(), 201);
    assert_eq!(waiting(&server, &admin).await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_code_dies_with_the_key_of_the_admin_who_made_it() {
    let server = Server::start().await;
    let admin = server.make_token("root", &["admin"]).await;
    let made = code(&server, &admin.token).await;
    let other = server.token("other", &["admin"]).await;
    let others = code(&server, &other).await;
    server.revoke_behind_its_back(&admin.info.id).await;
    assert_eq!(pair(&server, &made["code"]).await.status(), 404, "at once");
    assert_eq!(pair(&server, &others["code"]).await.status(), 201);
}

#[tokio::test]
async fn a_code_stays_valid_after_a_failure_of_the_database() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let made = code(&server, &admin).await;
    let mut database = server.database().await;
    let full = "CREATE TRIGGER full BEFORE INSERT ON tokens BEGIN SELECT RAISE(ABORT, 'full'); END";
    database.execute(full).await.unwrap();
    assert_eq!(pair(&server, &made["code"]).await.status(), 500);
    database.execute("DROP TRIGGER full").await.unwrap();
    assert_eq!(pair(&server, &made["code"]).await.status(), 201);
}

#[tokio::test]
async fn unused_codes_of_an_admin_are_limited_and_the_error_says_what_to_do() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    for _ in 0..mcpd::limits::PAIRINGS_PER_MAKER {
        code(&server, &admin).await;
    }
    let wish = json!({"user": "mia", "scopes": ["publish"]});
    let refused = server.post(wire::paths::PAIRINGS, &admin).json(&wish).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(refused.text().await.unwrap().contains("take some back"));
    let other = server.token("other", &["admin"]).await;
    code(&server, &other).await;
}
