//! Prompts, responses, tokens and header values are neither stored nor logged.

use crate::Setup;
use serde_json::json;
use std::path::Path;
use testkit::caller::read_stream;

#[tokio::test]
async fn canaries_are_in_no_log_at_trace_no_database_no_folder_and_no_error() {
    const PROMPT: &str = "canary-prompt-5f1c";
    const HEADER: &str = "canary-header-77aa";
    const ANSWER: &str = "canary-response-09be";
    let mut setup = Setup::new().await;
    let call = async |script| {
        let mut body = testkit::caller::scripted_chat("qwen", script);
        body["messages"] = json!([{"role": "user", "content": PROMPT}]);
        let request = setup.mcpd.post("/v1/chat/completions", &setup.caller).json(&body);
        request.header("openai-beta", HEADER).send().await.unwrap()
    };
    read_stream(call(json!({"do": "count", "n": 3})).await).await;
    read_stream(call(json!({"do": "count", "n": 9, "abortAt": 3, "pauseMs": 20})).await).await;
    let text = format!("{{\"error\": \"{ANSWER}\"}}");
    let response = call(json!({"do": "status", "status": 500, "body": text})).await;
    assert!(response.text().await.unwrap().contains(ANSWER));
    // An error of mcpd about a body that contains the prompt.
    let broken = format!("{{\"model\": 5, \"x\": \"{PROMPT}\"}}");
    let request = setup.mcpd.post("/v1/chat/completions", &setup.caller).body(broken);
    let error = request.send().await.unwrap().text().await.unwrap();
    assert!(!error.contains(PROMPT), "{error}");
    assert!(setup.backend.requests()[0].headers["openai-beta"] == HEADER, "the header was relayed");

    setup.agent.process.stop().await;
    setup.mcpd.process.stop().await;
    let canaries = [PROMPT, HEADER, ANSWER, setup.caller.as_str(), setup.publisher.as_str()]
        .map(str::as_bytes);
    let mut files = 0;
    let home = setup.home.file(".");
    let folders = [setup.mcpd.folder.path(), home.as_path(), setup.agent.log.path()];
    for folder in folders {
        search(folder, &canaries, &mut files);
    }
    let found = format!("0 hits in {files} files");
    testkit::figures::record(
        "prompts, answers, tokens in logs, databases, folders, errors",
        found,
        "0 hits",
    );
    assert!(files > 5, "only {files} files were searched");
    assert!(setup.mcpd.process.stderr().contains("a publisher registered"), "mcpd has logged");
    assert!(setup.agent.process.stderr().contains("DEBUG"), "the agent has logged everything");
}

fn search(folder: &Path, canaries: &[&[u8]], files: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, canaries, files);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        *files += usize::from(!bytes.is_empty());
        for canary in canaries {
            let found = bytes.windows(canary.len()).position(|window| window == *canary);
            let around = |at: usize| {
                let (from, to) = (at.saturating_sub(150), (at + 80).min(bytes.len()));
                String::from_utf8_lossy(&bytes[from..to]).into_owned()
            };
            assert!(found.is_none(), "in {}: {}", path.display(), around(found.unwrap_or(0)));
        }
    }
}
