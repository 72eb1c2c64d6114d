//! A hostile server: its tasks reach only published models and relayed endpoints, and failures are
//! reported with their cause.

use bytes::Bytes;
use serde_json::{Value, json};
use testkit::caller::{FORM, form};
use testkit::fake_server::{AgentOfFakeServer, Reply, task, task_id};
use wire::frames::Kind;

async fn start() -> AgentOfFakeServer {
    let setup = AgentOfFakeServer::start(&[], 0.1).await;
    setup.home.until_online().await;
    setup
}

#[tokio::test]
async fn an_event_that_is_too_long_fails_its_task_at_once_and_the_channel_stays_open() {
    let setup = start().await;
    let long = |id: &str, text: &str| task(id, &json!({"model": "qwen", "text": text}));
    let of = |id: &str, begins: &str| format!("{{\"kind\":\"infer\",\"taskId\":\"{id}\"{begins}");
    // One line of 200 KB.
    let line = of(&task_id(1), &format!(",\"x\":\"{}\"}}", "x".repeat(200 << 10)));
    setup.server.write(format!("event: task\ndata: {line}\n\n")).await;
    let failed = setup.server.failure(&task_id(1)).await;
    assert_eq!(failed["code"], "request_too_large", "{failed}");
    // Many lines of 60 KB, 1.2 MB together.
    let lines = format!("\ndata: {}", "x".repeat(60 << 10)).repeat(20);
    setup.server.write(format!("event: task\ndata: {}{lines}\n\n", of(&task_id(2), ","))).await;
    let failed = setup.server.failure(&task_id(2)).await;
    assert_eq!(failed["code"], "request_too_large", "{failed}");
    // One without a recognisable task, and one that is no task.
    let nameless = json!({"a": "x".repeat(200 << 10), "taskId": task_id(3)});
    setup.server.send_event("task", &nameless).await;
    setup.server.send_event("cancel", &long(&task_id(4), &"x".repeat(200 << 10))).await;

    setup.until_task_answered(5).await;
    assert_eq!(setup.server.requests("stream").len(), 1, "the channel stayed open");
    assert_eq!(setup.server.frames(Kind::Failed).len(), 2, "nothing is reported for the others");
    assert_eq!(setup.backend.requests().len(), 1);
}

