//! The commands of `mcpctl`.

use crate::Setup;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use testkit::caller::counted;
use testkit::fake_server::{FakeServer, Reply};
use testkit::mcpctl::Mcpctl;
use testkit::process::CommandLine as _;

async fn setup() -> (Setup, Mcpctl) {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let mcpctl = Mcpctl::with(&setup.mcpd.url, &setup.caller);
    (setup, mcpctl)
}

#[tokio::test]
async fn the_catalogue_is_shown_as_a_table_as_json_as_yaml_and_in_detail() {
    let (_world, mcpctl) = setup().await;
    let table = mcpctl.run(&["get", "llm"]).await.expect_success();
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "KIND", "STATUS", "MODEL", "OWNER", "AGE"]);
    assert_eq!(lines[1][..5], ["qwen", "virtual", "active", "the-backends-own-name", "mia"]);
    let wide = mcpctl.run(&["get", "llm", "-o", "wide"]).await.expect_success();
    assert!(wide.contains("IN-FLIGHT") && wide.contains("0/1"), "{wide}");
    let json = mcpctl.run(&["get", "llm", "qwen", "-o", "json"]).await.expect_success();
    let rows: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&rows[0]["name"], &rows[0]["kind"]), (&"qwen".into(), &"virtual".into()));
    let yaml = mcpctl.run(&["get", "llm", "-o", "yaml"]).await.expect_success();
    assert!(yaml.contains("- name: qwen\n") || yaml.contains("name: qwen\n"), "{yaml}");
    let full = mcpctl.run(&["describe", "llm", "qwen"]).await.expect_success();
    assert!(full.contains("In flight") && full.contains("0 of 1"), "{full}");
    let missing = mcpctl.run(&["describe", "llm", "gwen"]).await.expect_failure();
    assert!(missing.contains("no such model") && missing.contains("qwen"), "{missing}");
}

