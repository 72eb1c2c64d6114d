//! SIGKILL and SIGSTOP of the server and of the publisher while requests run.

use crate::{publish, setup, until_idle};
use futures_util::future::join_all;
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use testkit::agent::Agent;
use testkit::caller::{read_stream, scripted_chat};
use testkit::fake_backend::FakeBackend;
use testkit::figures::{ms, record, scale, scaled, times};
use testkit::mcpd::Mcpd;
use testkit::setup::{Setup, chat_body};
use tokio::time::Instant;

const STREAMS: usize = 4;

/// Starts streams and waits for the first bytes of each.
async fn start_streams(setup: &Setup) -> Vec<reqwest::Response> {
    let body = scripted_chat("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}));
    let mut begun = Vec::new();
    for _ in 0..STREAMS {
        let mut response = setup.chat(&body).await;
        response.chunk().await.unwrap().unwrap();
        begun.push(response);
    }
    begun
}

#[tokio::test]
async fn a_killed_server_breaks_streams_at_once_and_its_publishers_return() {
    let mut setup = setup(u32::try_from(STREAMS).unwrap()).await;
    // Many kills within minutes would make the agent's pauses longer and longer. The time to return
    // after a single kill is measured in `many_publishers`.
    setup.agent.process.stop().await;
    setup.agent = Agent::scaled(&setup.home, &setup.publisher, 0.1);
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let mut breaks = Vec::new();
    let rounds = times(100, 4);
    for _ in 0..rounds {
        let running = start_streams(&setup).await;
        setup.mcpd.process.kill();
        let killed = Instant::now();
        let ends = join_all(running.into_iter().map(async |response| {
            let streamed = read_stream(response).await;
            (streamed, killed.elapsed())
        }));
        for (streamed, took) in ends.await {
            assert!(streamed.broken && !streamed.done, "{streamed:?}");
            breaks.push(took);
        }
        setup.mcpd = setup.mcpd.restart().await;
        setup.mcpd.until_active(&setup.caller, "qwen").await;
        assert_eq!(setup.chat(&chat_body()).await.status(), 200);
        until_idle(&setup).await;
    }
    breaks.sort();
    let worst = breaks.last().copied().unwrap();
    record("kill -9 mcpd: callers see a broken stream, worst", ms(worst), "≤ 1 s, never [DONE]");
    assert!(worst <= Duration::from_secs(1), "{worst:?}");
    setup.mcpd.process.stop().await;
    let intact = integrity(&setup.mcpd);
    record(
        "kill -9 mcpd: phantom tasks, database",
        format!("0, {intact}, {rounds} kills"),
        "0, ok, 100 kills",
    );
    assert_eq!(intact, "ok");
}

/// Result of SQLite's own integrity check of the database.
fn integrity(mcpd: &Mcpd) -> String {
    let check = "import glob, sqlite3, sys\n\
                files = glob.glob(sys.argv[1] + '/**/*.db', recursive=True)\n\
                assert files\n\
                for file in files: print(sqlite3.connect(file).execute('pragma integrity_check').fetchone()[0])";
    let mut python = Command::new("python3");
    let output = python.args(["-c", check]).arg(mcpd.folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn callers_of_a_publisher_that_is_killed_or_falls_silent_get_an_error_in_time() {
    let mut setup = setup(u32::try_from(STREAMS).unwrap()).await;
    let mut ends = Vec::new();
    for _ in 0..times(20, 3) {
        let running = start_streams(&setup).await;
        setup.agent.process.kill();
        let killed = Instant::now();
        for response in running {
            let streamed = read_stream(response).await;
            assert!(streamed.error.is_some() && !streamed.done, "{streamed:?}");
        }
        ends.push(killed.elapsed().div_f64(scale()));
        setup.agent = Agent::scaled(&setup.home, &setup.publisher, scale());
        setup.mcpd.until_active(&setup.caller, "qwen").await;
        until_idle(&setup).await;
    }
    let worst = ends.iter().max().copied().unwrap();
    // It might have come back within 15 s.
    record("kill -9 publisher: the callers' error, worst", ms(worst), "≤ 17 s");
    assert!(worst <= Duration::from_secs(17), "{worst:?}");

    // A silent publisher: its kernel still acknowledges packets, the program does not run.
    let running = start_streams(&setup).await;
    setup.agent.process.signal("STOP");
    let stopped = Instant::now();
    for response in running {
        let streamed = read_stream(response).await;
        assert!(streamed.error.is_some() && !streamed.done, "{streamed:?}");
    }
    let took = stopped.elapsed().div_f64(scale());
    setup.agent.process.signal("CONT");
    record("silent publisher: the callers' error", ms(took), "≤ 50 s");
    assert!(took <= Duration::from_secs(52), "{took:?}");
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    until_idle(&setup).await;
}

#[tokio::test]
async fn a_publisher_killed_while_its_recipe_runs_does_not_run_it_again() {
    let (mcpd, backend) = (Mcpd::logging("info", scale()).await, FakeBackend::asleep().await);
    let folder = tempfile::tempdir().unwrap();
    let (ran, open) = (folder.path().join("ran"), folder.path().join("open"));
    let script = format!(
        "echo ran >> {}; until [ -e {} ] || [ ! -d {} ]; do sleep 0.02; done; touch {}",
        ran.display(),
        open.display(),
        folder.path().display(),
        backend.awake_file().display()
    );
    let recipe = json!({"type": "command", "command": "sh", "args": ["-c", script],
                        "maxWaitSeconds": 300});
    let mut setup = publish(mcpd, backend, &json!({"wake": recipe})).await;
    let runs = || std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
    let body = chat_body();
    {
        let call = setup.chat(&body);
        tokio::select! {
            _ = call => unreachable!("the backend sleeps"),
            () = testkit::until("the recipe runs", async || (runs() == 1).then_some(())) => {}
        }
    }
    setup.agent.process.kill();
    setup.agent = Agent::scaled(&setup.home, &setup.publisher, scale());
    setup.mcpd.until_entry(&setup.caller, "qwen", |entry| entry["connected"] == true).await;
    let call = setup.chat(&body);
    let rest = async {
        setup.mcpd.until_entry(&setup.caller, "qwen", |entry| entry["waking"] == true).await;
        // Well within the time for which the recipe counts as running.
        tokio::time::sleep(scaled(Duration::from_secs(10))).await;
        std::fs::write(&open, "").unwrap();
    };
    let (response, ()) = tokio::join!(call, rest);
    assert_eq!(response.status(), 200);
    record("kill -9 publisher during a wake: runs of the recipe within 30 s", runs(), "1");
    assert_eq!(runs(), 1);
    drop(folder);
    until_idle(&setup).await;
}
