//! A real llama.cpp server with a real model, called by the official clients.

use crate::with_keys;
use serde_json::{Value, json};
use std::process::Command;
use testkit::agent::{Agent, Home};
use testkit::caller::read_stream;
use testkit::llama::{self, Llama};
use testkit::mcpd::Mcpd;
use testkit::process::{Process, until_exited};

/// mcpd, an agent, and llama.cpp published as `count-model`.
struct RealModel {
    llama: Llama,
    mcpd: Mcpd,
    caller: String,
    _agent: Agent,
}

impl RealModel {
    async fn start(more: &[&str]) -> Self {
        let (llama, mcpd) = (Llama::start(more).await, Mcpd::start().await);
        let caller = mcpd.token("tom", "infer");
        let home = Home::with_config(&mcpd.url, &[llama.provider("count-model")]);
        let agent = Agent::start(&home, &mcpd.token("mia", "publish"));
        mcpd.until_active(&caller, "count-model").await;
        Self { llama, mcpd, caller, _agent: agent }
    }

    async fn through_mcpd(&self, path: &str, body: &Value) -> reqwest::Response {
        let body = with_keys(body.clone(), &json!({"model": "count-model"}));
        self.mcpd.post(path, &self.caller).json(&body).send().await.unwrap()
    }

    async fn directly(&self, path: &str, body: &Value) -> reqwest::Response {
        let url = format!("{}{path}", self.llama.url);
        let body = with_keys(body.clone(), &json!({"model": "count"}));
        reqwest::Client::new().post(url).json(&body).send().await.unwrap()
    }
}

fn prompt_57(more: &Value) -> Value {
    let body = json!({
        "messages": [{"role": "user", "content": "57"}],
        "max_tokens": 20, "temperature": 0, "seed": 1, "cache_prompt": false,
    });
    with_keys(body, more)
}

#[tokio::test]
async fn chats_and_completions_through_mcpd_equal_the_direct_ones() {
    let real = RealModel::start(&["--parallel", "2"]).await;
    let counted: String = (58..78).map(|n| format!(" {n}")).collect();
    let streamed = read_stream(
        real.through_mcpd("/v1/chat/completions", &prompt_57(&json!({"stream": true}))).await,
    );
    let streamed = streamed.await;
    assert_eq!((streamed.text.trim(), streamed.done), (counted.trim(), true));

    for (path, body, at) in [
        ("/v1/chat/completions", prompt_57(&json!({})), "/choices/0/message/content"),
        ("/v1/completions", prompt_57(&json!({"prompt": "57"})), "/choices/0/text"),
    ] {
        let relayed: Value = real.through_mcpd(path, &body).await.json().await.unwrap();
        let direct: Value = real.directly(path, &body).await.json().await.unwrap();
        let text = relayed.pointer(at).and_then(Value::as_str).unwrap();
        assert_eq!(text.trim(), counted.trim(), "{path}");
        assert_eq!(relayed["usage"], direct["usage"], "{path}: the same token counts");
    }
}

