//! Broken files, wrong tokens, servers and backends that misbehave: a clear word, and nothing lost.

use crate::{World, whole};
use serde_json::json;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::{code, read};
use testkit::hostile::task_id;
use testkit::peer::Peer;

#[tokio::test]
async fn a_broken_file_keeps_the_last_good_one_and_says_where_it_is_broken() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let good = world.home.read("config.json");
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
        world.home.write(&text);
        let status = world.home.shows(what, |s| s["configProblem"].is_object()).await;
        let problem = &status["configProblem"];
        assert!(!problem["message"].as_str().unwrap().is_empty(), "{what}: {problem}");
        if what.contains("half") || what.contains("comma") {
            assert!(problem["line"].as_u64() > Some(0) && problem["column"].as_u64() > Some(0));
        }
        assert_eq!(world.home.read("config.json"), text, "{what}: the file is untouched");
        assert_eq!(world.chat(&whole()).await.status(), 200, "{what}: it is still published");
        world.home.write(&good);
        world.home.shows("mended", |s| s["configProblem"].is_null()).await;
    }
}

#[tokio::test]
async fn an_empty_file_a_byte_order_mark_and_crlf_are_no_errors() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let good = world.home.read("config.json");
    world.home.write("");
    world.mcpd.gone(&world.caller, "qwen").await;
    world.home.write(&format!("\u{feff}// mine\r\n{}", good.replace('\n', "\r\n")));
    world.mcpd.active(&world.caller, "qwen").await;
    assert!(world.home.status()["configProblem"].is_null());
}

#[tokio::test]
async fn one_wrong_provider_is_left_out_with_a_warning_and_the_others_work() {
    let world = World::new().await;
    let wrong = json!({"name": "odd", "url": 5, "publish": true});
    world.home.configure(&world.mcpd.url, &[wrong, provider("qwen", &world.backend.url)]);
    let status = world.home.shows("a warning", |s| s["warnings"][0].is_object()).await;
    let warning = status["warnings"][0]["message"].as_str().unwrap();
    assert!(warning.contains("odd") && warning.contains("url"), "{warning}");
    assert_eq!(world.chat(&whole()).await.status(), 200);
}

