//! CORS: which web pages may use which endpoints in a browser.

use crate::responses::SSE;
use crate::server::Server;
use mcpd::CorsOrigins;
use mcpd::config::Serving;
use reqwest::{Method, Response};
use serde_json::json;
use testkit::fake_publisher::{frame, ok};

const APP: &str = "https://app.example";
const OTHER: &str = "https://other.example";
/// What the SDKs of OpenAI and Anthropic send from a browser.
const SDK_HEADERS: &str = "anthropic-beta,anthropic-dangerous-direct-browser-access,\
    anthropic-version,authorization,content-type,x-api-key,x-stainless-arch,x-stainless-helper-method,\
    x-stainless-lang,x-stainless-os,x-stainless-package-version,x-stainless-retry-count,\
    x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout";

async fn start(origins: &[&str]) -> Server {
    let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let cors_origins = CorsOrigins::parse(&origins).unwrap();
    Server::serving(Serving { cors_origins, ..Serving::default() }).await
}

/// Asks as a browser does before a page of this origin sends a POST.
async fn preflight(server: &Server, path: &str, origin: &str) -> Response {
    let request = server.client.request(Method::OPTIONS, format!("{}{path}", server.url));
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    request.header("access-control-request-headers", SDK_HEADERS).send().await.unwrap()
}

/// The header's values, joined.
fn header(response: &Response, name: &str) -> String {
    let values = response.headers().get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(", ")
}

/// Asserts that a page of `origin` may read this response, or that none may.
fn assert_allows(response: &Response, origin: Option<&str>) {
    let what = format!("{response:?}");
    assert_eq!(header(response, "access-control-allow-origin"), origin.unwrap_or(""), "{what}");
    assert!(!response.headers().contains_key("access-control-allow-credentials"), "{what}");
    let exposed = header(response, "access-control-expose-headers");
    assert_eq!(!exposed.is_empty(), origin.is_some(), "{what}");
    if origin.is_some() {
        assert!(header(response, "vary").contains("Origin"), "{what}");
        for name in ["x-request-id", "retry-after", "x-ratelimit-remaining-requests"] {
            assert!(exposed.contains(name), "{exposed}");
        }
    }
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_allows_what_sdks_send() {
    let server = start(&["http://localhost:5173", APP]).await;
    for path in [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/models",
        "/v1/models/a/b",
        "/api/v1/llms",
        "/api/v1/llms/qwen/infer",
    ] {
        let response = preflight(&server, path, APP).await;
        assert_eq!(response.status(), 204, "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), APP);
        assert_eq!(header(&response, "access-control-allow-methods"), "GET, POST");
        assert_eq!(header(&response, "access-control-allow-headers"), SDK_HEADERS);
        assert_eq!(header(&response, "access-control-max-age"), "7200");
        assert!(header(&response, "vary").contains("Origin, Access-Control-Request-Method"));
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
        assert!(response.headers().contains_key("x-request-id"));
        assert!(response.text().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_page_reads_responses_streams_and_errors() {
    let server = start(&[APP]).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;

    let models = server.get("/v1/models", &caller).header("origin", APP).send().await.unwrap();
    assert_eq!(models.status(), 200);
    assert_allows(&models, Some(APP));

    let chat = tokio::spawn(server.chat(&caller, "qwen").header("origin", APP).send());
    let (task, _) = publisher.task().await;
    let begun = [frame::head(&task, &ok(SSE)), frame::data(&task, 0, b"data: 1\n\n")];
    publisher.deliver(begun.concat()).await;
    let mut stream = chat.await.unwrap().unwrap();
    assert_allows(&stream, Some(APP));
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: 1\n\n", "while it is open");

    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(tokio::spawn(server.chat(&caller, "qwen").send()));
    }
    server.entry_where(&caller, "qwen", |entry| entry["queued"] == 100).await;
    for (response, status) in [
        (server.chat(&caller, "qwen"), 429),
        (server.chat(&caller, "nope"), 404),
        (server.chat("mcp_infer_x", "qwen"), 401),
        (server.post("/v1/nothing", &caller), 404),
        (server.post("/v1/models", &caller), 405),
    ] {
        let response = response.header("origin", APP).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_allows(&response, Some(APP));
    }
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn other_origins_get_no_permission() {
    let server = start(&[APP]).await;
    let caller = server.token("ann", &["infer"]).await;
    for origin in [OTHER, "http://app.example", "https://app.example:8443", "null"] {
        let asked = preflight(&server, "/v1/chat/completions", origin).await;
        assert_eq!(asked.status(), 405, "as without CORS");
        assert_allows(&asked, None);
        let models = server.get("/v1/models", &caller).header("origin", origin).send();
        let models = models.await.unwrap();
        assert_eq!((models.status().as_u16(), header(&models, "vary").as_str()), (200, "Origin"));
        assert_allows(&models, None);
    }
    let models = server.get("/v1/models", &caller).send().await.unwrap();
    assert_eq!(header(&models, "vary"), "Origin", "a cache may serve it to pages later");
    assert_allows(&models, None);
}

#[tokio::test]
async fn with_a_star_every_origin_is_allowed() {
    let server = start(&["*"]).await;
    let caller = server.token("ann", &["infer"]).await;
    for origin in [APP, "null"] {
        let asked = preflight(&server, "/v1/chat/completions", origin).await;
        assert_eq!(asked.status(), 204);
        assert_eq!(header(&asked, "access-control-allow-origin"), "*");
        let models = server.get("/v1/models", &caller).header("origin", origin).send();
        assert_allows(&models.await.unwrap(), Some("*"));
    }
}

#[tokio::test]
async fn pages_use_no_endpoint_of_publishers_or_administrators() {
    let server = start(&["*", APP]).await;
    let admin = server.token("root", &["admin"]).await;
    let document = server.client.get(format!("{}/openapi.json", server.url)).send().await.unwrap();
    let document: serde_json::Value = document.json().await.unwrap();
    let mut closed = 0;
    for path in document["paths"].as_object().unwrap().keys() {
        let is_callers = path.starts_with("/v1/")
            || (path.starts_with("/api/v1/llms") && !path.contains("_provider-"));
        let asked = preflight(&server, &path.replace(['{', '}'], ""), APP).await;
        assert_eq!(asked.status() == 204, is_callers, "{path}");
        closed += usize::from(!is_callers);
        assert_eq!(!header(&asked, "access-control-allow-origin").is_empty(), is_callers, "{path}");
    }
    assert!(closed > 10, "{closed}");
    for path in [wire::paths::TOKENS, wire::paths::PAIRINGS, wire::paths::NAMES] {
        let listed = server.get(path, &admin).header("origin", APP).send().await.unwrap();
        assert_eq!(listed.status(), 200);
        assert_allows(&listed, None);
        assert!(!listed.headers().contains_key("vary"), "{path}");
    }
    let pair = server.post(wire::paths::PAIR, &admin).header("origin", APP);
    assert_allows(&pair.json(&json!({"code": "K7QM-3XTP-9RWD"})).send().await.unwrap(), None);
}

#[tokio::test]
async fn without_the_setting_no_response_has_a_header_of_cors() {
    let server = start(&[]).await;
    let caller = server.token("ann", &["infer"]).await;
    let asked = preflight(&server, "/v1/chat/completions", APP).await;
    assert_eq!(asked.status(), 405);
    let models = server.get("/v1/models", &caller).header("origin", APP).send().await.unwrap();
    for response in [asked, models] {
        let names = response.headers().keys().map(|name| name.as_str());
        let found: Vec<_> =
            names.filter(|n| n.starts_with("access-control-") || *n == "vary").collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
