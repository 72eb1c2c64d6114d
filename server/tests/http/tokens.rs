//! Scopes of keys, and how fast a revoked key stops working.

use crate::responses::SSE;
use crate::server::{PATIENCE, Server, unix_ms};
use mcpd::clock::WallClock;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::fake_publisher::{FakePublisher, frame, ok};
use tokio::time::Instant;

#[tokio::test]
async fn no_scope_includes_another() {
    let server = Server::start().await;
    let _publisher = server.publisher("qwen").await;
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
async fn a_refused_key_gets_an_error_in_the_shape_of_its_endpoint() {
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
async fn a_key_revoked_in_the_database_ends_its_streams_within_a_second() {
    let server = Server::start().await;
    let caller = server.make_token("ann", &["infer"]).await;
    let doomed = server.make_token("mia", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "qwen"}]});
    let mut publisher = FakePublisher::connect(&server.url, &doomed.token, &wish).await;
    let other = server.make_token("mia", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "desk"}]});
    let mut desktop = FakePublisher::connect(&server.url, &other.token, &wish).await;

    // A caller's key dies in the middle of an answer.
    let chat = tokio::spawn(server.chat(&caller.token, "desk").send());
    let (task, _) = desktop.task().await;
    let mut uplink = desktop.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    uplink.send(frame::data(&task, 0, b"data: 1\n\n")).await;
    let answer = chat.await.unwrap().unwrap();
    let revoked = Instant::now();
    server.revoke_behind_its_back(&caller.info.id).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("invalid_api_key"), "{text}");
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    assert_eq!(desktop.event().await.1["reason"], "token_revoked");
    assert_eq!(server.chat(&caller.token, "desk").send().await.unwrap().status(), 401);

    // One of a publisher's keys dies: its channel ends, the other's goes on.
    let revoked = Instant::now();
    server.revoke_behind_its_back(&doomed.info.id).await;
    assert_eq!(publisher.event().await.0, "revoked");
    assert_eq!(publisher.event_or_end().await, None);
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    let reader = server.token("root", &["admin"]).await;
    server.entry_where(&reader, "desk", |entry| entry["connected"] == true).await;
    // The last one dies: nothing of the user's can be called any more.
    server.revoke_behind_its_back(&other.info.id).await;
    assert_eq!(desktop.event().await.0, "revoked");
    let ended = uplink.ended().await;
    assert_eq!(ended.status, 401, "{}", ended.text);
    server.entry_where(&reader, "desk", |entry| entry["status"] == "inactive").await;
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
async fn revoking_a_user_ends_all_its_keys_streams_and_codes_at_once() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let (caller, other) =
        (server.token("mia", &["infer"]).await, server.token("tom", &["infer"]).await);
    let mut publisher = server.publisher("qwen").await;
    let wish = json!({"user": "mia", "scopes": ["publish"]});
    let code = server.post(wire::paths::PAIRINGS, &admin).json(&wish).send().await.unwrap();
    let code: Value = code.json().await.unwrap();

    let of = async |query: &str| {
        let path = format!("{}{query}", wire::paths::TOKENS);
        let answer = server.delete(&path, &admin).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(of("").await.0, 400, "nobody's");
    assert_eq!(of("?user=").await.0, 400);
    assert_eq!(of("?user=mai").await.0, 404, "a slip of the pen is told");
    assert_eq!(of("?user=mia").await, (200, json!({"tokens": 2, "pairings": 1})));
    assert_eq!(publisher.event().await.0, "revoked");
    assert_eq!(publisher.event_or_end().await, None);
    assert_eq!(server.get("/v1/models", &caller).send().await.unwrap().status(), 401);
    assert_eq!(server.get("/v1/models", &other).send().await.unwrap().status(), 200);
    let url = format!("{}{}", server.url, wire::paths::PAIR);
    let pair = server.client.post(url).json(&json!({"code": code["code"]})).send().await.unwrap();
    assert_eq!(pair.status(), 404);
    server.entry_where(&admin, "qwen", |entry| entry["status"] == "inactive").await;
}

