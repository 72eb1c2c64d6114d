//! The OpenAPI document: every endpoint with who may call it, what it takes and what it answers.

use crate::server::Server;
use serde_json::Value;

/// An operation on one line: method, path, scopes, parameters, body, responses.
fn summary(method: &str, path: &str, operation: &Value) -> String {
    let schema = |content: &Value| {
        let names = content.as_object().unwrap().iter().map(|(kind, content)| {
            let name = content["schema"]["$ref"].as_str().and_then(|name| name.rsplit('/').next());
            name.unwrap_or(kind)
        });
        names.collect::<Vec<_>>().join(" or ")
    };
    let needs = operation["security"].as_array().unwrap().iter();
    let needs: Vec<String> = needs
        .map(|need| match need["bearer"].as_array().map(Vec::as_slice) {
            None => "open".to_owned(),
            Some([]) => "any".to_owned(),
            Some(scopes) => scopes[0].as_str().unwrap().to_owned(),
        })
        .collect();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| {
        let required = if parameter["required"] == true { "" } else { "?" };
        assert_eq!(parameter["schema"]["type"], "string");
        let (place, name) = (&parameter["in"].as_str().unwrap(), &parameter["name"]);
        format!(" {place}:{}{required}", name.as_str().unwrap())
    });
    let body = &operation["requestBody"];
    let body = if body.is_null() {
        String::new()
    } else {
        assert_eq!(body["required"], true);
        format!(" takes {}", schema(&body["content"]))
    };
    let responses = operation["responses"].as_object().unwrap().iter();
    let responses = responses.map(|(status, response)| {
        assert!(!response["description"].as_str().unwrap().is_empty());
        let content = &response["content"];
        let schema =
            if content.is_null() { String::new() } else { format!("={}", schema(content)) };
        format!(" {status}{schema}")
    });
    assert!(!operation["summary"].as_str().unwrap().is_empty());
    format!(
        "{} {path} [{}]{}{body} ->{}",
        method.to_uppercase(),
        needs.join(" "),
        parameters.collect::<String>(),
        responses.collect::<String>()
    )
}

#[tokio::test]
async fn the_document_lists_every_endpoint_with_its_scopes_parameters_and_responses() {
    let server = Server::start().await;
    let url = format!("{}{}", server.url, wire::paths::OPENAPI);
    let document: Value = server.client.get(url).send().await.unwrap().json().await.unwrap();
    let mut lines = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            lines.push(summary(method, path, operation));
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap().keys();
    lines.push(schemas.map(String::as_str).collect::<Vec<_>>().join(" "));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    GET /api/v1/llms [any] -> 200=Catalogue 400 401 503
    POST /api/v1/llms/_provider-heartbeat [publish] takes Heartbeat -> 200=HeartbeatReply 400 401 403 404 408 409 413 429 503
    GET /api/v1/llms/_provider-poll [publish] header:x-mcpctl-provider-session? header:x-mcpctl-epoch? -> 200 400 401 403 404 409 503
    POST /api/v1/llms/_provider-probe [publish] header:x-mcpctl-provider-session? takes application/octet-stream -> 200 204 400 401 403 404 408 413 503
    POST /api/v1/llms/_provider-register [publish] takes Register -> 201=Registered 400 401 403 408 409 413 429 503
    GET /api/v1/llms/_provider-stream [publish] header:x-mcpctl-provider-session? header:x-mcpctl-epoch? -> 200 400 401 403 404 409 503
    POST /api/v1/llms/_provider-stream [publish] header:x-mcpctl-provider-session? header:x-mcpctl-epoch? -> 200 400 401 403 404 409 503
    GET /api/v1/llms/_provider-task/{id}/request [publish] path:id header:x-mcpctl-provider-session? header:x-mcpctl-epoch? -> 200 400 401 403 404 408 409 410 413 429 503
    POST /api/v1/llms/_provider-task/{id}/result [publish] path:id header:x-mcpctl-provider-session? header:x-mcpctl-epoch? takes TaskResult -> 204 400 401 403 404 408 409 410 413 429 503
    POST /api/v1/llms/_provider-uplink [publish] header:x-mcpctl-provider-session? takes application/vnd.mcpctl.frames -> 204 400 401 403 404 409 503
    GET /api/v1/llms/{name} [any] path:name -> 200=LlmInfo 400 401 404 503
    POST /api/v1/llms/{name}/infer [infer infer:<name> publish] path:name takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    GET /api/v1/names [admin publish] -> 200=NameList 400 401 403 503
    DELETE /api/v1/names/{name} [admin] path:name -> 204 400 401 403 404 503
    PUT /api/v1/names/{name}/share [admin] path:name takes ShareName -> 200=NameInfo 400 401 403 404 413 503
    POST /api/v1/pair [open] takes Pair -> 201=CreatedToken 400 404 413 429
    GET /api/v1/pairings [admin] -> 200=PairingList 400 401 403 503
    POST /api/v1/pairings [admin] takes CreateToken -> 201=Pairing 400 401 403 413 429 503
    DELETE /api/v1/pairings/{id} [admin] path:id -> 204 400 401 403 404 503
    DELETE /api/v1/tokens [admin] query:user? -> 200=RevokedTokens 400 401 403 404 503
    GET /api/v1/tokens [admin] query:user? query:after? query:limit? -> 200=TokenList 400 401 403 503
    POST /api/v1/tokens [admin] takes CreateToken -> 201=CreatedToken 400 401 403 413 503
    DELETE /api/v1/tokens/{id} [admin] path:id -> 204 400 401 403 404 503
    GET /healthz [open] -> 200
    GET /readyz [open] -> 200 503
    POST /v1/audio/speech [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/audio/transcriptions [infer infer:<name> publish] takes application/json or multipart/form-data -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/audio/translations [infer infer:<name> publish] takes application/json or multipart/form-data -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/chat/completions [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/completions [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/embeddings [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/images/edits [infer infer:<name> publish] takes application/json or multipart/form-data -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/images/generations [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/images/variations [infer infer:<name> publish] takes application/json or multipart/form-data -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/messages [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/messages/count_tokens [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    GET /v1/models [infer infer:<name> publish] -> 200=ModelList 400 401 403 503
    GET /v1/models/{id} [infer infer:<name> publish] path:id -> 200=Model 400 401 403 404 503
    POST /v1/rerank [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    POST /v1/responses [infer infer:<name> publish] takes application/json -> 200 400 401 403 404 408 413 429 431 502 503 504
    Catalogue Chunk CreateToken CreatedToken Heartbeat HeartbeatReply Instance LlmInfo LlmReport LlmStatus Model ModelList NameInfo NameList NameRequest Pair Pairing PairingInfo PairingList Provider Register Registered Rejected ReportedStatus Resume RevokedTokens ShareName TaskFailure TaskResult TokenInfo TokenList
    "#);
}
