//! What a person with a key does in a terminal.

use crate::World;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use testkit::caller::counted;
use testkit::mcpctl::Mcpctl;
use testkit::process::CommandLine as _;

async fn world() -> (World, Mcpctl) {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let mcpctl = Mcpctl::with(&world.mcpd.url, &world.caller);
    (world, mcpctl)
}

#[tokio::test]
async fn the_catalogue_is_shown_as_table_json_yaml_and_in_full() {
    let (_world, mcpctl) = world().await;
    let table = mcpctl.run(&["get", "llm"]).await.good();
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "KIND", "STATUS", "MODEL", "OWNER", "AGE"]);
    assert_eq!(lines[1][..5], ["qwen", "virtual", "active", "the-backends-own-name", "mia"]);
    let wide = mcpctl.run(&["get", "llm", "-o", "wide"]).await.good();
    assert!(wide.contains("IN-FLIGHT") && wide.contains("0/1"), "{wide}");
    let json = mcpctl.run(&["get", "llm", "qwen", "-o", "json"]).await.good();
    let rows: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&rows[0]["name"], &rows[0]["kind"]), (&"qwen".into(), &"virtual".into()));
    let yaml = mcpctl.run(&["get", "llm", "-o", "yaml"]).await.good();
    assert!(yaml.contains("- name: qwen\n") || yaml.contains("name: qwen\n"), "{yaml}");
    let full = mcpctl.run(&["describe", "llm", "qwen"]).await.good();
    assert!(full.contains("In flight") && full.contains("0 of 1"), "{full}");
    let missing = mcpctl.run(&["describe", "llm", "gwen"]).await.bad();
    assert!(missing.contains("no such model") && missing.contains("qwen"), "{missing}");
}

#[tokio::test]
async fn watching_prints_again_when_something_changes() {
    let (world, mcpctl) = world().await;
    let watching = mcpctl.start(&["get", "llm", "--watch"]);
    testkit::until("it is shown", async || watching.out().contains("active").then_some(())).await;
    world.home.run(&["unpublish", "qwen"]).await.good();
    testkit::until("its end is shown", async || watching.err().contains("No models").then_some(()))
        .await;
}

