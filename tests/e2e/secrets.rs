//! Prompts, answers, tokens and header values are found nowhere but on the way.

use crate::World;
use serde_json::json;
use std::path::Path;
use testkit::caller::read;

#[tokio::test]
async fn canaries_are_in_no_log_at_trace_no_database_no_folder_and_no_error() {
    const PROMPT: &str = "canary-prompt-5f1c";
    const HEADER: &str = "canary-header-77aa";
    const ANSWER: &str = "canary-answer-09be";
    let mut world = World::new().await;
    let call = async |script| {
        let mut body = testkit::caller::scripted("qwen", script);
        body["messages"] = json!([{"role": "user", "content": PROMPT}]);
        let request = world.mcpd.post("/v1/chat/completions", &world.caller).json(&body);
        request.header("openai-beta", HEADER).send().await.unwrap()
    };
    read(call(json!({"do": "count", "n": 3})).await).await;
    read(call(json!({"do": "count", "n": 9, "abortAt": 3, "pauseMs": 20})).await).await;
    let text = format!("{{\"error\": \"{ANSWER}\"}}");
    let answer = call(json!({"do": "status", "status": 500, "body": text})).await;
    assert!(answer.text().await.unwrap().contains(ANSWER));
    // Errors of ours, with the prompt in the body that they complain of.
    let broken = format!("{{\"model\": 5, \"x\": \"{PROMPT}\"}}");
    let answer = world.mcpd.post("/v1/chat/completions", &world.caller).body(broken);
    let said = answer.send().await.unwrap().text().await.unwrap();
    assert!(!said.contains(PROMPT), "{said}");
    assert!(world.backend.seen()[0].headers["openai-beta"] == HEADER, "it did pass");

    world.agent.process.stop().await;
    world.mcpd.process.stop().await;
    let canaries = [PROMPT, HEADER, ANSWER, world.caller.as_str(), world.publisher.as_str()]
        .map(str::as_bytes);
    let mut looked_at = 0;
    let home = world.home.file(".");
    let folders = [world.mcpd.folder.path(), home.as_path(), world.agent.log.path()];
    for folder in folders {
        search(folder, &canaries, &mut looked_at);
    }
    let said = format!("0 hits in {looked_at} files");
    testkit::figure::figure(
        "prompts, answers, tokens in logs, databases, folders, errors",
        said,
        "0 hits",
    );
    assert!(looked_at > 5, "only {looked_at} files were there to look at");
    assert!(world.mcpd.process.err().contains("a publisher registered"), "there is a log");
    assert!(world.agent.process.err().contains("DEBUG"), "the log was at its most talkative");
}

fn search(folder: &Path, canaries: &[&[u8]], looked_at: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, canaries, looked_at);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        *looked_at += usize::from(!bytes.is_empty());
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
