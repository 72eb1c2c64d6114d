//! The diagnostics bundle for a bug report: configuration, status, findings and logs, without secrets,
//! names of callers, or settings of other tools. It is shown before it is written.

use crate::config::{self, file};
use crate::doctor;
use crate::home::Home;
use crate::limits::{BUNDLE_LOG, BUNDLE_LOGS};
use crate::status;
use crate::wake::IT_SAID;
use client::private_file;
use keychain::Keychain;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use url::Url;
use zip::write::SimpleFileOptions;

/// One file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct Entry {
    /// Name of the file.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Replaces a text that was left out.
const LEFT_OUT: &str = "(left out)";
/// Keys whose values may be secrets or names of people, at any level.
const SECRET: &[&str] = &["headers", "env", "body", "args", "sharename", "declinename"];
/// Keys of recipes, whose URL is cut: its path may be as good as a password.
const RECIPES: &[&str] = &["wake", "sleep"];
/// Parts of key names whose values are secrets.
const SECRET_PARTS: &[&str] = &["token", "secret", "password", "apikey", "api_key"];

/// Collects the files of the bundle.
pub async fn collect(home: &Home, keychain: &Keychain) -> Vec<Entry> {
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "time": jiff::Timestamp::now().to_string(),
    });
    let mut entries = vec![
        entry("about.json", &about),
        entry("doctor.json", &doctor::examine(home, keychain).await),
        entry("config.json", &configuration(home)),
    ];
    entries.extend(
        status::file::read(home).map(|status| entry("status.json", &without_users(status))),
    );
    entries.extend(logs(home));
    entries
}

/// Writes the files into a zip archive.
///
/// # Errors
/// The archive cannot be written.
pub fn write(entries: &[Entry], path: &Path) -> io::Result<()> {
    let mut zip = zip::ZipWriter::new(File::create(path)?);
    for entry in entries {
        zip.start_file(&entry.name, SimpleFileOptions::default())?;
        zip.write_all(entry.text.as_bytes())?;
    }
    zip.finish()?.sync_all()
}

fn entry<T: Serialize>(name: &str, value: &T) -> Entry {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string());
    Entry { name: name.to_owned(), text }
}

/// Removes users and the output of recipes.
fn without_users(mut status: status::Status) -> status::Status {
    for message in status.providers.iter_mut().filter_map(|provider| provider.message.as_mut()) {
        if let Some((before, _)) = message.split_once(IT_SAID) {
            *message = format!("{before}{IT_SAID}{LEFT_OUT}");
        }
    }
    status.running.iter_mut().for_each(|task| task.user = None);
    status.recent.iter_mut().for_each(|task| task.user = None);
    status.name_requests.clear();
    status
}

/// Our keys of config.json without secrets, or the cause if it cannot be read.
fn configuration(home: &Home) -> Value {
    let text = match file::read(&home.config()) {
        Ok(text) => text,
        Err(error) => return json!({ "problem": error.to_string() }),
    };
    match config::value(&text) {
        Ok(Value::Object(root)) => {
            let mut ours = Map::new();
            for (key, value) in root {
                if ["mcpdUrl", "llm", config::settings::KEY].contains(&key.as_str()) {
                    ours.insert(key, without_secrets(value));
                } else {
                    ours.insert(key, LEFT_OUT.into());
                }
            }
            Value::Object(ours)
        }
        Ok(_) => json!({ "problem": "it is no object" }),
        Err(problem) => json!({ "problem": problem }),
    }
}

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let redact = |(key, value): (String, Value)| {
                let value = match key.as_str() {
                    key if may_be_secret(key) => hidden(value),
                    key if RECIPES.contains(&key) => with_short_url(without_secrets(value)),
                    _ => without_secrets(value),
                };
                (key, value)
            };
            Value::Object(map.into_iter().map(redact).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_secrets).collect()),
        Value::String(text) => Value::String(without_credentials(text)),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

fn may_be_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // `apiKeyEnv` is only the name of a variable.
    key != "apikeyenv"
        && (SECRET.contains(&key.as_str()) || SECRET_PARTS.iter().any(|part| key.contains(part)))
}

