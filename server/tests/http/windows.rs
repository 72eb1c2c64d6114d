//! How far a publisher may send, and what it is told about it.

use crate::responses::SSE;
use crate::server::{PATIENCE, Server};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::fake_publisher::{FakePublisher, Uplink, frame, ok};
use tokio::time::{Instant, timeout};

pub(crate) const WINDOW: usize = 262_144;
/// Other answers in the uplink of one that is stuck.
const OTHERS: usize = 99;

/// A publisher with this many slots.
async fn publisher(server: &Server, slots: usize) -> FakePublisher {
    let token = server.token("mia", &["publish"]).await;
    let provider = json!({"name": "qwen", "maxConcurrency": slots});
    let wish = json!({"protocol": 2, "providers": [provider]});
    FakePublisher::connect(&server.url, &token, &wish).await
}

/// How far this task may be sent, if the event names it.
pub(crate) fn limit(taken: &[Value], task: &str) -> Option<usize> {
    let entry = taken.iter().find(|entry| entry["id"] == task)?;
    let sum = entry["offset"].as_u64().unwrap() + entry["window"].as_u64().unwrap();
    Some(usize::try_from(sum).unwrap())
}

/// Sends an answer's head and as much of its body as the window allows, until its caller takes no
/// more. Returns how many bytes.
pub(crate) async fn fill(publisher: &mut FakePublisher, uplink: &mut Uplink, task: &str) -> usize {
    uplink.send(frame::head(task, &ok(SSE))).await;
    let (mut sent, mut most) = (0, WINDOW);
    let quiet = Duration::from_millis(300);
    loop {
        uplink.send(frame::data(task, sent, &vec![b'x'; most - sent])).await;
        sent = most;
        let told = timeout(quiet, publisher.flow("taken")).await;
        let Ok(taken) = told else { return sent };
        most = limit(&taken, task).unwrap_or(most);
    }
}

/// Sends a body as far as the window allows, until all of it is sent.
async fn send_all(
    publisher: &mut FakePublisher,
    uplink: &mut Uplink,
    task: &str,
    body: &[u8],
    size: usize,
) {
    let (mut sent, mut most) = (0, WINDOW);
    while sent < body.len() {
        let next = most.min(body.len());
        uplink.send(frame::pieces(task, sent, &body[sent..next], size)).await;
        sent = next;
        if sent < body.len() {
            most = limit(&publisher.flow("taken").await, task).unwrap_or(most);
        }
    }
}

#[tokio::test]
async fn a_binary_answer_passes_unchanged_in_pieces_of_any_size() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = publisher(&server, 1).await;
    let mut uplink = publisher.uplink().await;
    for (length, size) in [(5_000, 1), (300_000, 999), (3 << 20, frame::PAYLOAD)] {
        let body: Vec<u8> =
            (0_u32..).map(|n| n.wrapping_mul(n).to_be_bytes()[2]).take(length).collect();
        let request = json!({"model": "qwen", "input": "say"});
        let speech = server.post("/v1/audio/speech", &caller).json(&request).send();
        let speech = tokio::spawn(async { speech.await.unwrap().bytes().await.unwrap() });
        let (task, _) = publisher.task().await;
        uplink.send(frame::head(&task, &ok("audio/mpeg"))).await;
        send_all(&mut publisher, &mut uplink, &task, &body, size).await;
        uplink.send(frame::end(&task)).await;
        publisher.finished(&task).await;
        assert!(speech.await.unwrap() == body, "pieces of {size} bytes");
    }
}

