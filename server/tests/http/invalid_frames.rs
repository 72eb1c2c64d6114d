//! Frames that break the rules fail their own task, and no other of the same uplink.

use crate::responses::{SSE, with_length};
use crate::server::{PATIENCE, Server};
use serde_json::{Value, json};
use testkit::fake_publisher::{FakePublisher, frame, ok};

/// A rule, and frames that break it.
type Lie = (&'static str, fn(&str) -> Vec<Vec<u8>>);

fn head(task: &str) -> Vec<u8> {
    frame::head(task, &ok(SSE))
}

fn length(task: &str) -> Vec<u8> {
    frame::head(task, &with_length("application/json", 3))
}

const LIES: [Lie; 18] = [
    ("data before the head", |task| vec![frame::data(task, 0, b"x")]),
    ("an end before the head", |task| vec![frame::end(task)]),
    ("a second head", |task| vec![head(task), head(task)]),
    ("a second head after data", |task| vec![head(task), frame::data(task, 0, b"x"), head(task)]),
    ("a gap at the beginning", |task| vec![head(task), frame::data(task, 1, b"x")]),
    ("a gap", |task| vec![head(task), frame::data(task, 0, b"x"), frame::data(task, 2, b"x")]),
    ("the last offset", |task| vec![head(task), frame::data(task, usize::MAX, b"x")]),
    ("an empty piece", |task| vec![head(task), frame::frame(3, task, 0, b"")]),
    ("a longer body", |task| vec![length(task), frame::data(task, 0, b"1234")]),
    ("a shorter body", |task| vec![length(task), frame::data(task, 0, b"12"), frame::end(task)]),
    ("no body", |task| vec![length(task), frame::end(task)]),
    ("a payload of accepted", |task| vec![frame::frame(1, task, 0, b"x")]),
    ("a payload of end", |task| vec![head(task), frame::frame(4, task, 0, b"x")]),
    ("a head that is no JSON", |task| vec![frame::frame(2, task, 0, b"{\"status\": 200")]),
    ("a head without a status", |task| vec![frame::head(task, &json!({"headers": {}}))]),
    ("a status of 101", |task| vec![frame::head(task, &json!({"status": 101}))]),
    ("a status of 600", |task| vec![frame::head(task, &json!({"status": 600}))]),
    ("a header with a line break", |task| {
        let headers = json!({"content-type": "text/plain\r\nset-cookie: a=b"});
        vec![frame::head(task, &json!({"status": 200, "headers": headers}))]
    }),
];

/// A publisher with two slots.
async fn publisher(server: &Server) -> FakePublisher {
    let token = server.token("mia", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "qwen", "maxConcurrency": 2}]});
    FakePublisher::connect(&server.url, &token, &wish).await
}

#[tokio::test]
async fn a_publisher_that_breaks_a_rule_fails_that_task_and_no_other() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = publisher(&server).await;
    let honest = tokio::spawn(server.chat(&caller, "qwen").send());
    let (good, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(head(&good)).await;
    let mut offset = 0;
    for together in [false, true] {
        for (rule, frames) in LIES {
            let chat = server.chat(&caller, "qwen").send();
            let chat = tokio::spawn(async {
                let response = chat.await?;
                Ok::<_, reqwest::Error>((response.status(), response.text().await?))
            });
            let (task, _) = publisher.task().await;
            let frames = frames(&task);
            if together {
                uplink.send(frames.concat()).await;
            } else {
                for frame in frames {
                    uplink.send(frame).await;
                }
            }
            uplink.send(frame::data(&good, offset, b"data: 1\n\n")).await;
            offset += 9;
            let ended = tokio::time::timeout(PATIENCE, chat).await.expect(rule).unwrap();
            match ended {
                Ok((status, text)) => {
                    assert!(status == 502 || status == 200, "{rule}: {status}");
                    assert!(text.contains("backend_aborted"), "{rule}: {text}");
                }
                // A format that cannot say it.
                Err(broken) => assert_eq!(rule, "a shorter body", "{broken}"),
            }
            let (name, event) = publisher.event().await;
            assert_eq!(
                (name.as_str(), &event["taskId"], &event["reason"]),
                ("cancel", &json!(task), &json!("backend_aborted")),
                "{rule}"
            );
            // Further lies are ignored until the publisher stops.
            uplink.send([frame::data(&task, 7, b"x"), frame::data(&task, 0, b"x")].concat()).await;
            uplink.send(frame::failed(&task, &json!({"code": "cancelled"}))).await;
            publisher.finished(&task).await;
        }
    }
    uplink.send(frame::end(&good)).await;
    let text = honest.await.unwrap().unwrap().text().await.unwrap();
    assert_eq!(text, "data: 1\n\n".repeat(2 * LIES.len()));
    assert_eq!(uplink.end().await.status, 204);
}

#[tokio::test]
async fn what_follows_an_end_in_the_same_bytes_does_not_reach_the_caller() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = publisher(&server).await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send([head(&task), frame::data(&task, 0, b"data: 1\n\n")].concat()).await;
    let mut answer = chat.await.unwrap().unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    let more = [frame::end(&task), frame::data(&task, 9, b"data: 2\n\n"), frame::end(&task)];
    uplink.send(more.concat()).await;
    assert_eq!(answer.text().await.unwrap(), "");
    publisher.finished(&task).await;
}

#[tokio::test]
async fn a_failure_counts_whatever_its_payload_says_and_unknown_kinds_are_skipped() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = publisher(&server).await;
    for payload in [&b"nonsense"[..], b"", b"{}", b"{\"code\": \"never-heard\", \"x\": 1}"] {
        let chat = tokio::spawn(server.chat(&caller, "qwen").send());
        let (task, _) = publisher.task().await;
        let frames = [
            frame::frame(0, &task, 0, b"x"),
            frame::frame(200, &task, 7, &[0; 65_536]),
            frame::frame(5, &task, 0, payload),
        ];
        assert_eq!(publisher.batch(frames.concat()).await.status(), 204);
        let answer = chat.await.unwrap().unwrap();
        assert_eq!(answer.status(), 502);
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["error"]["code"], "backend_unreachable");
        publisher.finished(&task).await;
    }
}
