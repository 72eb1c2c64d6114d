//! mcpd and the agent with peers that speak only protocol 1.

use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::caller::{counted, read_stream};
use testkit::fake_backend::FakeBackend;
use testkit::fake_server::task_id;
use testkit::mcpd::Mcpd;
use testkit::protocol1_peer::Protocol1Peer;

#[tokio::test]
async fn a_protocol_1_publisher_serves_streamed_and_whole_responses_through_mcpd() {
    let mcpd = Mcpd::start().await;
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let peer = Protocol1Peer::publisher(&mcpd.url, &publisher, "old");
    let registered = peer.until_event("registered", |_| true).await;
    assert_eq!(registered["status"], 201, "{registered}");
    // A register without `initialStatus` means active.
    mcpd.until_active(&caller, "old").await;

    let body = json!({
        "model": "old", "stream": true, "messages": [{"role": "user", "content": "hello"}],
    });
    let chat = |body: &Value| mcpd.post("/v1/chat/completions", &caller).json(body).send();
    let streamed = read_stream(chat(&body).await.unwrap()).await;
    assert_eq!((streamed.text, streamed.done), (counted(5), true));
    let task = peer.until_event("task", |_| true).await;
    assert_eq!(task["task"]["request"]["messages"][0]["content"], "hello");

    let mut body = body;
    body["stream"] = json!(false);
    let response: Value = chat(&body).await.unwrap().json().await.unwrap();
    assert_eq!(response["choices"][0]["message"]["content"], "response to hello");
    let heartbeat = peer.until_event("heartbeat", |_| true).await;
    assert_eq!(heartbeat["status"], 200);
}

/// A protocol 1 server, an agent that publishes to it, and a way to send tasks.
struct Protocol1Setup {
    peer: Protocol1Peer,
    url: String,
    backend: FakeBackend,
    home: Home,
    _agent: Agent,
}

impl Protocol1Setup {
    async fn new() -> Self {
        let (peer, url) = Protocol1Peer::server().await;
        let backend = FakeBackend::awake().await;
        let home = Home::with_config(&url, &[provider("qwen", &backend.url)]);
        let agent = Agent::start(&home, "t");
        peer.until_event("channel", |_| true).await;
        Self { peer, url, backend, home, _agent: agent }
    }

    async fn send_task(&self, number: usize, streaming: bool, request: Value) {
        let task = json!({
            "kind": "infer", "taskId": task_id(number), "llmName": "qwen", "request": request,
            "streaming": streaming,
        });
        let url = format!("{}/control/task", self.url);
        reqwest::Client::new().post(url).json(&task).send().await.unwrap();
    }

    fn results(&self, number: usize) -> Vec<Value> {
        let path = format!("_provider-task/{}/result", task_id(number));
        let events = self.peer.events().into_iter().filter(|event| event["path"] == path.as_str());
        events.map(|event| event["result"].clone()).collect()
    }
}

#[tokio::test]
async fn an_agent_serves_streamed_and_whole_responses_through_a_protocol_1_server() {
    let setup = Protocol1Setup::new().await;
    let register = setup.peer.until_event("register", |_| true).await;
    assert_eq!(register["authorization"], "Bearer t");
    let status = setup.home.until_status("online", |s| s["connection"]["state"] == "online").await;
    assert_eq!(status["providers"][0]["name"], "qwen");

    let request = json!({"model": "qwen", "stream": true, "messages": []});
    setup.send_task(1, true, request).await;
    let done = |event: &Value| event["result"]["chunk"]["done"] == true;
    setup.peer.until_event("result", done).await;
    let chunks = setup.results(1);
    assert_eq!(chunks.len(), 6, "{chunks:?}");
    assert_eq!(chunks[5]["chunk"]["data"], "[DONE]");
    let text = |chunk: &Value| {
        let data: Value = serde_json::from_str(chunk["chunk"]["data"].as_str().unwrap()).unwrap();
        data["choices"][0]["delta"]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(chunks[..5].iter().map(text).collect::<String>(), counted(5));

    setup.send_task(2, false, json!({"model": "qwen", "messages": []})).await;
    let whole = setup.peer.until_event("result", |event| event["result"]["body"].is_object()).await;
    assert_eq!(whole["result"]["status"], 200);
    assert_eq!(whole["result"]["body"]["choices"][0]["message"]["content"], "whole");
    let body: Value = serde_json::from_slice(&setup.backend.requests()[1].body).unwrap();
    assert_eq!(body["model"], "the-backends-own-name");
}

#[tokio::test]
async fn a_backends_error_reaches_a_protocol_1_server_with_its_status() {
    let setup = Protocol1Setup::new().await;
    let script = json!({"do": "status", "status": 400, "body": "{\"error\": \"no such thing\"}"});
    let request = json!({"model": "qwen", "stream": true, "x_script": script});
    setup.send_task(1, true, request).await;
    let result = setup.peer.until_event("result", |_| true).await;
    assert_eq!(result["result"]["status"], 400, "{result}");
    assert_eq!(result["result"]["body"]["error"], "no such thing");
}