#[tokio::test]
async fn a_publisher_is_told_when_a_quarter_of_the_window_was_taken() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = publisher(&server, 1).await;
    let chat = server.chat(&caller, "qwen").send();
    let chat = tokio::spawn(async { chat.await.unwrap().bytes().await.unwrap() });
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    uplink.send(frame::data(&task, 0, &vec![b'x'; WINDOW / 4 - 1])).await;
    // Nothing is told until the last byte of the quarter.
    let early = timeout(Duration::from_millis(200), publisher.flow("taken")).await;
    assert!(early.is_err(), "{early:?}");
    uplink.send(frame::data(&task, WINDOW / 4 - 1, b"x")).await;
    let told = publisher.flow("taken").await;
    assert_eq!(told, [json!({"id": task, "offset": WINDOW / 4, "window": WINDOW})]);
    uplink.send(frame::end(&task)).await;
    let ended = Instant::now();
    publisher.finished(&task).await;
    // 20 ms, and what a busy machine adds.
    assert!(ended.elapsed() < Duration::from_millis(500), "{:?}", ended.elapsed());
    assert_eq!(chat.await.unwrap().len(), WINDOW / 4);
}

#[tokio::test]
async fn finished_comes_before_the_next_task() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = publisher(&server, 1).await;
    let chats = [(); 3].map(|()| tokio::spawn(server.chat(&caller, "qwen").send()));
    let mut finished: Vec<String> = Vec::new();
    for chat in chats {
        let (task, _) = publisher.task().await;
        if let Some(previous) = finished.last() {
            let told = timeout(Duration::ZERO, publisher.flow("finished")).await;
            assert_eq!(told.expect("it came first"), [json!(previous)]);
        }
        publisher.answer(&task, &ok(SSE), b"data: 1\n\n").await;
        finished.push(task);
        drop(chat);
    }
}

#[tokio::test]
async fn a_long_poll_brings_taken_and_finished_too() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = publisher(&server, 1).await;
    let chat = server.chat(&caller, "qwen").send();
    let chat = tokio::spawn(async { chat.await.unwrap().bytes().await.unwrap() });
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    let (token, session) = (publisher.token.clone(), publisher.session.clone());
    let poll = || {
        let poll = server.get(&format!("{}?wait=20", wire::paths::POLL), &token);
        let poll = poll.header(wire::headers::SESSION, &session).send();
        tokio::spawn(async {
            let events: Vec<Value> = poll.await.unwrap().json().await.unwrap();
            assert_eq!(events[0]["event"], "hello", "{events:?}");
            events.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
        })
    };
    let polled = poll();
    assert_eq!(publisher.event().await.0, "superseded");
    uplink.send(frame::data(&task, 0, &vec![b'x'; WINDOW / 4])).await;
    let events = timeout(PATIENCE, polled).await.expect("taken in time").unwrap();
    assert!(events.contains(&format!("\\\"offset\\\":{}", WINDOW / 4)), "{events}");

    // While there is no channel at all, a quarter more is taken: the next poll returns at once.
    let reader = server.token("root", &["admin"]).await;
    server.entry_where(&reader, "qwen", |entry| entry["connected"] == false).await;
    uplink.send(frame::data(&task, WINDOW / 4, &vec![b'x'; WINDOW / 4])).await;
    let events = timeout(PATIENCE, poll()).await.expect("taken in time").unwrap();
    assert!(events.contains(&format!("\\\"offset\\\":{}", WINDOW / 2)), "{events}");
    // Later ones repeat it, but not without a pause.
    let began = Instant::now();
    let events = timeout(PATIENCE, poll()).await.expect("taken in time").unwrap();
    assert!(events.contains(&format!("\\\"offset\\\":{}", WINDOW / 2)), "{events}");
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());

    let polled = poll();
    server.entry_where(&reader, "qwen", |entry| entry["connected"] == true).await;
    uplink.send(frame::end(&task)).await;
    let events = timeout(PATIENCE, polled).await.expect("finished in time").unwrap();
    assert!(events.contains("finished") && events.contains(&task), "{events}");
    assert_eq!(chat.await.unwrap().len(), WINDOW / 2);
}