#[tokio::test]
async fn bodies_that_cannot_be_rewritten_and_paths_that_are_not_relayed_never_reach_the_backend() {
    let setup = start().await;
    let (good, chat) = (r#"{"model": "qwen", "messages": []}"#, "/v1/chat/completions");
    let cases = [
        ("POST", chat, r#"{"model": "qwen", "model": "unpublished"}"#),
        ("POST", chat, r#"{"model": "qwen", "mod\u0065l": "unpublished"}"#),
        ("POST", chat, r#"{"model": "qwen", "MODEL": "unpublished"}"#),
        ("POST", chat, r#"{"model": "qwen", "Stream": true}"#),
        ("POST", chat, r#"[{"model": "unpublished"}]"#),
        ("POST", chat, r#""model: unpublished""#),
        ("POST", chat, "5"),
        ("GET", chat, good),
        ("DELETE", chat, good),
        ("post", chat, good),
        ("POST", "/v1/models", good),
        ("POST", "/api/generate", good),
        ("POST", "/v1/../api/delete", good),
        ("POST", "/v1/chat/completions/../../../api/delete", good),
        ("POST", "/v1/chat/completions?model=unpublished", good),
        ("POST", "/v1/chat/completions#x", good),
        ("POST", "//v1/chat/completions", good),
        ("POST", "http://127.0.0.1:9/v1/chat/completions", good),
    ];
    for (number, (method, path, body)) in cases.iter().enumerate() {
        let id = task_id(number);
        let frame = format!(
            r#"{{"kind":"infer","taskId":"{id}","llmName":"qwen","method":"{method}","path":"{path}","request":{body}}}"#
        );
        setup.server.write(format!("event: task\ndata: {frame}\n\n")).await;
        let failed = setup.server.failure(&id).await;
        assert_eq!(failed["code"], "invalid_request", "{frame}: {failed}");
    }
    // The same for a body that is fetched, and for a missing one.
    setup.server.set_reply("request", Reply::Says(200, Vec::new(), "model=unpublished".into()));
    for (number, by_reference) in [(100, true), (101, false)] {
        let fetched = json!({"kind": "infer", "taskId": task_id(number), "llmName": "qwen",
                             "bodyRef": by_reference});
        setup.server.send_event("task", &fetched).await;
        let failed = setup.server.failure(&task_id(number)).await;
        assert_eq!(failed["code"], "invalid_request", "{failed}");
    }
    assert_eq!(setup.backend.requests().len(), 0);
    setup.until_task_answered(102).await;
    let seen: Value = serde_json::from_slice(&setup.backend.requests()[0].body).unwrap();
    assert_eq!(seen["model"], "the-backends-own-name");
}

#[tokio::test]
async fn forms_whose_model_cannot_be_replaced_never_reach_the_backend() {
    let setup = start().await;
    let path = "/v1/images/edits";
    let model = ("name=\"model\"", &b"unpublished"[..]);
    let good = form(&[model, ("name=\"image\"; filename=\"a\"", b"a")]);
    let cases = [
        (FORM, path, form(&[model, model])),
        (FORM, path, form(&[("name=\"MODEL\"", b"unpublished"), model])),
        (FORM, path, form(&[("name=\"a\"; filename=\"; name=model\"", b"unpublished"), model])),
        (FORM, path, form(&[("name=\"image\"; filename=\"a\"", b"a")])),
        (FORM, path, good.slice(..good.len() - 4)),
        (FORM, path, "{\"model\": \"unpublished\"}".into()),
        (FORM, "/v1/chat/completions", good.clone()),
        ("application/json", path, good.clone()),
        ("multipart/form-data; boundary=a", path, good.clone()),
    ];
    let task = |number: usize, content_type: &str, path: &str| {
        json!({"kind": "infer", "taskId": task_id(number), "llmName": "qwen", "bodyRef": true,
               "path": path, "headers": {"content-type": content_type}})
    };
    let reply = |body: Bytes| {
        let body = String::from_utf8(body.to_vec()).unwrap();
        setup.server.set_reply("request", Reply::Says(200, Vec::new(), body));
    };
    for (number, (content_type, path, body)) in cases.into_iter().enumerate() {
        reply(body);
        setup.server.send_event("task", &task(number, content_type, path)).await;
        let failed = setup.server.failure(&task_id(number)).await;
        assert_eq!(failed["code"], "invalid_request", "{number}: {failed}");
    }
    assert_eq!(setup.backend.requests().len(), 0);
    reply(good);
    setup.server.send_event("task", &task(100, FORM, path)).await;
    let seen = testkit::until("the good form arrives", async || setup.backend.requests().pop());
    assert_eq!(seen.await.form().await["model"], "the-backends-own-name");
}

#[tokio::test]
async fn no_server_makes_more_requests_run_at_once_than_the_publisher_allows() {
    const TASKS: usize = 200;
    let setup = start().await;
    let endless = json!({"model": "qwen", "x_script": {"do": "never"}});
    for number in 0..TASKS {
        setup.server.send_event("task", &task(&task_id(number), &endless)).await;
    }
    // One runs. One waits for a while; the others are refused at once.
    testkit::until("all others are refused", async || {
        (setup.server.frames(Kind::Failed).len() == TASKS - 1).then_some(())
    })
    .await;
    for frame in setup.server.frames(Kind::Failed) {
        let failure: Value = serde_json::from_slice(&frame.payload).unwrap();
        assert_eq!(failure["code"], "queue_full", "{failure}");
    }
    assert_eq!((setup.backend.open_responses(), setup.backend.requests().len()), (1, 1));
    setup.server.send_event("cancel", &json!({"taskId": task_id(0)})).await;
    setup.until_task_answered(TASKS).await;
    assert_eq!(setup.backend.requests().len(), 2);
}

#[tokio::test]
async fn a_task_with_an_invalid_id_is_ignored_and_leads_to_no_other_endpoint() {
    let setup = start().await;
    let body = json!({"model": "qwen", "messages": []});
    for id in ["../../../../api/v1/pairings?x=", "", "a/b", &task_id(1).replace('0', "%2f")] {
        setup.server.send_event("task", &task(id, &body)).await;
        let wake = json!({"kind": "wake", "taskId": id, "llmName": "qwen"});
        setup.server.send_event("task", &wake).await;
    }
    setup.until_task_answered(2).await;
    for endpoint in ["result", "request", "pairings"] {
        let requests = setup.server.requests(endpoint);
        assert!(requests.is_empty(), "{requests:?}");
    }
    assert_eq!(setup.backend.requests().len(), 1);
    assert!(setup.agent.process.stderr().contains("its id is no task's id"));
}

#[tokio::test]
async fn an_answer_waits_while_the_server_refuses_its_uplink_and_the_log_has_the_cause() {
    let setup = start().await;
    setup.server.set_reply("uplink", Reply::Says(507, Vec::new(), "{}".into()));
    let body = json!({"model": "qwen", "messages": []});
    setup.server.send_event("task", &task(&task_id(1), &body)).await;
    testkit::until("the cause is logged", async || {
        let log = setup.agent.process.stderr();
        log.lines().any(|line| line.contains("WARN") && line.contains("507")).then_some(())
    })
    .await;
    setup.server.reset_reply("uplink");
    setup.server.until_frame(&task_id(1), Kind::End).await;
    setup.home.until_status("the ended request", |s| s["recent"][0]["outcome"] == "done").await;
    assert_eq!(setup.backend.requests().len(), 1);
}