#[tokio::test]
async fn a_chat_takes_its_question_as_an_argument_or_from_a_pipe_and_streams_the_answer() {
    let (_world, mcpctl) = world().await;
    let script = r#"{"do": "count", "n": 7}"#;
    let ended = mcpctl.run(&["chat", "qwen", "--stats", script]).await;
    assert!(ended.err.contains("7 tokens"), "{}", ended.err);
    assert_eq!(ended.good(), format!("{}\n", counted(7)), "tokens alone go to stdout");
    let piped = mcpctl.run_with(&["chat", "qwen"], script, &[]).await;
    assert_eq!(piped.good(), format!("{}\n", counted(7)));
    let none = mcpctl.run(&["chat", "qwen"]).await.bad();
    assert!(none.contains("no prompt"), "{none}");
    let broken = mcpctl
        .run(&["chat", "qwen", r#"{"do": "count", "n": 9, "pauseMs": 20, "abortAt": 4}"#])
        .await;
    assert_eq!(broken.out, format!("{}\n", counted(3)));
    assert!(broken.bad().contains("backend"), "an answer that breaks is no answer");
}

#[tokio::test]
async fn ctrl_c_in_a_chat_stops_the_backend_and_the_next_question_is_answered_at_once() {
    let (world, mcpctl) = world().await;
    let endless = r#"{"do": "count", "n": 100000, "pauseMs": 20}"#;
    let mut chat = mcpctl.start(&["chat", "qwen", endless]);
    testkit::until("it answers", async || chat.out().contains(" 3").then_some(())).await;
    chat.signal("INT");
    let ended = testkit::until("it ends", async || chat.ended()).await;
    assert_eq!(ended.code(), Some(130));
    world.backend.until_open(0).await;
    mcpctl.run(&["chat", "qwen", r#"{"do": "count", "n": 1}"#]).await.good();
}

#[tokio::test]
async fn an_admin_makes_lists_and_revokes_keys() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let admin = Mcpctl::with(&world.mcpd.url, &world.mcpd.token("root", "admin"));
    let wish = ["token", "create", "--user", "ann", "--scope", "infer:qwen", "--label", "laptop"];
    let made = admin.run(&wish).await;
    let id = made.err.split("id is ").nth(1).unwrap().trim().trim_end_matches('.').to_owned();
    let key = made.good().trim().to_owned();
    let ann = Mcpctl::with(&world.mcpd.url, &key);
    assert!(ann.run(&["get", "llm"]).await.good().contains("qwen"));
    let list = admin.run(&["token", "list"]).await.good();
    assert!(list.contains("laptop") && list.contains(&id) && !list.contains(&key), "{list}");
    let refused = ann.run(&["token", "list"]).await.bad();
    assert!(refused.contains("admin"), "{refused}");
    admin.run(&["token", "revoke", &id]).await.good();
    let dead = ann.run(&["get", "llm"]).await.bad();
    assert!(dead.contains("revoked"), "{dead}");
}

#[tokio::test]
async fn server_and_key_are_kept_where_the_person_says_and_can_be_forgotten() {
    let world = World::new().await;
    let mcpctl = Mcpctl::fresh();
    let lost = mcpctl.run(&["get", "llm"]).await.bad();
    assert!(lost.contains("mcpctl config set-url"), "{lost}");
    let open = mcpctl.run(&["config", "set-url", "http://mcpd.example.com"]).await.bad();
    assert!(open.contains("https"), "{open}");
    mcpctl.run(&["config", "set-url", &world.mcpd.url]).await.good();
    let key = format!("{}\n", world.caller);
    let no_keychain = mcpctl.run_with(&["config", "set-token"], &key, &[]).await.bad();
    assert!(no_keychain.contains("--insecure-storage"), "{no_keychain}");
    let set = ["config", "set-token", "--insecure-storage"];
    mcpctl.run_with(&set, &key, &[]).await.good();
    let mode = std::fs::metadata(mcpctl.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    mcpctl.run(&["get", "llm"]).await.good();
    let shown = mcpctl.run(&["config", "show"]).await.good();
    assert!(shown.contains(&world.mcpd.url) && !shown.contains(&world.caller), "{shown}");
    mcpctl.run(&["config", "unset"]).await.good();
    mcpctl.run(&["get", "llm"]).await.bad();
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_quietly_and_a_server_that_hangs_up_does_not() {
    let (world, mcpctl) = world().await;
    let mut endless = mcpctl.prepare(&["chat", "qwen", r#"{"do": "count", "n": 1000000}"#]);
    let (reader, writer) = std::io::pipe().unwrap();
    endless.stdout(writer);
    let mut chat = endless.stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop((reader, endless));
    let ended = testkit::until("it ends", async || chat.try_wait().unwrap()).await;
    let said = std::io::read_to_string(chat.stderr.take().unwrap()).unwrap();
    assert_eq!((ended.code(), said.as_str()), (Some(141), ""));
    world.backend.until_open(0).await;

    // It refuses at the first line and hangs up, while the question is still being sent.
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = Mcpctl::with(&format!("http://{}", server.local_addr().unwrap()), "x");
    let hang_up = async { drop(server.accept().await.unwrap()) };
    let question = "x".repeat(20 << 20);
    let asked = refused.run_with(&["chat", "qwen"], &question, &[]);
    let (ended, ()) = tokio::join!(asked, hang_up);
    assert!(ended.bad().contains("127.0.0.1"), "which server it was");
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_never_taken_for_none_and_stay_as_they_are() {
    let mcpctl = Mcpctl::fresh();
    let file = mcpctl.file();
    let refuses = async || {
        for command in [["config", "show"], ["config", "unset"], ["token", "list"]] {
            let said = mcpctl.run(&command).await.bad();
            assert!(said.contains("cli.json"), "{command:?}: {said}");
        }
        let set = mcpctl.run(&["config", "set-url", "https://mcpd.example.com"]).await.bad();
        assert!(set.contains("cli.json"), "{set}");
    };
    // One that cannot be followed, one that leads nowhere, and one that no reader could end.
    for target in ["cli.json", "nothing"] {
        std::os::unix::fs::symlink(target, &file).unwrap();
        refuses().await;
        assert_eq!(std::fs::read_link(&file).unwrap().to_str(), Some(target));
        std::fs::remove_file(&file).unwrap();
    }
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    refuses().await;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "{\"token\": \"mcp_secret\", ").unwrap();
    refuses().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"token\": \"mcp_secret\", ");
}

#[tokio::test]
async fn the_folder_and_the_file_are_the_persons_alone_also_where_they_were_not() {
    let user = tempfile::tempdir().unwrap();
    let folder = user.path().join(".mcpctl");
    let set = async || {
        let mut command = Mcpctl::fresh().prepare(&["config", "set-url", "https://example.com"]);
        command.env_remove("MCPCTL_HOME").env("HOME", user.path());
        testkit::process::finish(command, "").await.good();
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        (mode(&folder), mode(&folder.join("cli.json")))
    };
    assert_eq!(set().await, (0o700, 0o600), "made by mcpctl");
    for path in [folder.clone(), folder.join("cli.json")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(set().await, (0o700, 0o600), "made by somebody else before");
}

/// A server whose admin, or whose models, would like to write on other people's terminals.
async fn hostile() -> (Mcpctl, tokio_util::task::AbortOnDropHandle<()>) {
    use axum::routing::{get, post};
    let bad = || format!("bad{BAD}");
    let llm = move || {
        serde_json::json!({"name": bad(), "status": "active", "model": bad(), "owner": bad(),
        "type": bad(), "reason": bad(), "description": bad(), "kind": bad(), "instance": bad()})
    };
    let tokens = move || {
        serde_json::json!({"tokens": [{"id": bad(), "user": bad(), "label": bad(),
        "scopes": [bad()], "groups": [bad()], "created": 1}]})
    };
    let pairings = move || {
        serde_json::json!({"pairings": [{"id": bad(), "user": bad(), "scopes": [bad()],
        "label": bad(), "madeBy": bad()}]})
    };
    let chat = move || {
        let piece =
            serde_json::json!({"choices": [{"delta": {"content": format!("one\n\ttwo {BAD}")}}]});
        let error = serde_json::json!({"error": {"message": bad()}});
        format!(": waits{BAD}\n\ndata: {piece}\n\ndata: {error}\n\n")
    };
    let router = axum::Router::new()
        .route("/api/v1/llms", get(async move || axum::Json(serde_json::json!({"llms": [llm()]}))))
        .route("/api/v1/llms/x", get(async move || axum::Json(llm())))
        .route("/api/v1/tokens", get(async move || axum::Json(tokens())))
        .route("/api/v1/pairings", get(async move || axum::Json(pairings())))
        .route("/v1/chat/completions", post(async move || chat()))
        .fallback(async move || (http::StatusCode::IM_A_TEAPOT, bad()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mcpctl = Mcpctl::with(&format!("http://{}", listener.local_addr().unwrap()), "x");
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (mcpctl, tokio_util::task::AbortOnDropHandle::new(serving))
}

/// Clears the screen, rings, colours, turns the direction of text.
const BAD: &str = "\u{1b}[2J\u{7}\r\u{9b}31m\u{202e}\u{2066}";

#[tokio::test]
async fn what_strangers_have_written_cannot_move_the_cursor() {
    let (mcpctl, _serving) = hostile().await;
    for command in [
        &["get", "llm"][..],
        &["get", "llm", "-o", "wide"],
        &["get", "llm", "-o", "json"],
        &["get", "llm", "-o", "yaml"],
        &["describe", "llm", "x"],
        &["describe", "llm", "other"],
        &["token", "list"],
        &["token", "list", "-o", "json"],
        &["token", "list", "-o", "yaml"],
        &["token", "pairings"],
        &["token", "revoke", "x"],
        &["chat", "x", "hello"],
    ] {
        let ended = mcpctl.run(command).await;
        for text in [&ended.out, &ended.err] {
            let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
            let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let bad: Vec<char> = text.chars().filter(|c| moves(*c) || turns(*c)).collect();
            assert!(bad.is_empty(), "{command:?}: {bad:?} in {text:?}");
        }
        let all = ended.out + &ended.err;
        assert!(all.contains("31m"), "{command:?} shows what there is: {all}");
    }
}
