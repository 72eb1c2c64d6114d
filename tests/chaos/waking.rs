//! Many callers at a sleeping model, and a recipe that never ends.

use crate::{at_rest, publish};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::backend::Backend;
use testkit::caller::code;
use testkit::figure::{figure, ms, scale};
use testkit::mcpd::Mcpd;
use testkit::world::{and, whole};
use tokio::time::Instant;

const CALLERS: usize = 100;

#[tokio::test]
async fn a_hundred_callers_at_a_sleeping_model_run_its_recipe_once() {
    let (mcpd, backend) = (Mcpd::quiet(scale()).await, Backend::asleep().await);
    let recipe = and(backend.wake_command(), &json!({"maxWaitSeconds": 60}));
    let keys = json!({"wake": recipe, "maxConcurrency": 8});
    let world = publish(mcpd, backend, &keys).await;
    let answers = join_all((0..CALLERS).map(async |_| world.chat(&whole()).await.status())).await;
    let good = answers.iter().filter(|status| status.is_success()).count();
    let runs = world.backend.recipe_runs();
    let said = format!("{runs} run, {good} answers");
    figure("100 callers on a sleeping model", said, "1 run, 100 answers");
    assert_eq!((runs, good), (1, CALLERS));
    at_rest(&world).await;
}

#[tokio::test]
async fn a_recipe_that_takes_too_long_is_killed_with_everything_it_started() {
    let (mcpd, backend) = (Mcpd::quiet(1.0).await, Backend::asleep().await);
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    // It ignores the polite word, and so does what it starts.
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $! >> {0}; echo $$ >> {0}; while :; do sleep 0.1; done",
        pids.display()
    );
    let wait = 2;
    let recipe = json!({"type": "command", "command": "sh", "args": ["-c", script],
                        "maxWaitSeconds": wait});
    let world = publish(mcpd, backend, &json!({"wake": recipe})).await;
    let asked = Instant::now();
    let body = whole();
    let call = async {
        let answer = world.chat(&body).await;
        (answer.status(), code(answer).await)
    };
    let killed = async {
        let started = testkit::until("the recipe runs", async || {
            let text = std::fs::read_to_string(&pids).unwrap_or_default();
            (text.lines().count() == 2).then_some(text)
        })
        .await;
        for pid in started.lines() {
            testkit::process::gone(pid).await;
        }
        asked.elapsed()
    };
    let ((status, why), killed) = tokio::join!(call, killed);
    let after = killed.saturating_sub(Duration::from_secs(wait));
    figure("a recipe's timeout kills its process group after", ms(after), "≤ 6 s");
    assert_eq!((status.as_u16(), why.as_str()), (503, "llm_wake_failed"));
    assert!(after <= Duration::from_secs(6), "{after:?}");
}
