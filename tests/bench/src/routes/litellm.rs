//! LiteLLM's proxy, a common gateway. It has no tunnel; the backend must be reachable from it.

use super::Route;
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use testkit::process::Process;

/// Longest start time; it loads many Python modules.
const START: Duration = Duration::from_secs(120);

/// Starts LiteLLM in front of `upstream`, with the model `bench`.
pub(super) async fn before(name: &'static str, upstream: &str) -> Route {
    let folder = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let model = json!({"model": "openai/bench", "api_base": format!("{upstream}/v1"),
                       "api_key": "none", "max_retries": 0});
    let token = format!("sk-{:032x}", rand::random::<u128>());
    // JSON is valid YAML.
    let text = json!({"model_list": [{"model_name": "bench", "litellm_params": model}],
                      "general_settings": {"master_key": token}});
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, text.to_string()).unwrap();
    let mut command = Command::new(testkit::provided("litellm.sh"));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--telemetry", "False"]);
    command.arg("--config").arg(&config).env("LITELLM_LOG", "ERROR").env("HOME", folder.path());
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    let process = Process::start("litellm", &mut command, folder.path());
    let url = format!("http://127.0.0.1:{port}");
    let ready = format!("{url}/health/readiness");
    testkit::within(START, "litellm is ready", async || {
        reqwest::get(&ready).await.ok()?.error_for_status().ok()
    })
    .await;
    Route { token, rewrites: true, ..Route::through(name, url, vec![process], folder) }
}
