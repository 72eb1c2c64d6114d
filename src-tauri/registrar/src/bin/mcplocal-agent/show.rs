//! `status` and the printing of `doctor`.

use crate::run::words;
use registrar::doctor::{Finding, Verdict};
use registrar::home::Home;
use registrar::status::{BackendState, ProviderStatus, file};
use registrar::{config, lock};
use std::process::ExitCode;

/// What the publishing process wrote last; without one, what the file asks for.
pub(crate) fn status(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    // A process that was killed leaves its last words: the lock knows better.
    let nobody = lock::try_acquire(home)?.is_some();
    let Some(status) = file::read(home).filter(|_| !nobody) else {
        if json {
            println!("{}", serde_json::json!({ "running": false }));
        } else {
            println!("Not running. Start it with `mcplocal-agent run`.");
            for provider in published(home) {
                println!("  {provider}  to be published");
            }
        }
        return Ok(ExitCode::from(3));
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(ExitCode::SUCCESS);
    }
    let said = words(&status);
    println!("{} (pid {}): {said}", status.program, status.pid);
    if let Some(problem) = &status.config_problem {
        println!("  ! {problem}");
    }
    for warning in &status.warnings {
        println!("  ! {warning}");
    }
    let width = status.providers.iter().map(|p| p.name.len()).max().unwrap_or_default();
    for provider in &status.providers {
        println!("  {:width$}  {}", provider.name, state(provider));
    }
    Ok(ExitCode::SUCCESS)
}

fn published(home: &Home) -> Vec<String> {
    let text = config::file::read(&home.config()).unwrap_or_default();
    let parsed = config::parse(&text).unwrap_or_default();
    parsed.config.published().map(|p| p.name.clone()).collect()
}

fn state(provider: &ProviderStatus) -> String {
    let word = match provider.state {
        BackendState::Unknown => "checking",
        BackendState::Ready if provider.running > 0 => "busy",
        BackendState::Ready => "ready",
        BackendState::Asleep => "asleep",
        BackendState::Waking => "waking",
        BackendState::Down => "down",
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
        println!("{}", serde_json::to_string_pretty(findings)?);
    } else {
        for finding in findings {
            let mark = match finding.verdict {
                Verdict::Good => "ok  ",
                Verdict::Notice => "note",
                Verdict::Broken => "FAIL",
            };
            println!("{mark}  {}: {}", finding.about, finding.found);
            if let Some(fix) = &finding.fix {
                println!("      -> {fix}");
            }
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