#[tokio::test]
async fn watch_prints_the_catalogue_again_when_it_changes() {
    let (setup, mcpctl) = setup().await;
    let watching = mcpctl.start(&["get", "llm", "--watch"]);
    testkit::until("the model is shown", async || {
        watching.stdout().contains("active").then_some(())
    })
    .await;
    setup.home.run(&["unpublish", "qwen"]).await.expect_success();
    testkit::until("its withdrawal is shown", async || {
        watching.stderr().contains("No models").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_chat_takes_its_prompt_as_an_argument_or_from_a_pipe_and_streams_the_response() {
    let (_world, mcpctl) = setup().await;
    let script = r#"{"do": "count", "n": 7}"#;
    let ended = mcpctl.run(&["chat", "qwen", "--stats", script]).await;
    assert!(ended.stderr.contains("7 tokens"), "{}", ended.stderr);
    assert_eq!(ended.expect_success(), format!("{}\n", counted(7)), "only tokens go to stdout");
    let piped = mcpctl.run_with(&["chat", "qwen"], script, &[]).await;
    assert_eq!(piped.expect_success(), format!("{}\n", counted(7)));
    let none = mcpctl.run(&["chat", "qwen"]).await.expect_failure();
    assert!(none.contains("no prompt"), "{none}");
    let broken = mcpctl
        .run(&["chat", "qwen", r#"{"do": "count", "n": 9, "pauseMs": 20, "abortAt": 4}"#])
        .await;
    assert_eq!(broken.stdout, format!("{}\n", counted(3)));
    assert!(broken.expect_failure().contains("backend"), "a broken response is a failure");
}

#[tokio::test]
async fn ctrl_c_in_a_chat_stops_the_backend_and_the_next_chat_runs_at_once() {
    let (setup, mcpctl) = setup().await;
    let endless = r#"{"do": "count", "n": 100000, "pauseMs": 20}"#;
    let mut chat = mcpctl.start(&["chat", "qwen", endless]);
    testkit::until("the response begins", async || chat.stdout().contains(" 3").then_some(()))
        .await;
    chat.signal("INT");
    let ended = testkit::until("mcpctl exits", async || chat.exit_status()).await;
    assert_eq!(ended.code(), Some(130));
    setup.backend.until_open_responses(0).await;
    mcpctl.run(&["chat", "qwen", r#"{"do": "count", "n": 1}"#]).await.expect_success();
}

#[tokio::test]
async fn an_admin_creates_lists_and_revokes_tokens() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let admin = Mcpctl::with(&setup.mcpd.url, &setup.mcpd.token("root", "admin"));
    let create = ["token", "create", "--user", "ann", "--scope", "infer:qwen", "--label", "laptop"];
    let made = admin.run(&create).await;
    let id = made.stderr.split("id is ").nth(1).unwrap().trim().trim_end_matches('.').to_owned();
    let key = made.expect_success().trim().to_owned();
    let ann = Mcpctl::with(&setup.mcpd.url, &key);
    assert!(ann.run(&["get", "llm"]).await.expect_success().contains("qwen"));
    let list = admin.run(&["token", "list"]).await.expect_success();
    assert!(list.contains("laptop") && list.contains(&id) && !list.contains(&key), "{list}");
    let refused = ann.run(&["token", "list"]).await.expect_failure();
    assert!(refused.contains("admin"), "{refused}");
    admin.run(&["token", "revoke", &id]).await.expect_success();
    let dead = ann.run(&["get", "llm"]).await.expect_failure();
    assert!(dead.contains("revoked"), "{dead}");
}

#[tokio::test]
async fn server_and_token_are_stored_where_the_user_chooses_and_can_be_removed() {
    let setup = Setup::new().await;
    let mcpctl = Mcpctl::fresh();
    let lost = mcpctl.run(&["get", "llm"]).await.expect_failure();
    assert!(lost.contains("mcpctl config set-url"), "{lost}");
    let open = mcpctl.run(&["config", "set-url", "http://mcpd.example.com"]).await.expect_failure();
    assert!(open.contains("https"), "{open}");
    mcpctl.run(&["config", "set-url", &setup.mcpd.url]).await.expect_success();
    let key = format!("{}\n", setup.caller);
    let no_keychain = mcpctl.run_with(&["config", "set-token"], &key, &[]).await.expect_failure();
    assert!(no_keychain.contains("--insecure-storage"), "{no_keychain}");
    let set = ["config", "set-token", "--insecure-storage"];
    mcpctl.run_with(&set, &key, &[]).await.expect_success();
    let mode = std::fs::metadata(mcpctl.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    mcpctl.run(&["get", "llm"]).await.expect_success();
    let shown = mcpctl.run(&["config", "show"]).await.expect_success();
    assert!(shown.contains(&setup.mcpd.url) && !shown.contains(&setup.caller), "{shown}");
    mcpctl.run(&["config", "unset"]).await.expect_success();
    mcpctl.run(&["get", "llm"]).await.expect_failure();
}

#[tokio::test]
async fn a_closed_stdout_ends_mcpctl_silently_and_a_server_that_hangs_up_gives_an_error() {
    let (setup, mcpctl) = setup().await;
    let mut endless = mcpctl.command(&["chat", "qwen", r#"{"do": "count", "n": 1000000}"#]);
    let (reader, writer) = std::io::pipe().unwrap();
    endless.stdout(writer);
    let mut chat = endless.stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop((reader, endless));
    let ended = testkit::until("mcpctl exits", async || chat.try_wait().unwrap()).await;
    let error = std::io::read_to_string(chat.stderr.take().unwrap()).unwrap();
    assert_eq!((ended.code(), error.as_str()), (Some(141), ""));
    setup.backend.until_open_responses(0).await;

    // The server closes the connection while the prompt is still being sent.
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mcpctl = Mcpctl::with(&format!("http://{}", server.local_addr().unwrap()), "x");
    let hang_up = async { drop(server.accept().await.unwrap()) };
    let prompt = "x".repeat(20 << 20);
    let chat = mcpctl.run_with(&["chat", "qwen"], &prompt, &[]);
    let (ended, ()) = tokio::join!(chat, hang_up);
    assert!(ended.expect_failure().contains("127.0.0.1"), "the error names the server");
}

#[tokio::test]
async fn unreadable_settings_are_an_error_and_are_not_changed() {
    let mcpctl = Mcpctl::fresh();
    let file = mcpctl.file();
    let all_refuse = async || {
        for command in [["config", "show"], ["config", "unset"], ["token", "list"]] {
            let error = mcpctl.run(&command).await.expect_failure();
            assert!(error.contains("cli.json"), "{command:?}: {error}");
        }
        let set =
            mcpctl.run(&["config", "set-url", "https://mcpd.example.com"]).await.expect_failure();
        assert!(set.contains("cli.json"), "{set}");
    };
    // A link to itself and a dangling link; then a pipe and invalid JSON.
    for target in ["cli.json", "nothing"] {
        std::os::unix::fs::symlink(target, &file).unwrap();
        all_refuse().await;
        assert_eq!(std::fs::read_link(&file).unwrap().to_str(), Some(target));
        std::fs::remove_file(&file).unwrap();
    }
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    all_refuse().await;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "{\"token\": \"mcp_secret\", ").unwrap();
    all_refuse().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"token\": \"mcp_secret\", ");
}

#[tokio::test]
async fn the_folder_and_the_file_are_private_even_if_they_existed_with_other_permissions() {
    let user = tempfile::tempdir().unwrap();
    let folder = user.path().join(".mcpctl");
    let set = async || {
        let mut command = Mcpctl::fresh().command(&["config", "set-url", "https://example.com"]);
        command.env_remove("MCPCTL_HOME").env("HOME", user.path());
        testkit::process::run_to_end(command, "").await.expect_success();
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        (mode(&folder), mode(&folder.join("cli.json")))
    };
    assert_eq!(set().await, (0o700, 0o600), "created by mcpctl");
    for path in [folder.clone(), folder.join("cli.json")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(set().await, (0o700, 0o600), "created with other permissions before");
}

/// A server whose every text has terminal escapes.
async fn hostile_server() -> FakeServer {
    let bad = format!("bad{ESCAPES}");
    let llm = json!({"name": bad, "status": "active", "model": bad, "owner": bad, "type": bad,
        "reason": bad, "description": bad, "kind": bad, "instance": bad});
    let tokens = json!({"tokens": [{"id": bad, "user": bad, "label": bad, "scopes": [bad],
        "groups": [bad], "created": 1}]});
    let pairings = json!({"pairings": [{"id": bad, "user": bad, "scopes": [bad], "label": bad,
        "madeBy": bad}]});
    let delta = json!({"choices": [{"delta": {"content": format!("one\n\ttwo {ESCAPES}")}}]});
    let error = json!({"error": {"message": bad}});
    let stream = format!(": waits{ESCAPES}\n\ndata: {delta}\n\ndata: {error}\n\n");
    let server = FakeServer::start().await;
    server.set_reply("llms", Reply::json(&json!({"llms": [llm]})));
    server.set_reply("x", Reply::json(&llm));
    server.set_reply("tokens", Reply::json(&tokens));
    server.set_reply("pairings", Reply::json(&pairings));
    server.set_reply("completions", Reply::Says(200, Vec::new(), stream));
    server.set_reply("*", Reply::Says(418, Vec::new(), bad));
    server
}

/// Clear the screen, ring the bell, set a colour, reverse the direction of text.
const ESCAPES: &str = "\u{1b}[2J\u{7}\r\u{9b}31m\u{202e}\u{2066}";

#[tokio::test]
async fn terminal_escapes_in_texts_of_a_server_are_not_printed() {
    let server = hostile_server().await;
    let mcpctl = Mcpctl::with(&server.url, "x");
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
        &["token", "revoke", "y"],
        &["chat", "x", "hello"],
    ] {
        let ended = mcpctl.run(command).await;
        for text in [&ended.stdout, &ended.stderr] {
            let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
            let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let bad: Vec<char> = text.chars().filter(|c| moves(*c) || turns(*c)).collect();
            assert!(bad.is_empty(), "{command:?}: {bad:?} in {text:?}");
        }
        let all = ended.stdout + &ended.stderr;
        assert!(all.contains("31m"), "{command:?} prints the rest of the text: {all}");
    }
}
