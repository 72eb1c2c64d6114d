//! What the admin of a server does at its console, and what may happen to the server there.

use crate::World;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::{CommandLine as _, Ended, finish, program};

/// `mcpd …` on this data folder, to its end.
async fn mcpd(data: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program("mcpd"));
    command.arg("--data-dir").arg(data).args(arguments);
    finish(command, "").await
}

/// A server that is started by hand, for what the harness does not do.
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

/// Starts one with these streams and waits until it answers; a key of every scope.
async fn start(out: Stdio, err: Stdio) -> (Started, String) {
    let folder = tempfile::tempdir().unwrap();
    let made = ["token", "create", "--new", "--user", "root", "--scope", "admin"];
    let admin = mcpd(folder.path(), &made).await.good().trim().to_owned();
    let address = format!("127.0.0.1:{}", testkit::free_port());
    let mut command = Command::new(program("mcpd"));
    command.arg("--data-dir").arg(folder.path()).args(["--listen", &address]);
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
    let started = Started { child, url: format!("http://{address}"), _folder: folder };
    testkit::until("it answers", async || {
        let health = client().get(format!("{}/healthz", started.url)).send().await;
        health.is_ok_and(|answer| answer.status() == 200).then_some(())
    })
    .await;
    (started, admin)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

#[tokio::test]
async fn a_data_folder_is_served_by_one_mcpd_and_the_second_says_who_has_it() {
    let mut first = Mcpd::start().await;
    let data = first.folder.path().join("data");
    let second = mcpd(&data, &["--listen", "127.0.0.1:0"]).await.bad();
    let pid = first.process.pid().to_string();
    assert!(second.contains(&format!("process {pid}")), "{second}");
    assert!(second.contains(data.to_str().unwrap()) && second.contains("--data-dir"), "{second}");
    // Tokens are administered beside a running server.
    let caller = first.token("tom", "infer");
    assert_eq!(first.get("/v1/models", &caller).send().await.unwrap().status(), 200);
    // A lock does not outlive its process, however that ended.
    first.process.kill();
    let again = first.again().await;
    assert_eq!(again.get("/v1/models", &caller).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_for_the_wrong_folder_makes_no_database_unless_one_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong");
    let create = ["token", "create", "--user", "root", "--scope", "admin"];
    for command in
        [&create[..], &["token", "list"], &["token", "revoke", "x"], &["database", "check"]]
    {
        let said = mcpd(&wrong, command).await.bad();
        let names = said.contains(wrong.to_str().unwrap()) && said.contains("--data-dir");
        assert!(names, "{command:?}: {said}");
    }
    assert!(mcpd(&wrong, &create).await.bad().contains("--new"));
    assert!(!wrong.exists(), "nothing was made");
    let token = mcpd(&wrong, &[&create[..], &["--new"]].concat()).await.good();
    assert!(token.starts_with("mcp_admin_"), "{token}");
    assert!(mcpd(&wrong, &["token", "list"]).await.good().contains("root"));
    let mode = std::fs::metadata(&wrong).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_put_back_and_everything_is_there() {
    let mut world = World::new().await;
    let data = world.mcpd.folder.path().join("data");
    let copy = world.mcpd.folder.path().join("backup.db");
    let backup = ["database", "backup", copy.to_str().unwrap()];
    mcpd(&data, &backup).await.good();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = mcpd(&data, &backup).await.bad();
    assert!(refused.contains("exists already"), "{refused}");
    let whole = mcpd(&data, &["database", "check", copy.to_str().unwrap()]).await.good();
    assert!(whole.contains("2 tokens, 1 models"), "{whole}");
    assert!(mcpd(&data, &["database", "check"]).await.good().contains("is whole"));

    world.mcpd.process.stop().await;
    for file in ["mcpd.db", "mcpd.db-wal", "mcpd.db-shm"] {
        // SQLite may have tidied up behind itself.
        let _ = std::fs::remove_file(data.join(file));
    }
    std::fs::copy(&copy, data.join("mcpd.db")).unwrap();
    world.mcpd = world.mcpd.again().await;
    world.mcpd.active(&world.caller, "qwen").await;
    // What is no database says what to do.
    world.mcpd.process.stop().await;
    std::fs::write(data.join("mcpd.db"), "nonsense ".repeat(1000)).unwrap();
    let damaged = mcpd(&data, &["--listen", "127.0.0.1:0"]).await.bad();
    assert!(damaged.contains("damaged") && damaged.contains("backup"), "{damaged}");
}

#[tokio::test]
async fn a_hangup_from_a_supervisor_ends_nothing_and_is_said() {
    let mut mcpd = Mcpd::usual().await;
    let caller = mcpd.token("tom", "infer");
    mcpd.process.signal("HUP");
    testkit::until("it says so", async || mcpd.process.err().contains("SIGHUP").then_some(()))
        .await;
    assert_eq!(mcpd.get("/v1/models", &caller).send().await.unwrap().status(), 200);
    assert!(mcpd.process.stop().await.success(), "a SIGTERM still drains");
}

#[tokio::test]
async fn a_stderr_that_nobody_reads_holds_nothing_up() {
    let (unread, stderr) = std::io::pipe().unwrap();
    let (started, admin) = start(Stdio::null(), stderr.into()).await;
    let wish = json!({"user": "ann", "scopes": ["infer"]});
    let url = format!("{}{}", started.url, wire::paths::TOKENS);
    // A line of a hundred bytes and more for each, where a pipe takes 64 KB.
    for _ in 0..800 {
        let made = client().post(&url).bearer_auth(&admin).json(&wish).send().await.unwrap();
        assert_eq!(made.status(), 201);
    }
    drop(unread);
}

#[tokio::test]
async fn a_stdout_that_is_closed_keeps_no_server_from_its_work() {
    let (reader, stdout) = std::io::pipe().unwrap();
    drop(reader);
    let (started, admin) = start(stdout.into(), Stdio::null()).await;
    let url = format!("{}{}", started.url, wire::paths::TOKENS);
    let list = client().get(&url).bearer_auth(&admin).send().await.unwrap();
    assert_eq!(list.json::<Value>().await.unwrap()["tokens"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_shown_is_named_so_that_it_can_be_taken_back() {
    let mcpd = Mcpd::start().await;
    let mut command = Command::new(program("mcpd"));
    let create = ["token", "create", "--user", "ann", "--scope", "infer"];
    command.arg("--data-dir").arg(mcpd.folder.path().join("data")).args(create);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("token revoke"), "{said}");
}

#[tokio::test]
async fn a_user_who_leaves_is_revoked_as_a_whole_at_the_console() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let more = world.mcpd.token("tom", "infer:qwen");
    let said = world.mcpd.command(&["token", "revoke", "--user", "tom"]);
    assert!(said.contains('2') && said.contains("tom"), "{said}");
    testkit::until("both keys are dead", async || {
        for key in [&world.caller, &more] {
            let answer = world.mcpd.get("/v1/models", key).send().await.unwrap();
            if answer.status() != 401 {
                return None;
            }
        }
        Some(())
    })
    .await;
    let data = world.mcpd.folder.path().join("data");
    let nobody = mcpd(&data, &["token", "revoke", "--user", "tmo"]).await.bad();
    assert!(nobody.contains("tmo"), "{nobody}");
}

#[tokio::test]
async fn groups_and_pairing_codes_are_administered_from_afar() {
    let mcpd = Mcpd::start().await;
    let admin = Mcpctl::with(&mcpd.url, &mcpd.token("root", "admin"));
    let wish = ["--user", "mia", "--scope", "publish", "--group", "Ops", "--group", "ml"];
    admin.run(&[&["token", "create"], &wish[..]].concat()).await.good();
    let made = admin.run(&[&["token", "pair"], &wish[..]].concat()).await;
    let code = made.out.trim().to_owned();
    assert_eq!(code.len(), "K7QM-3XTP-9RWD".len(), "{code}");
    let listed = admin.run(&["token", "pairings"]).await.good();
    let id = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(made.err.contains(&id), "{}", made.err);
    assert!(listed.contains("mia") && listed.contains("ops,ml") && !listed.contains(&code));
    let list = admin.run(&["token", "list", "--user", "mia"]).await.good();
    assert!(list.contains("ops,ml") && !list.contains("root"), "{list}");
    assert!(mcpd.command(&["token", "list", "--user", "mia"]).contains("ops,ml"));
    admin.run(&["token", "unpair", &id]).await.good();
    assert!(admin.run(&["token", "unpair", &id]).await.bad().contains("no pairing code"));
    let revoked = admin.run(&["token", "revoke", "--user", "mia"]).await.good();
    assert!(revoked.contains("tokens revoked: 1"), "{revoked}");
}
