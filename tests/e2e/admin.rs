//! Administration of a server at its console and by mcpctl, and how the server behaves under a
//! supervisor.

use crate::Setup;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::{CommandLine as _, CommandOutput, program, run_to_end};

/// Runs an `mcpd` command on this data folder.
async fn mcpd(data: &Path, arguments: &[&str]) -> CommandOutput {
    let mut command = Command::new(program("mcpd"));
    command.arg("--data-dir").arg(data).args(arguments);
    run_to_end(command, "").await
}

/// A server with output streams of the test's choice, which `testkit` does not support.
struct Started {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server with these streams and waits until it responds; returns an admin token too.
async fn start(out: Stdio, err: Stdio) -> (Started, String) {
    let folder = tempfile::tempdir().unwrap();
    let create = ["token", "create", "--new", "--user", "root", "--scope", "admin"];
    let admin = mcpd(folder.path(), &create).await.expect_success().trim().to_owned();
    let address = format!("127.0.0.1:{}", testkit::free_port());
    let mut command = Command::new(program("mcpd"));
    command.arg("--data-dir").arg(folder.path()).args(["--listen", &address]);
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
    let started = Started { child, url: format!("http://{address}"), _folder: folder };
    testkit::until("the server responds", async || {
        let health = client().get(format!("{}/healthz", started.url)).send().await;
        health.is_ok_and(|health| health.status() == 200).then_some(())
    })
    .await;
    (started, admin)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

#[tokio::test]
async fn a_data_folder_is_served_by_one_mcpd_and_a_second_one_names_the_process_that_has_it() {
    let mut first = Mcpd::start().await;
    let data = first.folder.path().join("data");
    let second = mcpd(&data, &["--listen", "127.0.0.1:0"]).await.expect_failure();
    let pid = first.process.pid().to_string();
    assert!(second.contains(&format!("process {pid}")), "{second}");
    assert!(second.contains(data.to_str().unwrap()) && second.contains("--data-dir"), "{second}");
    // Tokens can be created while the server runs.
    let caller = first.token("tom", "infer");
    assert_eq!(first.get("/v1/models", &caller).send().await.unwrap().status(), 200);
    // The lock does not outlive its process, even after SIGKILL.
    first.process.kill();
    let again = first.start_again().await;
    assert_eq!(again.get("/v1/models", &caller).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_command_on_a_wrong_folder_creates_no_database_without_new() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong");
    let create = ["token", "create", "--user", "root", "--scope", "admin"];
    for command in
        [&create[..], &["token", "list"], &["token", "revoke", "x"], &["database", "check"]]
    {
        let error = mcpd(&wrong, command).await.expect_failure();
        let names = error.contains(wrong.to_str().unwrap()) && error.contains("--data-dir");
        assert!(names, "{command:?}: {error}");
    }
    assert!(mcpd(&wrong, &create).await.expect_failure().contains("--new"));
    assert!(!wrong.exists(), "nothing was created");
    let token = mcpd(&wrong, &[&create[..], &["--new"]].concat()).await.expect_success();
    assert!(token.starts_with("mcp_admin_"), "{token}");
    assert!(mcpd(&wrong, &["token", "list"]).await.expect_success().contains("root"));
    let mode = std::fs::metadata(&wrong).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_backup_of_a_running_server_can_be_restored() {
    let mut setup = Setup::new().await;
    let data = setup.mcpd.folder.path().join("data");
    let copy = setup.mcpd.folder.path().join("backup.db");
    let backup = ["database", "backup", copy.to_str().unwrap()];
    mcpd(&data, &backup).await.expect_success();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = mcpd(&data, &backup).await.expect_failure();
    assert!(refused.contains("exists already"), "{refused}");
    let whole = mcpd(&data, &["database", "check", copy.to_str().unwrap()]).await.expect_success();
    assert!(whole.contains("2 tokens, 1 models"), "{whole}");
    assert!(mcpd(&data, &["database", "check"]).await.expect_success().contains("is whole"));

    setup.mcpd.process.stop().await;
    for file in ["mcpd.db", "mcpd.db-wal", "mcpd.db-shm"] {
        // SQLite may have removed them on exit.
        let _ = std::fs::remove_file(data.join(file));
    }
    std::fs::copy(&copy, data.join("mcpd.db")).unwrap();
    setup.mcpd = setup.mcpd.start_again().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    // A damaged database gives an error that says what to do.
    setup.mcpd.process.stop().await;
    std::fs::write(data.join("mcpd.db"), "nonsense ".repeat(1000)).unwrap();
    let damaged = mcpd(&data, &["--listen", "127.0.0.1:0"]).await.expect_failure();
    assert!(damaged.contains("damaged") && damaged.contains("backup"), "{damaged}");
}

#[tokio::test]
async fn a_hangup_signal_ends_nothing_and_is_logged() {
    let mut mcpd = Mcpd::logging("info", 1.0).await;
    let caller = mcpd.token("tom", "infer");
    mcpd.process.signal("HUP");
    testkit::until("the signal is logged", async || {
        mcpd.process.stderr().contains("SIGHUP").then_some(())
    })
    .await;
    assert_eq!(mcpd.get("/v1/models", &caller).send().await.unwrap().status(), 200);
    assert!(mcpd.process.stop().await.success(), "a SIGTERM still drains");
}

#[tokio::test]
async fn a_stderr_that_is_not_read_blocks_nothing() {
    let (unread, stderr) = std::io::pipe().unwrap();
    let (started, admin) = start(Stdio::null(), stderr.into()).await;
    let token = json!({"user": "ann", "scopes": ["infer"]});
    let url = format!("{}{}", started.url, wire::paths::TOKENS);
    // Each request logs more than a hundred bytes; a pipe buffers 64 KB.
    let client = client();
    for _ in 0..800 {
        let created = client.post(&url).bearer_auth(&admin).json(&token).send().await.unwrap();
        assert_eq!(created.status(), 201);
    }
    drop(unread);
}

#[tokio::test]
async fn a_closed_stdout_does_not_stop_the_server() {
    let (reader, stdout) = std::io::pipe().unwrap();
    drop(reader);
    let (started, admin) = start(stdout.into(), Stdio::null()).await;
    let url = format!("{}{}", started.url, wire::paths::TOKENS);
    let list = client().get(&url).bearer_auth(&admin).send().await.unwrap();
    assert_eq!(list.json::<Value>().await.unwrap()["tokens"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_printed_is_named_so_that_it_can_be_revoked() {
    let mcpd = Mcpd::start().await;
    let mut command = Command::new(program("mcpd"));
    let create = ["token", "create", "--user", "ann", "--scope", "infer"];
    command.arg("--data-dir").arg(mcpd.folder.path().join("data")).args(create);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("token revoke"), "{error}");
}

#[tokio::test]
async fn all_tokens_of_a_user_are_revoked_by_one_command() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let more = setup.mcpd.token("tom", "infer:qwen");
    let output = setup.mcpd.command(&["token", "revoke", "--user", "tom"]);
    assert!(output.contains('2') && output.contains("tom"), "{output}");
    testkit::until("both tokens are refused", async || {
        for key in [&setup.caller, &more] {
            let response = setup.mcpd.get("/v1/models", key).send().await.unwrap();
            if response.status() != 401 {
                return None;
            }
        }
        Some(())
    })
    .await;
    let data = setup.mcpd.folder.path().join("data");
    let unknown = mcpd(&data, &["token", "revoke", "--user", "tmo"]).await.expect_failure();
    assert!(unknown.contains("tmo"), "{unknown}");
}

#[tokio::test]
async fn groups_and_pairing_codes_are_administered_by_mcpctl() {
    let mcpd = Mcpd::start().await;
    let admin = Mcpctl::with(&mcpd.url, &mcpd.token("root", "admin"));
    let options = ["--user", "mia", "--scope", "publish", "--group", "Ops", "--group", "ml"];
    admin.run(&[&["token", "create"], &options[..]].concat()).await.expect_success();
    let made = admin.run(&[&["token", "pair"], &options[..]].concat()).await;
    let code = made.stdout.trim().to_owned();
    assert_eq!(code.len(), "K7QM-3XTP-9RWD".len(), "{code}");
    let listed = admin.run(&["token", "pairings"]).await.expect_success();
    let id = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(made.stderr.contains(&id), "{}", made.stderr);
    assert!(listed.contains("mia") && listed.contains("ops,ml") && !listed.contains(&code));
    let list = admin.run(&["token", "list", "--user", "mia"]).await.expect_success();
    assert!(list.contains("ops,ml") && !list.contains("root"), "{list}");
    assert!(mcpd.command(&["token", "list", "--user", "mia"]).contains("ops,ml"));
    admin.run(&["token", "unpair", &id]).await.expect_success();
    assert!(
        admin.run(&["token", "unpair", &id]).await.expect_failure().contains("no pairing code")
    );
    let revoked = admin.run(&["token", "revoke", "--user", "mia"]).await.expect_success();
    assert!(revoked.contains("tokens revoked: 1"), "{revoked}");
}