#[tokio::test]
async fn parameters_and_errors_through_mcpd_equal_the_direct_ones() {
    let real = RealModel::start(&[]).await;
    let body = prompt_57(&json!({"logprobs": true, "top_logprobs": 2, "n_probs": 2}));
    let response: Value =
        real.through_mcpd("/v1/chat/completions", &body).await.json().await.unwrap();
    let first = &response["choices"][0]["logprobs"]["content"][0];
    assert!(first["top_logprobs"].as_array().is_some_and(|top| top.len() == 2), "{response}");

    let schema = json!({"type": "json_schema", "json_schema": {"schema": {"type": "integer"}}});
    let body = prompt_57(&json!({"response_format": schema}));
    let response: Value =
        real.through_mcpd("/v1/chat/completions", &body).await.json().await.unwrap();
    let text = response["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.trim().parse::<i128>().is_ok(), "constrained to an integer: {text:?}");

    let body = prompt_57(&json!({"x_unheard_of": {"pad": "p".repeat(3 << 20)}}));
    let response = real.through_mcpd("/v1/chat/completions", &body).await;
    assert_eq!(response.status(), 200, "a body of 3 MiB: {:?}", response.text().await);

    let wrong = prompt_57(&json!({"messages": "none"}));
    let (relayed, direct) = (
        real.through_mcpd("/v1/chat/completions", &wrong).await,
        real.directly("/v1/chat/completions", &wrong).await,
    );
    assert!(relayed.status().is_client_error() || relayed.status().is_server_error());
    assert_eq!(relayed.status(), direct.status());
    assert_eq!(relayed.text().await.unwrap(), direct.text().await.unwrap());
}

#[tokio::test]
async fn embeddings_through_mcpd_equal_the_direct_ones() {
    let real = RealModel::start(&["--embeddings"]).await;
    let body = json!({"input": "57 58"});
    let relayed: Value = real.through_mcpd("/v1/embeddings", &body).await.json().await.unwrap();
    let direct: Value = real.directly("/v1/embeddings", &body).await.json().await.unwrap();
    let vector = relayed["data"][0]["embedding"].as_array().unwrap();
    assert_eq!(vector.len(), 192);
    assert_eq!(relayed["data"], direct["data"]);
}

#[tokio::test]
async fn a_model_that_is_not_running_is_started_by_its_recipe() {
    let mcpd = Mcpd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let pid = folder.path().join("pid");
    let line: Vec<String> =
        llama::command_line(port, &[]).iter().map(|word| format!("'{word}'")).collect();
    let script = format!("{} >/dev/null 2>&1 & echo $! > {}", line.join(" "), pid.display());
    let entry = json!({
        "name": "sleepy", "type": "llamacpp", "url": format!("http://127.0.0.1:{port}"),
        "model": "count", "publish": true,
        "wake": {"type": "command", "command": "sh", "args": ["-c", script]},
    });
    let home = Home::with_config(&mcpd.url, &[entry]);
    let caller = mcpd.token("tom", "infer");
    let _agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    mcpd.until_entry(&caller, "sleepy", |entry| entry["status"] == "hibernating").await;
    let body = prompt_57(&json!({"model": "sleepy", "stream": true}));
    // The second time the model was killed, and the agent has not noticed yet.
    for _ in 0..2 {
        let response = mcpd.post("/v1/chat/completions", &caller).json(&body).send().await.unwrap();
        let streamed = read_stream(response).await;
        let pid = std::fs::read_to_string(&pid).unwrap();
        assert!(
            Command::new("kill").arg(pid.trim()).status().unwrap().success(),
            "the model runs in the background"
        );
        until_exited(&pid).await;
        assert!(streamed.done && streamed.text.trim().starts_with("58 59"), "{streamed:?}");
    }
    // The catalogue shows that the model has exited.
    mcpd.until_entry(&caller, "sleepy", |entry| entry["status"] == "hibernating").await;
}

#[tokio::test]
async fn the_official_python_and_javascript_clients_work() {
    let real = RealModel::start(&["--parallel", "2"]).await;
    let clients = testkit::repository().join("tests/clients");
    let python = llama::folder().join("venv/bin/python");
    let programs =
        [(python.to_str().unwrap(), clients.join("chat.py")), ("node", clients.join("chat.mjs"))];
    for (program, script) in programs {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.arg(script).env("OPENAI_BASE_URL", format!("{}/v1", real.mcpd.url));
        command.env("OPENAI_API_KEY", &real.caller).env("MODEL", "count-model");
        let mut client = Process::start("client", &mut command, folder.path());
        let ended = testkit::until("the client exits", async || client.exit_status()).await;
        assert!(ended.success(), "{program}: {}", client.stderr());
        let result: Value = serde_json::from_str(&client.stdout()).unwrap();
        assert_eq!(result["models"], json!(["count-model"]), "{program}");
        assert!(result["streamed"].as_str().unwrap().trim().starts_with("58 59 60"), "{result}");
        assert_eq!(result["whole"], result["streamed"], "{program}");
        assert_eq!(result["tokens"], 20, "{program}");
        assert_eq!(
            result["error"], 404,
            "{program}: an unknown model is a NotFoundError of the client"
        );
    }
}

#[tokio::test]
async fn thirty_two_parallel_streams_are_not_mixed_up() {
    let real = RealModel::start(&["--parallel", "2"]).await;
    let calls = (0..32).map(|at| {
        let real = &real;
        async move {
            let start = 100 + at * 20;
            let body = with_keys(
                prompt_57(&json!({"stream": true, "max_tokens": 15})),
                &json!({"messages": [{"role": "user", "content": start.to_string()}]}),
            );
            let streamed =
                read_stream(real.through_mcpd("/v1/chat/completions", &body).await).await;
            let expected: Vec<_> = (start + 1..=start + 15).map(|n| n.to_string()).collect();
            assert_eq!(streamed.text.trim(), expected.join(" "));
        }
    });
    futures_util::future::join_all(calls).await;
}
