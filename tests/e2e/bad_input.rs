//! Broken configurations, wrong tokens, invalid requests, misbehaving servers and backends: each gives
//! a clear error, and nothing is lost.

use crate::{Setup, chat_body};
use serde_json::json;
use testkit::agent::{Agent, Home, provider};
use testkit::caller::{error_code, read_stream};
use testkit::fake_backend::FakeBackend;
use testkit::fake_server::task_id;
use testkit::protocol1_peer::Protocol1Peer;

#[tokio::test]
async fn a_broken_configuration_keeps_the_last_valid_one_in_force_and_is_reported_with_its_position()
 {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let good = setup.home.read("config.json");
    let half = &good[..good.len() / 2];
    let cases = [
        ("half-written", half.to_owned()),
        ("a stray comma", good.replacen("[", "[,", 1)),
        ("no object", "[1, 2]".to_owned()),
        (
            "a list where an object is",
            good.replacen("\"providers\": [", "\"providers\": 7, \"x\": [", 1),
        ),
        ("larger than any configuration", format!("{good}{}", " ".repeat(9 << 20))),
    ];
    for (what, text) in cases {
        setup.home.write(&text);
        let status = setup.home.until_status(what, |s| s["configProblem"].is_object()).await;
        let problem = &status["configProblem"];
        assert!(!problem["message"].as_str().unwrap().is_empty(), "{what}: {problem}");
        if what.contains("half") || what.contains("comma") {
            assert!(problem["line"].as_u64() > Some(0) && problem["column"].as_u64() > Some(0));
        }
        assert_eq!(setup.home.read("config.json"), text, "{what}: the file is untouched");
        assert_eq!(
            setup.chat(&chat_body()).await.status(),
            200,
            "{what}: the model is still published"
        );
        setup.home.write(&good);
        setup.home.until_status("no problem", |s| s["configProblem"].is_null()).await;
    }
}

#[tokio::test]
async fn an_empty_configuration_a_byte_order_mark_and_crlf_are_no_errors() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let good = setup.home.read("config.json");
    setup.home.write("");
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
    setup.home.write(&format!("\u{feff}// mine\r\n{}", good.replace('\n', "\r\n")));
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    assert!(setup.home.status()["configProblem"].is_null());
}

#[tokio::test]
async fn an_invalid_provider_is_left_out_with_a_warning_and_the_others_work() {
    let setup = Setup::new().await;
    let wrong = json!({"name": "odd", "url": 5, "publish": true});
    setup.home.configure(&setup.mcpd.url, &[wrong, provider("qwen", &setup.backend.url)]);
    let status = setup.home.until_status("a warning", |s| s["warnings"][0].is_object()).await;
    let warning = status["warnings"][0]["message"].as_str().unwrap();
    assert!(warning.contains("odd") && warning.contains("url"), "{warning}");
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
}

