//! Names that several users serve: ownership, sharing, and what callers see.

use crate::server::Server;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::fake_publisher::FakePublisher;

async fn publish(server: &Server, user: &str, provider: Value) -> FakePublisher {
    let token = server.token(user, &["publish"]).await;
    FakePublisher::connect(&server.url, &token, &json!({"protocol": 2, "providers": [provider]}))
        .await
}

async fn again(publisher: &FakePublisher, provider: Value) -> Value {
    let wish = json!({
        "protocol": 2, "providerSessionId": publisher.session, "providers": [provider],
    });
    let answer = publisher.post(wire::paths::REGISTER).json(&wish).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json().await.unwrap()
}

async fn heartbeat(publisher: &FakePublisher) -> Value {
    let beat = json!({"providerSessionId": publisher.session});
    let answer = publisher.post(wire::paths::HEARTBEAT).json(&beat).send().await.unwrap();
    answer.json().await.unwrap()
}

async fn admin(server: &Server, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let token = server.token("root", &["admin"]).await;
    let request = server.client.request(method, format!("{}{path}", server.url));
    let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn requests_for_a_pool_go_to_its_owner_although_another_publisher_has_registered_it() {
    let server = Server::start().await;
    let mut mia = publish(&server, "mia", json!({"name": "a", "pool": "team"})).await;
    let greedy = json!({"name": "b", "pool": "team", "maxConcurrency": 1000});
    let mut eve = publish(&server, "eve", greedy).await;
    assert_eq!(eve.registered["rejected"][0]["code"], "llm_name_taken");
    let caller = server.token("ann", &["infer"]).await;
    for _ in 0..10 {
        let chat = tokio::spawn(server.chat(&caller, "team").send());
        let (task, _) = mia.task().await;
        mia.answer_json(&task, 200, &json!({"choices": []})).await;
        assert_eq!(chat.await.unwrap().unwrap().status(), 200);
    }
    // The next event on the intruder's channel is not a task.
    let probe = eve.post(wire::paths::PROBE).header("x-mcpctl-probe-id", "p");
    assert_eq!(probe.body("x").send().await.unwrap().status(), 204);
    assert_eq!(eve.event().await.0, "probe");
}

#[tokio::test]
async fn a_pool_cannot_take_the_name_of_another_users_model() {
    let server = Server::start().await;
    let mia = publish(&server, "mia", json!({"name": "qwen"})).await;
    let eve = publish(&server, "eve", json!({"name": "x", "pool": "qwen"})).await;
    assert_eq!(eve.registered["rejected"][0]["code"], "llm_name_taken");
    let caller = server.token("ann", &["infer:qwen"]).await;
    let models = async || {
        let answer = server.get("/v1/models", &caller).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["data"].clone()
    };
    assert_eq!(models().await[0]["owned_by"], "mia");
    let withdrawn = json!({
        "protocol": 2, "providerSessionId": mia.session, "providers": [],
    });
    mia.post(wire::paths::REGISTER).json(&withdrawn).send().await.unwrap();
    assert_eq!(models().await, json!([]));
    assert_eq!(server.chat(&caller, "qwen").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_name_that_its_owner_shares_is_served_by_both_users_also_after_a_restart() {
    let server = Server::start().await;
    let mia = publish(&server, "mia", json!({"name": "qwen"})).await;
    let tom = publish(&server, "tom", json!({"name": "qwen"})).await;
    let refused = &tom.registered["rejected"][0];
    assert_eq!(refused["suggestion"], "qwen-tom");
    assert_eq!(heartbeat(&mia).await["nameRequests"], json!([{"name": "qwen", "user": "tom"}]));
    again(&mia, json!({"name": "qwen", "shareName": ["tom"]})).await;
    assert_eq!(heartbeat(&tom).await["registerAgain"], true);
    let taken = again(&tom, json!({"name": "qwen"})).await;
    assert_eq!(taken["rejected"], json!([]));
    let caller = server.token("ann", &["infer"]).await;
    let owners = async |server: &Server| {
        let answer = server.get(wire::paths::LLMS, &caller).send().await.unwrap();
        let list: Value = answer.json().await.unwrap();
        let rows = list["llms"].as_array().unwrap().clone();
        rows.iter().map(|entry| entry["owner"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(owners(&server).await, ["mia", "tom"]);
    let one = server.get("/api/v1/llms/qwen@tom", &caller).send().await.unwrap();
    assert_eq!(one.json::<Value>().await.unwrap()["owner"], "tom");
    let server = Server::start_in(server.stop().await, 1.0).await;
    assert_eq!(owners(&server).await, ["mia", "tom"]);
    let eve = publish(&server, "eve", json!({"name": "qwen"})).await;
    assert_eq!(eve.registered["rejected"][0]["code"], "llm_name_taken");
}

#[tokio::test]
async fn an_admin_lists_shares_and_releases_names_and_a_publisher_lists_its_own() {
    let server = Server::start().await;
    let _mia = publish(&server, "mia", json!({"name": "team/qwen"})).await;
    let tom = publish(&server, "tom", json!({"name": "team/qwen"})).await;
    let (status, list) = admin(&server, Method::GET, wire::paths::NAMES, Value::Null).await;
    assert_eq!(status, 200);
    let name = &list["names"][0];
    assert_eq!((&name["name"], &name["owner"]), (&json!("team/qwen"), &json!("mia")));
    assert_eq!(name["requestedBy"], json!(["tom"]));
    let toms = server.get(wire::paths::NAMES, &tom.token).send().await.unwrap();
    assert_eq!(toms.json::<Value>().await.unwrap()["names"], json!([]));

    let path = format!("{}/team/qwen/share", wire::paths::NAMES);
    let (status, shared) = admin(&server, Method::PUT, &path, json!({"with": ["tom"]})).await;
    assert_eq!((status, &shared["sharedByAdmin"]), (StatusCode::OK, &json!(["tom"])));
    let taken = again(&tom, json!({"name": "team/qwen"})).await;
    assert_eq!(taken["rejected"], json!([]));
    let (status, _) = admin(&server, Method::PUT, &path, json!({"with": ["a\nb"]})).await;
    assert_eq!(status, 400);

    let path = format!("{}/team/qwen", wire::paths::NAMES);
    let (status, _) = admin(&server, Method::DELETE, &path, Value::Null).await;
    assert_eq!(status, 204);
    let (_, list) = admin(&server, Method::GET, wire::paths::NAMES, Value::Null).await;
    assert_eq!(list["names"][0]["owner"], "tom", "who serves it has it now");
    let unknown = format!("{}/nope", wire::paths::NAMES);
    assert_eq!(admin(&server, Method::DELETE, &unknown, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_publisher_may_call_its_own_model_with_its_publishing_token() {
    let server = Server::start().await;
    let mut mia = publish(&server, "mia", json!({"name": "qwen"})).await;
    let _tom = publish(&server, "tom", json!({"name": "toms"})).await;
    let chat = tokio::spawn(server.chat(&mia.token, "qwen").send());
    let (task, _) = mia.task().await;
    mia.answer_json(&task, 200, &json!({"choices": []})).await;
    assert_eq!(chat.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.chat(&mia.token, "toms").send().await.unwrap().status(), 404);
    let models = server.get("/v1/models", &mia.token).send().await.unwrap();
    let models: Value = models.json().await.unwrap();
    assert_eq!(models["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_with_twenty_connected_sessions_gets_no_more_and_the_error_says_why() {
    let server = Server::start().await;
    let token = server.token("eve", &["publish"]).await;
    let mut channels = Vec::new();
    for _ in 0..20 {
        channels.push(FakePublisher::connect(&server.url, &token, &json!({"providers": []})).await);
    }
    let refused = server.post(wire::paths::REGISTER, &token).json(&json!({"providers": []}));
    let refused = refused.send().await.unwrap();
    assert_eq!(
        (refused.status(), refused.headers().contains_key("retry-after")),
        (429.try_into().unwrap(), true)
    );
    let problem: Value = refused.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("20"), "{problem}");
}
