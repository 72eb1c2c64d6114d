//! The seed system's programs speak protocol 1 only; both our sides still work with them.

use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::{counted, read};
use testkit::hostile::task_id;
use testkit::mcpd::Mcpd;
use testkit::peer::Peer;

#[tokio::test]
async fn a_registrar_of_the_seed_system_publishes_to_our_mcpd_and_answers_streamed_and_whole() {
    let mcpd = Mcpd::start().await;
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let seed = Peer::start("seed-registrar.mjs", &[&mcpd.url, &publisher, "seed"]);
    let registered = seed.tells("registered", |_| true).await;
    assert_eq!(registered["status"], 201, "{registered}");
    // It declares no `initialStatus`: that means active.
    mcpd.active(&caller, "seed").await;

    let body = json!({
        "model": "seed", "stream": true, "messages": [{"role": "user", "content": "hello"}],
    });
    let chat = |body: &Value| mcpd.post("/v1/chat/completions", &caller).json(body).send();
    let streamed = read(chat(&body).await.unwrap()).await;
    assert_eq!((streamed.text, streamed.done), (counted(5), true));
    let task = seed.tells("task", |_| true).await;
    assert_eq!(task["task"]["request"]["messages"][0]["content"], "hello");

    let mut body = body;
    body["stream"] = json!(false);
    let answer: Value = chat(&body).await.unwrap().json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "asked for hello");
    let beat = seed.tells("heartbeat", |_| true).await;
    assert_eq!(beat["status"], 200);
}

/// A server of the seed system, our agent that publishes to it, and a way to hand out tasks.
struct Seed {
    peer: Peer,
    url: String,
    backend: Backend,
    home: Home,
    _agent: Agent,
}

impl Seed {
    async fn new() -> Self {
        let peer = Peer::start("seed-mcpd.mjs", &[]);
        let url = peer.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
        let backend = Backend::awake().await;
        let home = Home::with(&url, &[provider("qwen", &backend.url)]);
        let agent = Agent::start(&home, "t");
        peer.tells("channel", |_| true).await;
        Self { peer, url, backend, home, _agent: agent }
    }

    async fn task(&self, number: usize, streaming: bool, request: Value) {
        let task = json!({
            "kind": "infer", "taskId": task_id(number), "llmName": "qwen", "request": request,
            "streaming": streaming,
        });
        let url = format!("{}/control/task", self.url);
        reqwest::Client::new().post(url).json(&task).send().await.unwrap();
    }

    fn results(&self, number: usize) -> Vec<Value> {
        let path = format!("_provider-task/{}/result", task_id(number));
        let told = self.peer.told().into_iter();
        told.filter(|told| told["path"] == path.as_str()).map(|t| t["result"].clone()).collect()
    }
}

#[tokio::test]
async fn our_agent_publishes_to_a_server_of_the_seed_system_and_answers_streamed_and_whole() {
    let seed = Seed::new().await;
    let register = seed.peer.tells("register", |_| true).await;
    assert_eq!(register["authorization"], "Bearer t");
    let status = seed.home.shows("online", |s| s["connection"]["state"] == "online").await;
    assert_eq!(status["providers"][0]["name"], "qwen");

    let request = json!({"model": "qwen", "stream": true, "messages": []});
    seed.task(1, true, request).await;
    let done = |told: &Value| told["result"]["chunk"]["done"] == true;
    seed.peer.tells("result", done).await;
    let chunks = seed.results(1);
    assert_eq!(chunks.len(), 6, "{chunks:?}");
    assert_eq!(chunks[5]["chunk"]["data"], "[DONE]");
    let text = |chunk: &Value| {
        let data: Value = serde_json::from_str(chunk["chunk"]["data"].as_str().unwrap()).unwrap();
        data["choices"][0]["delta"]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(chunks[..5].iter().map(text).collect::<String>(), counted(5));

    seed.task(2, false, json!({"model": "qwen", "messages": []})).await;
    let whole = seed.peer.tells("result", |told| told["result"]["body"].is_object()).await;
    assert_eq!(whole["result"]["status"], 200);
    assert_eq!(whole["result"]["body"]["choices"][0]["message"]["content"], "whole");
    let body: Value = serde_json::from_slice(&seed.backend.seen()[1].body).unwrap();
    assert_eq!(body["model"], "the-backends-own-name");
}

#[tokio::test]
async fn a_backends_error_reaches_a_server_of_the_seed_system_with_its_status() {
    let seed = Seed::new().await;
    let script = json!({"do": "status", "status": 400, "body": "{\"error\": \"no such thing\"}"});
    let request = json!({"model": "qwen", "stream": true, "x_script": script});
    seed.task(1, true, request).await;
    let result = seed.peer.tells("result", |_| true).await;
    assert_eq!(result["result"]["status"], 400, "{result}");
    assert_eq!(result["result"]["body"]["error"], "no such thing");
}