#[tokio::test]
async fn a_user_revoked_in_the_database_loses_its_codes_too() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let caller = server.token("mia", &["infer"]).await;
    let wish = json!({"user": "mia", "scopes": ["publish"]});
    let made = server.post(wire::paths::PAIRINGS, &admin).json(&wish).send().await.unwrap();
    assert_eq!(made.status(), 201);
    assert_eq!(server.get("/v1/models", &caller).send().await.unwrap().status(), 200);
    server.revoke_user_behind_its_back("mia").await;
    let waiting = async || {
        let list = server.get(wire::paths::PAIRINGS, &admin).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        list["pairings"].as_array().unwrap().len()
    };
    let gone = async {
        while waiting().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the code is void in time");
    assert_eq!(server.get("/v1/models", &caller).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_correction_of_the_wall_clock_takes_effect_on_keys_at_once() {
    const DAY: u64 = 86_400_000;
    let offset = Arc::new(AtomicU64::new(0));
    let shows = Arc::clone(&offset);
    let clock = WallClock::new(move || unix_ms() + shows.load(Ordering::Relaxed));
    let server = Server::start_by(clock, tempfile::tempdir().unwrap(), 1.0).await;
    let admin = server.token("root", &["admin"]).await;
    let wish = |scope: &str| json!({"user": "ann", "scopes": [scope], "expiresInSeconds": 3600});
    let make = async |scope: &str| {
        let made = server.post(wire::paths::TOKENS, &admin).json(&wish(scope)).send().await;
        made.unwrap().json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
    };
    let (caller, publishing) = (make("infer").await, make("publish").await);
    let register = json!({"protocol": 2, "providers": [{"name": "qwen"}]});
    let mut publisher = FakePublisher::connect(&server.url, &publishing, &register).await;
    assert_eq!(server.get("/v1/models", &caller).send().await.unwrap().status(), 200);

    // The machine had started with a clock that was a day behind.
    offset.store(DAY, Ordering::Relaxed);
    assert_eq!(server.get("/v1/models", &caller).send().await.unwrap().status(), 401);
    assert_eq!(publisher.event().await.0, "revoked", "what the key holds open ends too");
    assert_eq!(publisher.event_or_end().await, None);
    // And back: it was a mistake.
    offset.store(0, Ordering::Relaxed);
    assert_eq!(server.get("/v1/models", &caller).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    for _ in 0..3 {
        server.token("ann", &["infer"]).await;
        server.token("tom", &["infer"]).await;
    }
    let page = async |query: &str| {
        let path = format!("{}?{query}", wire::paths::TOKENS);
        let list = server.get(&path, &admin).send().await.unwrap();
        assert_eq!(list.status(), 200, "{query}");
        let list: Value = list.json().await.unwrap();
        let ids = list["tokens"].as_array().unwrap().iter().map(|token| {
            (token["id"].as_str().unwrap().to_owned(), token["user"].as_str().unwrap().to_owned())
        });
        (ids.collect::<Vec<_>>(), list["next"].as_str().map(str::to_owned))
    };
    let (all, end) = page("").await;
    assert_eq!((all.len(), end), (7, None));
    let (first, next) = page("limit=4").await;
    let (rest, end) = page(&format!("limit=4&after={}", next.unwrap())).await;
    assert_eq!(([first, rest].concat(), end), (all, None));
    let (anns, _) = page("user=ann").await;
    assert!(anns.len() == 3 && anns.iter().all(|(_, user)| user == "ann"), "{anns:?}");
    let bad = format!("{}?limit=many", wire::paths::TOKENS);
    let bad = server.get(&bad, &admin).send().await.unwrap();
    assert_eq!(
        (bad.status().as_u16(), bad.json::<Value>().await.unwrap()["code"].clone()),
        (400, json!("invalid_request"))
    );
}

#[tokio::test]
async fn a_malformed_request_for_a_key_is_refused_with_the_reason() {
    let server = Server::start().await;
    let admin = server.token("root", &["admin"]).await;
    let wish = |more: Value| {
        let mut wish = json!({"user": "ann", "scopes": ["infer"]});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    };
    for (more, word) in [
        (json!({"expiresInSeconds": 1_000_000_000_000_000_000_u64}), "hundred years"),
        (json!({"expiresInSeconds": u64::MAX}), "hundred years"),
        (json!({"user": "a\u{1b}[2Jnn"}), "`user`"),
        (json!({"user": "group:ops"}), "`user`"),
        (json!({"label": "\u{202e}x"}), "`label`"),
        (json!({"label": "x".repeat(257)}), "`label`"),
        (json!({"groups": ["no good"]}), "group"),
        (json!({"scopes": ["x".repeat(100_000)]}), "scope"),
    ] {
        for path in [wire::paths::TOKENS, wire::paths::PAIRINGS] {
            let refused = server.post(path, &admin).json(&wish(more.clone())).send().await.unwrap();
            assert_eq!(refused.status(), 400, "{word}");
            let said = refused.json::<Value>().await.unwrap()["detail"].to_string();
            assert!(said.contains(word) && said.len() < 400, "{said}");
        }
    }
    let groups = wish(json!({"groups": ["Ops", "ml"]}));
    let made = server.post(wire::paths::TOKENS, &admin).json(&groups).send().await.unwrap();
    assert_eq!(made.json::<Value>().await.unwrap()["groups"], json!(["ops", "ml"]));
    let list = server.get(wire::paths::TOKENS, &admin).send().await.unwrap();
    assert_eq!(list.json::<Value>().await.unwrap()["tokens"][0]["groups"], json!(["ops", "ml"]));
}