#[tokio::test]
async fn a_wrong_name_scope_or_token_is_refused_with_what_to_do() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let ask = async |token: &str, model: &str| {
        let body = json!({"model": model, "messages": []});
        world.mcpd.post("/v1/chat/completions", token).json(&body).send().await.unwrap()
    };
    let unknown = ask(&world.caller, "gwen").await;
    assert_eq!(unknown.status(), 404);
    let text = unknown.text().await.unwrap();
    assert!(text.contains("llm_not_found") && text.contains("qwen"), "{text}");
    assert_eq!(ask("nonsense", "qwen").await.status(), 401);
    assert_eq!(ask(&world.publisher, "qwen").await.status(), 200, "a publisher's own model");
    let stranger = world.mcpd.token("eve", "publish");
    assert_eq!(ask(&stranger, "qwen").await.status(), 404);
    let other = world.mcpd.token("tom", "infer:other");
    assert_eq!(ask(&other, "qwen").await.status(), 404, "as if it were not there");

    let admin = world.mcpd.token("root", "admin");
    assert_eq!(ask(&admin, "qwen").await.status(), 403);
    let wish = json!({"user": "tom", "scopes": ["infer"], "expiresInSeconds": 1});
    let made = world.mcpd.post(wire::paths::TOKENS, &admin).json(&wish).send().await.unwrap();
    let made: serde_json::Value = made.json().await.unwrap();
    let token = made["token"].as_str().unwrap();
    let refused = testkit::until("the token expires", async || {
        let answer = ask(token, "qwen").await;
        (answer.status() == 401).then_some(answer)
    })
    .await;
    let text = refused.text().await.unwrap();
    assert!(text.contains("expired"), "{text}");

    let made = world.mcpd.make_token("tom", "infer", &[]);
    let token = made["token"].as_str().unwrap();
    assert_eq!(ask(token, "qwen").await.status(), 200);
    let _ = world.mcpd.command(&["token", "revoke", made["id"].as_str().unwrap()]);
    let second = std::time::Duration::from_secs(1);
    testkit::within(second, "the revoked token is dead", async || {
        (ask(token, "qwen").await.status() == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_owner_whose_token_is_revoked_is_told_and_publishes_no_more() {
    let mut world = World::new().await;
    let made = world.mcpd.make_token("ann", "publish", &[]);
    let home = Home::with(&world.mcpd.url, &[provider("anns", &world.backend.url)]);
    world.agent = Agent::start(&home, made["token"].as_str().unwrap());
    world.mcpd.active(&world.caller, "anns").await;
    let _ = world.mcpd.command(&["token", "revoke", made["id"].as_str().unwrap()]);
    let status = home.shows("stopped", |s| s["connection"]["state"] == "stopped").await;
    assert!(status["connection"]["message"].as_str().unwrap().contains("revoked"));
}

#[tokio::test]
async fn a_name_that_belongs_to_somebody_else_is_refused_and_shown() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let home = Home::with(
        &world.mcpd.url,
        &[provider("qwen", &world.backend.url), provider("mine", &world.backend.url)],
    );
    let _agent = Agent::start(&home, &world.mcpd.token("ann", "publish"));
    let status = home.shows("refused", |s| s["providers"][0]["state"] == "rejected").await;
    assert!(!status["providers"][0]["message"].as_str().unwrap().contains("mia"));
    world.mcpd.active(&world.caller, "mine").await;
}

#[tokio::test]
async fn a_server_whose_event_stream_is_no_such_thing_is_an_error_and_no_crash() {
    let seed = Peer::start("seed-mcpd.mjs", &[]);
    let url = seed.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
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
    let backend = Backend::awake().await;
    let home = Home::with(&url, &[provider("qwen", &backend.url)]);
    let mut agent = Agent::start(&home, "t");
    testkit::until("the log tells of it", async || {
        let log = agent.process.err();
        (log.contains("not usable") && log.contains("longer than")).then_some(())
    })
    .await;
    // What follows on the same channel is read as if nothing had been.
    let task = json!({"kind": "infer", "taskId": task_id(1), "llmName": "qwen",
                      "request": {"model": "qwen", "messages": []}});
    control("task", task).await.unwrap();
    seed.tells("result", |told| told["result"]["status"] == 200).await;
    let channels = seed.told().iter().filter(|told| told["kind"] == "channel").count();
    assert!(agent.process.ended().is_none() && channels == 1, "{channels}");
}

#[tokio::test]
async fn a_backend_that_falls_silent_is_given_up_in_the_end() {
    // Silence is borne for 5 minutes; here they last 3 seconds.
    let mcpd = testkit::mcpd::Mcpd::scaled(0.01).await;
    let backend = Backend::awake().await;
    let world = World::on(mcpd, backend, |entry| entry).await;
    let answer = world.scripted(json!({"do": "count", "n": 20, "stallAt": 5})).await;
    let streamed = read(answer).await;
    assert!(!streamed.done && streamed.error.is_some(), "{streamed:?}");
    world.backend.until_open(0).await;
}

#[tokio::test]
async fn bodies_that_cannot_be_used_are_refused_with_their_reason() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    for (body, word) in [
        ("{\"model\":", "byte 9"),
        ("[]", "object"),
        ("{}", "model"),
        ("{\"model\": 5}", "string"),
        ("{\"model\": \"qwen\", \"MODEL\": \"other\"}", "could be taken for `model`"),
        ("{\"model\": \"qwen\", \"\\u017ftream\": true}", "could be taken for `stream`"),
    ] {
        let request = world.mcpd.post("/v1/chat/completions", &world.caller);
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(word), "{body}: {text}");
    }
    // The server hangs up when it has read enough; its answer may be lost in that.
    let post = || world.mcpd.post("/v1/chat/completions", &world.caller);
    let large = post().header("x-large", "h".repeat(256 * 1024)).json(&whole()).send().await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 431));
    let large = post().body(vec![b' '; 65 << 20]).send().await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 413));
    assert_eq!(world.chat(&whole()).await.status(), 200, "nobody else is any the worse");
    let foreign = "/api/v1/llms/_provider-task/00000000000000000000000000000000/response";
    let answer = world.mcpd.post(foreign, &world.publisher).body("x").send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let beat = json!({"providerSessionId": "somebody-elses"});
    let path = wire::paths::HEARTBEAT;
    let answer = world.mcpd.post(path, &world.publisher).json(&beat).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(
        code(world.mcpd.post("/v1/chat/completions", "x").send().await.unwrap()).await,
        "invalid_api_key"
    );
}
