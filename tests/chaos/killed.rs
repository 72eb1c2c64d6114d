//! kill -9 and SIGSTOP, of the server and of the publisher, in the middle of it.

use crate::{at_rest, publish, world};
use futures_util::future::join_all;
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use testkit::agent::Agent;
use testkit::backend::Backend;
use testkit::caller::{read, scripted};
use testkit::figure::{figure, ms, scale, scaled, times};
use testkit::mcpd::Mcpd;
use testkit::world::{World, whole};
use tokio::time::Instant;

const STREAMS: usize = 4;

/// Streams that have begun.
async fn streams(world: &World) -> Vec<reqwest::Response> {
    let body = scripted("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}));
    let mut begun = Vec::new();
    for _ in 0..STREAMS {
        let mut answer = world.chat(&body).await;
        answer.chunk().await.unwrap().unwrap();
        begun.push(answer);
    }
    begun
}

#[tokio::test]
async fn a_killed_server_breaks_streams_at_once_and_its_publishers_come_back() {
    let mut world = world(u32::try_from(STREAMS).unwrap()).await;
    // So many kills within minutes would make it wait longer and longer; how long a publisher needs
    // after one kill, the herd tells.
    world.agent.process.stop().await;
    world.agent = Agent::scaled(&world.home, &world.publisher, 0.1);
    world.mcpd.active(&world.caller, "qwen").await;
    let mut breaks = Vec::new();
    let rounds = times(100, 4);
    for _ in 0..rounds {
        let running = streams(&world).await;
        world.mcpd.process.kill();
        let killed = Instant::now();
        let ends = join_all(running.into_iter().map(async |answer| {
            let streamed = read(answer).await;
            (streamed, killed.elapsed())
        }));
        for (streamed, took) in ends.await {
            assert!(streamed.broken && !streamed.done, "{streamed:?}");
            breaks.push(took);
        }
        world.mcpd = world.mcpd.restart().await;
        world.mcpd.active(&world.caller, "qwen").await;
        assert_eq!(world.chat(&whole()).await.status(), 200);
        at_rest(&world).await;
    }
    breaks.sort();
    let worst = breaks.last().copied().unwrap();
    figure("kill -9 mcpd: callers see a broken stream, worst", ms(worst), "≤ 1 s, never [DONE]");
    assert!(worst <= Duration::from_secs(1), "{worst:?}");
    world.mcpd.process.stop().await;
    let intact = integrity(&world.mcpd);
    figure(
        "kill -9 mcpd: phantom tasks, database",
        format!("0, {intact}, {rounds} kills"),
        "0, ok, 100 kills",
    );
    assert_eq!(intact, "ok");
}

/// What SQLite itself says of the database.
fn integrity(mcpd: &Mcpd) -> String {
    let look = "import glob, sqlite3, sys\n\
                files = glob.glob(sys.argv[1] + '/**/*.db', recursive=True)\n\
                assert files\n\
                for file in files: print(sqlite3.connect(file).execute('pragma integrity_check').fetchone()[0])";
    let mut python = Command::new("python3");
    let output = python.args(["-c", look]).arg(mcpd.folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_killed_publisher_is_an_error_at_once_and_a_silent_one_before_long() {
    let mut world = world(u32::try_from(STREAMS).unwrap()).await;
    let mut ends = Vec::new();
    for _ in 0..times(20, 3) {
        let running = streams(&world).await;
        world.agent.process.kill();
        let killed = Instant::now();
        for answer in running {
            let streamed = read(answer).await;
            assert!(streamed.error.is_some() && !streamed.done, "{streamed:?}");
        }
        ends.push(killed.elapsed());
        world.agent = Agent::scaled(&world.home, &world.publisher, scale());
        world.mcpd.active(&world.caller, "qwen").await;
        at_rest(&world).await;
    }
    let worst = ends.iter().max().copied().unwrap();
    figure("kill -9 publisher: the callers' error, worst", ms(worst), "≤ 1 s");
    assert!(worst <= Duration::from_secs(1), "{worst:?}");

    // A host that says nothing any more: its kernel is there, the program is not.
    let running = streams(&world).await;
    world.agent.process.signal("STOP");
    let stopped = Instant::now();
    for answer in running {
        let streamed = read(answer).await;
        assert!(streamed.error.is_some() && !streamed.done, "{streamed:?}");
    }
    let took = stopped.elapsed().div_f64(scale());
    world.agent.process.signal("CONT");
    figure("silent publisher: the callers' error", ms(took), "≤ 50 s");
    assert!(took <= Duration::from_secs(52), "{took:?}");
    world.mcpd.active(&world.caller, "qwen").await;
    at_rest(&world).await;
}

#[tokio::test]
async fn a_publisher_killed_while_its_recipe_runs_does_not_run_it_again() {
    let (mcpd, backend) = (Mcpd::quiet(scale()).await, Backend::asleep().await);
    let folder = tempfile::tempdir().unwrap();
    let (ran, open) = (folder.path().join("ran"), folder.path().join("open"));
    let script = format!(
        "echo ran >> {}; until [ -e {} ] || [ ! -d {} ]; do sleep 0.02; done; touch {}",
        ran.display(),
        open.display(),
        folder.path().display(),
        backend.flag().display()
    );
    let recipe = json!({"type": "command", "command": "sh", "args": ["-c", script],
                        "maxWaitSeconds": 300});
    let mut world = publish(mcpd, backend, &json!({"wake": recipe})).await;
    let runs = || std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
    let body = whole();
    {
        let call = world.chat(&body);
        tokio::select! {
            _ = call => unreachable!("its backend sleeps"),
            () = testkit::until("the recipe runs", async || (runs() == 1).then_some(())) => {}
        }
    }
    world.agent.process.kill();
    world.agent = Agent::scaled(&world.home, &world.publisher, scale());
    world.mcpd.row(&world.caller, "qwen", |row| row["connected"] == true).await;
    let call = world.chat(&body);
    let rest = async {
        world.mcpd.row(&world.caller, "qwen", |row| row["waking"] == true).await;
        // Well within the time for which the recipe counts as being at work.
        tokio::time::sleep(scaled(Duration::from_secs(10))).await;
        std::fs::write(&open, "").unwrap();
    };
    let (answer, ()) = tokio::join!(call, rest);
    assert_eq!(answer.status(), 200);
    figure("kill -9 publisher during a wake: runs of the recipe within 30 s", runs(), "1");
    assert_eq!(runs(), 1);
    drop(folder);
    at_rest(&world).await;
}
