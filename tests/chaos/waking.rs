//! Many callers of a sleeping model, and a recipe that never ends.

use crate::{publish, until_idle};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::caller::error_code;
use testkit::fake_backend::FakeBackend;
use testkit::figures::{ms, record, scale};
use testkit::mcpd::Mcpd;
use testkit::setup::{chat_body, with_keys};
use tokio::time::Instant;

const CALLERS: usize = 100;

#[tokio::test]
async fn a_hundred_callers_of_a_sleeping_model_run_its_recipe_once() {
    let (mcpd, backend) = (Mcpd::logging("info", scale()).await, FakeBackend::asleep().await);
    let recipe = with_keys(backend.wake_command(), &json!({"maxWaitSeconds": 60}));
    let keys = json!({"wake": recipe, "maxConcurrency": 8});
    let setup = publish(mcpd, backend, &keys).await;
    let statuses =
        join_all((0..CALLERS).map(async |_| setup.chat(&chat_body()).await.status())).await;
    let good = statuses.iter().filter(|status| status.is_success()).count();
    let runs = setup.backend.recipe_runs();
    let found = format!("{runs} run, {good} answers");
    record("100 callers of a sleeping model", found, "1 run, 100 answers");
    assert_eq!((runs, good), (1, CALLERS));
    until_idle(&setup).await;
}

#[tokio::test]
async fn a_recipe_that_takes_too_long_is_killed_with_everything_it_started() {
    let (mcpd, backend) = (Mcpd::logging("info", 1.0).await, FakeBackend::asleep().await);
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    // The recipe and its child ignore SIGTERM.
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $! >> {0}; echo $$ >> {0}; while :; do sleep 0.1; done",
        pids.display()
    );
    let max_wait = 2;
    let recipe = json!({"type": "command", "command": "sh", "args": ["-c", script],
                        "maxWaitSeconds": max_wait});
    let setup = publish(mcpd, backend, &json!({"wake": recipe})).await;
    let began = Instant::now();
    let body = chat_body();
    let call = async {
        let response = setup.chat(&body).await;
        (response.status(), error_code(response).await)
    };
    let killed = async {
        let started = testkit::until("the recipe runs", async || {
            let text = std::fs::read_to_string(&pids).unwrap_or_default();
            (text.lines().count() == 2).then_some(text)
        })
        .await;
        for pid in started.lines() {
            testkit::process::until_exited(pid).await;
        }
        began.elapsed()
    };
    let ((status, code), killed) = tokio::join!(call, killed);
    let after = killed.saturating_sub(Duration::from_secs(max_wait));
    record("a recipe's timeout kills its process group after", ms(after), "≤ 6 s");
    assert_eq!((status.as_u16(), code.as_str()), (503, "llm_wake_failed"));
    assert!(after <= Duration::from_secs(6), "{after:?}");
}