/// Hides values and keeps the names of headers and variables.
fn hidden(value: Value) -> Value {
    let Value::Object(map) = value else { return LEFT_OUT.into() };
    Value::Object(map.into_iter().map(|(key, _)| (key, LEFT_OUT.into())).collect())
}

/// Cuts the URL of a recipe to its origin.
fn with_short_url(mut recipe: Value) -> Value {
    if let Some(url) = recipe.get_mut("url") {
        let origin = url.as_str().and_then(|url| Url::parse(url).ok()).map(|url| url.origin());
        let origin = origin.map(|origin| origin.ascii_serialization()).unwrap_or_default();
        *url = format!("{origin} {LEFT_OUT}").into();
    }
    recipe
}

/// Removes user, password and query from a URL.
fn without_credentials(text: String) -> String {
    let Ok(mut url) = Url::parse(&text) else { return text };
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        return text;
    }
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    format!("{url} {LEFT_OUT}")
}

/// The ends of the newest log files, without the output of recipes and backends.
fn logs(home: &Home) -> Vec<Entry> {
    let entries = std::fs::read_dir(home.logs());
    let ours = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(Home::LOG_PREFIX))
    };
    let mut files: Vec<PathBuf> =
        entries.into_iter().flatten().flatten().filter(ours).map(|entry| entry.path()).collect();
    files.sort();
    let newest = files.iter().rev().take(BUNDLE_LOGS);
    newest
        .filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some(Entry { name: format!("logs/{name}"), text: tail(path).ok()? })
        })
        .collect()
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = private_file::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BUNDLE_LOG)))?;
    let mut bytes = Vec::new();
    file.take(BUNDLE_LOG).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{IT_SAID, collect, status, write};
    use crate::home::Home;
    use crate::status::{ProviderStatus, RunningTask, Status};
    use keychain::Keychain;

    #[tokio::test]
    async fn the_bundle_has_status_findings_and_logs_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let text = r#"{"mcpdUrl": "http://127.0.0.1:9", "githubToken": "canary-1", "llm": {"providers": [
            {"name": "qwen3-8b", "url": "http://u:canary-2@127.0.0.1:9/v1?key=canary-3", "wake":
             {"type": "http", "url": "http://127.0.0.1:9/api/webhook/canary-8",
              "headers": {"x-key": "canary-4"}, "body": "canary-5"},
             "sleep": {"type": "command", "command": "/usr/bin/putty",
              "args": ["-pw", "canary-9"], "env": {"SECRET": "canary-6"}, "idleSeconds": 9},
              "shareName": ["canary-7"], "declineName": ["canary-10"]}]}}"#;
        std::fs::write(home.config(), text).unwrap();
        std::fs::create_dir(home.logs()).unwrap();
        std::fs::write(home.logs().join("mcplocal.log"), "a line").unwrap();
        for name in ["wake-qwen3-8b.log", "sleep-qwen3-8b.log"] {
            std::fs::write(home.logs().join(name), "a recipe's canary-7").unwrap();
        }
        let message = format!("the command failed, exit code 7{IT_SAID}password canary-10");
        let provider = ProviderStatus { message: Some(message), ..ProviderStatus::default() };
        let task = RunningTask { user: Some("canary-11".into()), ..RunningTask::default() };
        let (providers, running) = (vec![provider], vec![task]);
        status::file::write(&home, &Status { providers, running, ..Status::default() }).unwrap();
        let entries = collect(&home, &Keychain::none()).await;
        let all: String = entries.iter().map(|entry| entry.text.as_str()).collect();
        assert!(!all.contains("canary"), "{all}");
        let expected = ["qwen3-8b", "x-key", "SECRET", "githubToken", "a line", "verdict", "putty"];
        for word in expected.into_iter().chain(["exit code 7"]) {
            assert!(all.contains(word), "{word} is missing: {all}");
        }
        let path = dir.path().join("bundle.zip");
        write(&entries, &path).unwrap();
        let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        assert_eq!(zip.len(), entries.len());
        let log = std::io::read_to_string(zip.by_name("logs/mcplocal.log").unwrap()).unwrap();
        assert_eq!(log, "a line");
    }
}