#[tokio::test]
async fn a_wrong_name_scope_or_token_is_refused_with_a_helpful_error() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let call = async |token: &str, model: &str| {
        let body = json!({"model": model, "messages": []});
        setup.mcpd.post("/v1/chat/completions", token).json(&body).send().await.unwrap()
    };
    let unknown = call(&setup.caller, "gwen").await;
    assert_eq!(unknown.status(), 404);
    let text = unknown.text().await.unwrap();
    assert!(text.contains("llm_not_found") && text.contains("qwen"), "{text}");
    assert_eq!(call("nonsense", "qwen").await.status(), 401);
    assert_eq!(call(&setup.publisher, "qwen").await.status(), 200, "a publisher's own model");
    let stranger = setup.mcpd.token("eve", "publish");
    assert_eq!(call(&stranger, "qwen").await.status(), 404);
    let other = setup.mcpd.token("tom", "infer:other");
    assert_eq!(call(&other, "qwen").await.status(), 404, "it looks like an unknown model");

    let admin = setup.mcpd.token("root", "admin");
    assert_eq!(call(&admin, "qwen").await.status(), 403);
    let short = json!({"user": "tom", "scopes": ["infer"], "expiresInSeconds": 1});
    let made = setup.mcpd.post(wire::paths::TOKENS, &admin).json(&short).send().await.unwrap();
    let made: serde_json::Value = made.json().await.unwrap();
    let token = made["token"].as_str().unwrap();
    let refused = testkit::until("the token expires", async || {
        let response = call(token, "qwen").await;
        (response.status() == 401).then_some(response)
    })
    .await;
    let text = refused.text().await.unwrap();
    assert!(text.contains("expired"), "{text}");

    let made = setup.mcpd.make_token("tom", "infer", &[]);
    let token = made["token"].as_str().unwrap();
    assert_eq!(call(token, "qwen").await.status(), 200);
    let _ = setup.mcpd.command(&["token", "revoke", made["id"].as_str().unwrap()]);
    let second = std::time::Duration::from_secs(1);
    testkit::within(second, "the revoked token is refused", async || {
        (call(token, "qwen").await.status() == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_whose_token_is_revoked_stops_and_shows_why() {
    let mut setup = Setup::new().await;
    let made = setup.mcpd.make_token("ann", "publish", &[]);
    let home = Home::with_config(&setup.mcpd.url, &[provider("anns", &setup.backend.url)]);
    setup.agent = Agent::start(&home, made["token"].as_str().unwrap());
    setup.mcpd.until_active(&setup.caller, "anns").await;
    let _ = setup.mcpd.command(&["token", "revoke", made["id"].as_str().unwrap()]);
    let status = home.until_status("stopped", |s| s["connection"]["state"] == "stopped").await;
    assert!(status["connection"]["message"].as_str().unwrap().contains("revoked"));
}

#[tokio::test]
async fn a_name_that_belongs_to_another_user_is_refused_and_shown_as_rejected() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let home = Home::with_config(
        &setup.mcpd.url,
        &[provider("qwen", &setup.backend.url), provider("mine", &setup.backend.url)],
    );
    let _agent = Agent::start(&home, &setup.mcpd.token("ann", "publish"));
    let status = home.until_status("refused", |s| s["providers"][0]["state"] == "rejected").await;
    assert!(!status["providers"][0]["message"].as_str().unwrap().contains("mia"));
    setup.mcpd.until_active(&setup.caller, "mine").await;
}

#[tokio::test]
async fn an_invalid_event_stream_is_logged_and_the_channel_stays_open() {
    let (server, url) = Protocol1Peer::server().await;
    let control = |path: &str, body: serde_json::Value| {
        reqwest::Client::new().post(format!("{url}/control/{path}")).json(&body).send()
    };
    let line = "x".repeat(200 * 1024);
    control(
        "faults",
        json!({"garbage": format!("event: task\ndata: {{\"kind\": 7\n\n{line}\n\n")}),
    )
    .await
    .unwrap();
    let backend = FakeBackend::awake().await;
    let home = Home::with_config(&url, &[provider("qwen", &backend.url)]);
    let mut agent = Agent::start(&home, "t");
    testkit::until("the agent logs both invalid events", async || {
        let log = agent.process.stderr();
        (log.contains("not usable") && log.contains("longer than")).then_some(())
    })
    .await;
    // Later events on the same channel are read as usual.
    let task = json!({"kind": "infer", "taskId": task_id(1), "llmName": "qwen",
                      "request": {"model": "qwen", "messages": []}});
    control("task", task).await.unwrap();
    server.until_event("result", |event| event["result"]["status"] == 200).await;
    let channels = server.count("channel");
    assert!(agent.process.exit_status().is_none() && channels == 1, "{channels}");
}

#[tokio::test]
async fn a_backend_that_falls_silent_is_given_up() {
    // The limit is 5 minutes; at this scale 3 seconds.
    let mcpd = testkit::mcpd::Mcpd::scaled(0.01).await;
    let backend = FakeBackend::awake().await;
    let setup = Setup::with_parts(mcpd, backend, |entry| entry).await;
    let response = setup.scripted_chat(json!({"do": "count", "n": 20, "stallAt": 5})).await;
    let streamed = read_stream(response).await;
    assert!(!streamed.done && streamed.error.is_some(), "{streamed:?}");
    setup.backend.until_open_responses(0).await;
}

#[tokio::test]
async fn invalid_request_bodies_are_refused_with_their_reason() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    for (body, word) in [
        ("{\"model\":", "byte 9"),
        ("[]", "object"),
        ("{}", "model"),
        ("{\"model\": 5}", "string"),
        ("{\"model\": \"qwen\", \"MODEL\": \"other\"}", "could be taken for `model`"),
        ("{\"model\": \"qwen\", \"\\u017ftream\": true}", "could be taken for `stream`"),
    ] {
        let request = setup.mcpd.post("/v1/chat/completions", &setup.caller);
        let response = request.header("content-type", "application/json").body(body).send().await;
        let response = response.unwrap();
        assert_eq!(response.status(), 400, "{body}");
        let text = response.text().await.unwrap();
        assert!(text.contains(word), "{body}: {text}");
    }
    // The server closes the connection once it has refused; its response may be lost with it.
    let post = || setup.mcpd.post("/v1/chat/completions", &setup.caller);
    let large = post().header("x-large", "h".repeat(256 * 1024)).json(&chat_body()).send().await;
    assert!(large.is_err() || large.is_ok_and(|response| response.status() == 431));
    let large = post().body(vec![b' '; 65 << 20]).send().await;
    assert!(large.is_err() || large.is_ok_and(|response| response.status() == 413));
    assert_eq!(setup.chat(&chat_body()).await.status(), 200, "other calls still work");
    let foreign = "/api/v1/llms/_provider-task/00000000000000000000000000000000/result";
    let response = setup.mcpd.post(foreign, &setup.publisher).body("x").send().await.unwrap();
    assert_eq!(response.status(), 404);
    let heartbeat = json!({"providerSessionId": "of-another-user"});
    let path = wire::paths::HEARTBEAT;
    let response = setup.mcpd.post(path, &setup.publisher).json(&heartbeat).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(
        error_code(setup.mcpd.post("/v1/chat/completions", "x").send().await.unwrap()).await,
        "invalid_api_key"
    );
}
