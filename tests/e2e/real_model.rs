//! A real llama.cpp server with a real model, called by the clients that people use.

use crate::and;
use serde_json::{Value, json};
use std::process::Command;
use testkit::agent::{Agent, Home};
use testkit::caller::read;
use testkit::llama::{self, Llama};
use testkit::mcpd::Mcpd;
use testkit::process::{Process, gone};

/// mcpd, an agent, and llama.cpp published as `count`.
struct Real {
    llama: Llama,
    mcpd: Mcpd,
    caller: String,
    _agent: Agent,
}

impl Real {
    async fn start(more: &[&str]) -> Self {
        let (llama, mcpd) = (Llama::start(more).await, Mcpd::start().await);
        let caller = mcpd.token("tom", "infer");
        let home = Home::with(&mcpd.url, &[llama.provider("count-model")]);
        let agent = Agent::start(&home, &mcpd.token("mia", "publish"));
        mcpd.active(&caller, "count-model").await;
        Self { llama, mcpd, caller, _agent: agent }
    }

    async fn through(&self, path: &str, body: &Value) -> reqwest::Response {
        let body = and(body.clone(), &json!({"model": "count-model"}));
        self.mcpd.post(path, &self.caller).json(&body).send().await.unwrap()
    }

    async fn directly(&self, path: &str, body: &Value) -> reqwest::Response {
        let url = format!("{}{path}", self.llama.url);
        let body = and(body.clone(), &json!({"model": "count"}));
        reqwest::Client::new().post(url).json(&body).send().await.unwrap()
    }
}

fn asked(more: &Value) -> Value {
    let body = json!({
        "messages": [{"role": "user", "content": "57"}],
        "max_tokens": 20, "temperature": 0, "seed": 1, "cache_prompt": false,
    });
    and(body, more)
}

#[tokio::test]
async fn chat_and_completion_streamed_and_whole_are_what_the_model_says_directly() {
    let real = Real::start(&["--parallel", "2"]).await;
    let counted: String = (58..78).map(|n| format!(" {n}")).collect();
    let streamed =
        read(real.through("/v1/chat/completions", &asked(&json!({"stream": true}))).await);
    let streamed = streamed.await;
    assert_eq!((streamed.text.trim(), streamed.done), (counted.trim(), true));

    for (path, body, at) in [
        ("/v1/chat/completions", asked(&json!({})), "/choices/0/message/content"),
        ("/v1/completions", asked(&json!({"prompt": "57"})), "/choices/0/text"),
    ] {
        let ours: Value = real.through(path, &body).await.json().await.unwrap();
        let direct: Value = real.directly(path, &body).await.json().await.unwrap();
        let text = ours.pointer(at).and_then(Value::as_str).unwrap();
        assert_eq!(text.trim(), counted.trim(), "{path}");
        assert_eq!(ours["usage"], direct["usage"], "{path}: the same token counts");
    }
}

#[tokio::test]
async fn parameters_act_as_they_do_directly() {
    let real = Real::start(&[]).await;
    let body = asked(&json!({"logprobs": true, "top_logprobs": 2, "n_probs": 2}));
    let answer: Value = real.through("/v1/chat/completions", &body).await.json().await.unwrap();
    let first = &answer["choices"][0]["logprobs"]["content"][0];
    assert!(first["top_logprobs"].as_array().is_some_and(|top| top.len() == 2), "{answer}");

    let schema = json!({"type": "json_schema", "json_schema": {"schema": {"type": "integer"}}});
    let body = asked(&json!({"response_format": schema}));
    let answer: Value = real.through("/v1/chat/completions", &body).await.json().await.unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.trim().parse::<i128>().is_ok(), "constrained to an integer: {text:?}");

    let body = asked(&json!({"x_unheard_of": {"pad": "p".repeat(3 << 20)}}));
    let answer = real.through("/v1/chat/completions", &body).await;
    assert_eq!(answer.status(), 200, "a body of 3 MiB: {:?}", answer.text().await);

    let wrong = asked(&json!({"messages": "none"}));
    let (ours, direct) = (
        real.through("/v1/chat/completions", &wrong).await,
        real.directly("/v1/chat/completions", &wrong).await,
    );
    assert!(ours.status().is_client_error() || ours.status().is_server_error());
    assert_eq!(ours.status(), direct.status());
    assert_eq!(ours.text().await.unwrap(), direct.text().await.unwrap());
}

#[tokio::test]
async fn embeddings_are_the_same_as_directly() {
    let real = Real::start(&["--embeddings"]).await;
    let body = json!({"input": "57 58"});
    let ours: Value = real.through("/v1/embeddings", &body).await.json().await.unwrap();
    let direct: Value = real.directly("/v1/embeddings", &body).await.json().await.unwrap();
    let vector = ours["data"][0]["embedding"].as_array().unwrap();
    assert_eq!(vector.len(), 192);
    assert_eq!(ours["data"], direct["data"]);
}

#[tokio::test]
async fn a_model_that_is_not_running_is_started_by_its_recipe_and_answers() {
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
    let home = Home::with(&mcpd.url, &[entry]);
    let caller = mcpd.token("tom", "infer");
    let _agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    mcpd.row(&caller, "sleepy", |row| row["status"] == "hibernating").await;
    let body = asked(&json!({"model": "sleepy", "stream": true}));
    // The second time it was ended behind the agent's back, and nobody has noticed yet.
    for _ in 0..2 {
        let answer = mcpd.post("/v1/chat/completions", &caller).json(&body).send().await.unwrap();
        let streamed = read(answer).await;
        let pid = std::fs::read_to_string(&pid).unwrap();
        assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success(), "it lives on");
        gone(&pid).await;
        assert!(streamed.done && streamed.text.trim().starts_with("58 59"), "{streamed:?}");
    }
    // The catalogue learns of its end.
    mcpd.row(&caller, "sleepy", |row| row["status"] == "hibernating").await;
}

#[tokio::test]
async fn the_official_clients_in_python_and_javascript_work_as_against_the_server_itself() {
    let real = Real::start(&["--parallel", "2"]).await;
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
        let ended = testkit::until("the client ends", async || client.ended()).await;
        assert!(ended.success(), "{program}: {}", client.err());
        let told: Value = serde_json::from_str(&client.out()).unwrap();
        assert_eq!(told["models"], json!(["count-model"]), "{program}");
        assert!(told["streamed"].as_str().unwrap().trim().starts_with("58 59 60"), "{told}");
        assert_eq!(told["whole"], told["streamed"], "{program}");
        assert_eq!(told["tokens"], 20, "{program}");
        assert_eq!(told["error"], 404, "{program}: an unknown model is the client's NotFound");
    }
}

#[tokio::test]
async fn thirty_two_counts_from_different_starts_never_mix() {
    let real = Real::start(&["--parallel", "2"]).await;
    let calls = (0..32).map(|at| {
        let real = &real;
        async move {
            let start = 100 + at * 20;
            let body = and(
                asked(&json!({"stream": true, "max_tokens": 15})),
                &json!({"messages": [{"role": "user", "content": start.to_string()}]}),
            );
            let streamed = read(real.through("/v1/chat/completions", &body).await).await;
            let expected: Vec<_> = (start + 1..=start + 15).map(|n| n.to_string()).collect();
            assert_eq!(streamed.text.trim(), expected.join(" "));
        }
    });
    futures_util::future::join_all(calls).await;
}