#[tokio::test]
async fn a_publisher_whose_window_was_full_goes_on_after_its_channel_was_lost() {
    for is_lost_before in [false, true] {
        let server = Server::start().await;
        let caller = server.token("ann", &["infer"]).await;
        let reader = server.token("root", &["admin"]).await;
        let mut publisher = publisher(&server, 1).await;
        let chat = tokio::spawn(server.chat(&caller, "qwen").send());
        let (task, _) = publisher.task().await;
        let mut uplink = publisher.uplink().await;
        uplink.send(frame::head(&task, &ok(SSE))).await;
        if is_lost_before {
            publisher = publisher.lose_channel();
            server.entry_where(&reader, "qwen", |entry| entry["connected"] == false).await;
        }
        uplink.send(frame::data(&task, 0, &vec![b'x'; WINDOW])).await;
        let mut answer = chat.await.unwrap().unwrap();
        let mut read = 0;
        while read < WINDOW {
            read += answer.chunk().await.unwrap().unwrap().len();
        }
        let mut publisher = publisher.reopen_channel().await;
        publisher.taken(&task, WINDOW as u64).await;
        uplink.send(frame::data(&task, WINDOW, b"end")).await;
        uplink.send(frame::end(&task)).await;
        assert_eq!(answer.text().await.unwrap(), "end");
        publisher.finished(&task).await;
    }
}

#[tokio::test]
async fn a_caller_that_does_not_read_stalls_its_own_answer_only() {
    let server = Server::start().await;
    let mut publisher = publisher(&server, OTHERS + 1).await;
    let caller = server.token("ann", &["infer"]).await;
    let lazy = tokio::spawn(server.chat(&caller, "qwen").send());
    let (stuck, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    let filled = fill(&mut publisher, &mut uplink, &stuck).await;

    let mut others = Vec::new();
    for _ in 0..OTHERS {
        let chat = server.chat(&caller, "qwen").send();
        let chat = tokio::spawn(async { chat.await.unwrap().text().await.unwrap() });
        others.push((publisher.task().await.0, chat));
    }
    for (task, _) in &others {
        uplink.send(frame::head(task, &ok(SSE))).await;
    }
    let part = [b'y'; 20_000];
    for offset in [0, part.len()] {
        let mixed = others.iter().flat_map(|(task, _)| frame::pieces(task, offset, &part, 4_999));
        uplink.send(mixed.collect::<Vec<_>>()).await;
    }
    for (task, chat) in others {
        uplink.send(frame::end(&task)).await;
        let text = timeout(PATIENCE, chat).await.expect("an answer in time").unwrap();
        assert_eq!(text.len(), 2 * part.len());
    }

    // The stuck one is still whole: what was sent before counts as known. One byte more is too much.
    uplink.send(frame::data(&stuck, filled - 10, b"xxxxxxxxxx")).await;
    uplink.send(frame::data(&stuck, filled - 10, b"xxxxxxxxxxx")).await;
    let (name, event) = publisher.event().await;
    assert_eq!(
        (name.as_str(), &event["taskId"], &event["reason"]),
        ("cancel", &json!(stuck), &json!("backend_aborted"))
    );
    let text = lazy.await.unwrap().unwrap().text().await.unwrap();
    let (body, error) = text.split_at(filled);
    assert!(body.bytes().all(|byte| byte == b'x'), "every byte that was allowed");
    assert!(error.contains("backend_aborted"), "{error}");
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_disconnected() {
    let server = Server::start_scaled(0.05).await;
    let mut publisher = publisher(&server, 1).await;
    let caller = server.token("ann", &["infer"]).await;
    let lazy = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    fill(&mut publisher, &mut uplink, &task).await;
    let unread = lazy.await.unwrap().unwrap();
    let (name, event) = publisher.event().await;
    assert_eq!(
        (name.as_str(), &event["taskId"], &event["reason"]),
        ("cancel", &json!(task), &json!("slow_consumer"))
    );
    drop(unread);
}
