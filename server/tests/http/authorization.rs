//! Every kind of key at every endpoint of the OpenAPI document, and objects of other users.

use crate::server::Server;
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// An endpoint as the document has it.
#[derive(Debug)]
struct Operation {
    method: Method,
    path: String,
    /// Scopes that are accepted; `None` if no key is needed.
    scopes: Option<Vec<String>>,
    headers: Vec<String>,
}

async fn operations(server: &Server) -> Vec<Operation> {
    let url = format!("{}{}", server.url, wire::paths::OPENAPI);
    let document: Value = server.client.get(url).send().await.unwrap().json().await.unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scopes = operation["security"].as_array().unwrap().iter();
            let scopes = scopes.map(|need| need.get("bearer").cloned());
            // One entry without a bearer means that none is needed.
            let scopes: Option<Vec<Value>> = scopes.collect();
            let words = |all: Vec<Value>| {
                let each = all.iter().flat_map(|scopes| scopes.as_array().unwrap());
                each.map(|scope| scope.as_str().unwrap().to_owned()).collect()
            };
            let headers = operation["parameters"].as_array().into_iter().flatten();
            let headers = headers.filter(|parameter| parameter["in"] == "header");
            let name = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
            found.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                scopes: scopes.map(words),
                headers: headers.map(name).collect(),
            });
        }
    }
    assert!(found.len() > 25, "{found:?}");
    found
}

impl Operation {
    /// Asks with this key, for this object, with these headers.
    async fn ask(
        &self,
        server: &Server,
        key: Option<&str>,
        id: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let (before, rest) = self.path.split_once('{').unwrap_or((&self.path, ""));
        let after = rest.split_once('}').map_or("", |(_, after)| after);
        let path = if rest.is_empty() { self.path.clone() } else { format!("{before}{id}{after}") };
        let mut request = server.client.request(self.method.clone(), server.url.clone() + &path);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if self.method != Method::GET {
            request = request.body("{}");
        }
        request.send().await.unwrap()
    }

    /// Expected result for this key: accepted, 401 or 403.
    fn verdict(&self, scope: Option<&str>) -> Option<u16> {
        let scopes = self.scopes.as_ref()?;
        let Some(scope) = scope else { return Some(401) };
        let covers = |needed: &String| {
            needed == scope || needed == "infer:<name>" && scope.starts_with("infer:")
        };
        (!scopes.is_empty() && !scopes.iter().any(covers)).then_some(403)
    }
}

#[tokio::test]
async fn a_request_with_two_keys_is_refused_wherever_one_is_needed() {
    let server = Server::start().await;
    let key = server.token("ann", &["infer", "publish", "admin"]).await;
    for operation in operations(&server).await.iter().filter(|o| o.scopes.is_some()) {
        for second in [key.as_str(), "nonsense"] {
            let second = format!("Bearer {second}");
            let headers = [("authorization", &*second)];
            let answer = operation.ask(&server, Some(&key), &"0".repeat(32), &headers).await;
            assert_eq!(answer.status(), 400, "{} {}", operation.method, operation.path);
        }
    }
}

#[tokio::test]
async fn every_kind_of_key_is_accepted_exactly_where_the_document_says_so() {
    let (server, other) = (Server::start().await, Server::start().await);
    let _publisher = server.publisher("qwen").await;
    let revoked = server.make_token("ann", &["infer", "publish", "admin"]).await;
    server.revoke_behind_its_back(&revoked.info.id).await;
    let expired = server.expired("ann", &["infer", "publish", "admin"]).await;
    let unknown = other.token("ann", &["infer", "publish", "admin"]).await;
    let mut keys: Vec<(&str, Option<String>, Option<&str>)> = vec![
        ("no key", None, None),
        ("nonsense", Some("sk-nonsense".into()), None),
        ("an unknown key", Some(unknown), None),
        ("a revoked key", Some(revoked.token), None),
        ("an expired key", Some(expired), None),
    ];
    for scope in ["infer", "infer:qwen", "publish", "admin"] {
        keys.push((scope, Some(server.token("ann", &[scope]).await), Some(scope)));
    }
    let (mut asked, mut wrong) = (0, Vec::new());
    for operation in operations(&server).await {
        for (name, key, scope) in &keys {
            let id = "0".repeat(32);
            let status = operation.ask(&server, key.as_deref(), &id, &[]).await.status().as_u16();
            let right = match operation.verdict(*scope) {
                Some(verdict) => status == verdict,
                None => !matches!(status, 401 | 403 | 500..),
            };
            asked += 1;
            if !right {
                wrong
                    .push(format!("{} {} with {name}: {status}", operation.method, operation.path));
            }
        }
    }
    println!("figure: authorization matrix | {} of {asked} wrong | 0", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Status and body, without what differs every time.
async fn said(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let request = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    (status, answer.text().await.unwrap().replace(&request, "…"))
}

#[tokio::test]
async fn another_users_session_or_task_looks_like_one_that_does_not_exist() {
    const NOBODY: &str = "00000000000000000000000000000000";
    let server = Server::start().await;
    let mut mia = server.publisher("qwen").await;
    let caller = server.token("ann", &["infer"]).await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = mia.task().await;
    let tom = server.token("tom", &["publish"]).await;
    let mut compared = 0;
    for operation in operations(&server).await {
        let names_task = operation.path.starts_with(wire::paths::TASK_PREFIX);
        let names_session = operation.headers.iter().any(|h| h == wire::headers::SESSION);
        if !names_task && !names_session {
            continue;
        }
        let session = wire::headers::SESSION;
        let foreign = [(session, mia.session.as_str())];
        let unknown = [(session, NOBODY)];
        let of_foreign = operation.ask(&server, Some(&tom), &task, &foreign).await;
        let of_unknown = operation.ask(&server, Some(&tom), NOBODY, &unknown).await;
        let (foreign, unknown) = (said(of_foreign).await, said(of_unknown).await);
        assert_eq!(foreign, unknown, "{operation:?}");
        assert!(foreign.0 >= 400, "{operation:?}: {foreign:?}");
        compared += 1;
    }
    let beat = async |session: &str| {
        let beat = json!({"providerSessionId": session});
        let request = server.post(wire::paths::HEARTBEAT, &tom).json(&beat);
        said(request.send().await.unwrap()).await
    };
    assert_eq!(beat(&mia.session).await, beat(NOBODY).await);
    assert!(compared >= 7, "only {compared} endpoints name a session or a task");
    println!(
        "figure: endpoints where another's object looks like none | {} of {0} | all",
        compared + 1
    );
    // None of it has disturbed whose task it is.
    mia.answer_json(&task, 200, &json!({})).await;
    assert_eq!(chat.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_model_that_a_key_may_not_use_looks_like_one_that_does_not_exist() {
    let server = Server::start().await;
    let _publisher = server.publisher("qwen").await;
    let narrow = server.token("ann", &["infer:other"]).await;
    for path in ["/v1/models/NAME", "/api/v1/llms/NAME"] {
        let ask = async |name: &str| {
            let answer = server.get(&path.replace("NAME", name), &narrow).send().await.unwrap();
            let (status, body) = said(answer).await;
            (status, body.replace(name, "NAME"))
        };
        assert_eq!(ask("qwen").await, ask("nope").await, "{path}");
        assert_eq!(ask("qwen").await.0, 404);
    }
}
