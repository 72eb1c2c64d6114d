//! `status` and the printing of `doctor`.

use crate::out;
use crate::run::words;
use registrar::clock::unix_ms;
use registrar::config::Config;
use registrar::doctor::{Finding, Verdict};
use registrar::home::Home;
use registrar::status::{BackendState, ProviderStatus, file};
use registrar::{config, file_lock};
use std::process::ExitCode;
use wire::publisher::NameRequest;

/// What the publishing process wrote last; without one, what the file asks for.
pub(crate) fn status(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    // A process that was killed leaves its last words: the lock knows better.
    let nobody = file_lock::try_acquire(home)?.is_some();
    let Some(status) = file::read(home).filter(|_| !nobody) else {
        return not_running(home, json, nobody);
    };
    if json {
        out::json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    out::line(format!("{} (pid {}): {}", status.program, status.pid, words(&status)));
    if let Some(problem) = &status.config_problem {
        out::line(format!("  ! {problem}"));
    }
    for warning in &status.warnings {
        out::line(format!("  ! {warning}"));
    }
    let width = status.providers.iter().map(|p| p.name.len()).max().unwrap_or_default();
    for provider in &status.providers {
        out::line(format!("  {:width$}  {}", provider.name, state(provider)));
        if let Some(new) = &provider.suggestion {
            let name = &provider.name;
            out::line(format!("  {:width$}  -> mcplocal-agent publish {name} --as {new}", ""));
        }
    }
    let config = configured(home);
    status.name_requests.iter().flat_map(|asks| asked(asks, &config)).for_each(out::line);
    for task in &status.running {
        let user = task.user.as_deref().unwrap_or("somebody");
        let seconds = unix_ms().saturating_sub(task.started) / 1000;
        out::line(format!("  running: {} for {user}, {} ({seconds} s)", task.llm, task.path));
    }
    Ok(ExitCode::SUCCESS)
}

fn not_running(home: &Home, json: bool, nobody: bool) -> anyhow::Result<ExitCode> {
    if json {
        out::json(&serde_json::json!({ "running": false }))?;
        return Ok(ExitCode::from(3));
    }
    if nobody {
        out::line("Not running. Start it with `mcplocal-agent run`.");
    } else {
        out::line(format!("Not running: {}.", file_lock::held_by_unknown(home)));
    }
    for provider in published(home) {
        out::line(format!("  {provider}  to be published"));
    }
    Ok(ExitCode::from(3))
}

fn configured(home: &Home) -> Config {
    let text = config::file::read(&home.config()).unwrap_or_default();
    config::parse(&text).unwrap_or_default().config
}

fn published(home: &Home) -> Vec<String> {
    configured(home).published().map(|p| p.name.clone()).collect()
}

/// Another user's request, with what the owner can type to decide it.
fn asked(request: &NameRequest, config: &Config) -> [String; 3] {
    let NameRequest { name, user } = request;
    // A pool's name is shared at the provider that serves it.
    let provider = config.serving(name).map_or(name, |provider| &provider.name);
    let word = quoted(user);
    [
        format!("  ? {user} would like to publish {name} too"),
        format!("    -> mcplocal-agent share {provider} --with {word}"),
        format!("    -> mcplocal-agent decline {provider} --user {word}   (not now)"),
    ]
}

/// One word of a shell's line: a user's name comes from a server, and people paste what they read.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn state(provider: &ProviderStatus) -> String {
    let word = match provider.state {
        BackendState::Unknown => "checking",
        BackendState::Ready if provider.running > 0 => "busy",
        BackendState::Ready => "ready",
        BackendState::Asleep => "asleep",
        BackendState::Waking => "waking",
        BackendState::Down => "down",
        BackendState::Rejected if provider.suggestion.is_some() => "name taken",
        BackendState::Rejected => "refused",
    };
    let running =
        if provider.running > 0 { format!(" {}", provider.running) } else { String::new() };
    let why = provider.message.as_ref().map_or(String::new(), |why| format!(": {why}"));
    format!("{word}{running}{why}")
}

/// Exit code 1 when something is broken.
pub(crate) fn findings(findings: &[Finding], json: bool) -> anyhow::Result<ExitCode> {
    let broken = findings.iter().any(|f| f.verdict == Verdict::Broken);
    if json {
        out::json(&findings)?;
    } else {
        for finding in findings {
            let mark = match finding.verdict {
                Verdict::Good => "ok  ",
                Verdict::Notice => "note",
                Verdict::Broken => "FAIL",
            };
            out::line(format!("{mark}  {}: {}", finding.about, finding.found));
            if let Some(fix) = &finding.fix {
                out::line(format!("      -> {fix}"));
            }
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::{asked, quoted};
    use registrar::config::Config;
    use wire::publisher::NameRequest;

    #[test]
    fn a_name_that_a_server_sends_cannot_become_a_command_when_it_is_pasted() {
        assert_eq!(quoted("tom@example.com"), "tom@example.com");
        assert_eq!(quoted("tom; rm -rf ~"), "'tom; rm -rf ~'");
        assert_eq!(quoted("o'neil"), r"'o'\''neil'");
        let request = NameRequest { name: "qwen".into(), user: "$(reboot)".into() };
        let lines = asked(&request, &Config::default());
        assert!(lines[1].ends_with("share qwen --with '$(reboot)'"), "{lines:?}");
    }
}
