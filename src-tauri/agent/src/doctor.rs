//! `doctor`: prints what is wrong and how to fix it.

use client::terminal;
use keychain::Keychain;
use registrar::doctor::{self, Finding, Verdict};
use registrar::home::Home;
use std::process::ExitCode;

/// Prints the findings. The exit code is 1 if something is broken.
pub(crate) async fn doctor(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine(home, &Keychain::os()).await;
    if json {
        terminal::json(&findings)?;
    } else {
        findings.iter().for_each(print);
    }
    let broken = findings.iter().any(|finding| finding.verdict == Verdict::Broken);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(finding: &Finding) {
    let mark = match finding.verdict {
        Verdict::Good => "ok  ",
        Verdict::Notice => "note",
        Verdict::Broken => "FAIL",
    };
    terminal::line(format_args!("{mark}  {}: {}", finding.about, finding.found));
    if let Some(fix) = &finding.fix {
        terminal::line(format_args!("      -> {fix}"));
    }
}
