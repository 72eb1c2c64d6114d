//! `status`: prints what is published and in which state.

use client::terminal;
use registrar::clock::unix_ms;
use registrar::config::Config;
use registrar::home::Home;
use registrar::publish_gate::HoldReason;
use registrar::status::{BackendState, ConnectionState, ProviderStatus, Status, file};
use registrar::{config, file_lock};
use std::process::ExitCode;
use wire::publisher::NameRequest;

/// Exit code if nothing publishes from this folder, as `systemctl status` has it.
const NOT_RUNNING: u8 = 3;

/// Prints the status that the publishing process wrote, or else what config.json asks for.
pub(crate) fn status(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    // A killed process leaves its status file behind, but not its lock.
    let lock_is_free = file_lock::try_acquire(home)?.is_some();
    let Some(status) = file::read(home).filter(|_| !lock_is_free) else {
        return not_running(home, json, lock_is_free);
    };
    if json {
        terminal::json(&status)?;
    } else {
        print(&status, &configured(home));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &Status, config: &Config) {
    let connection = describe_connection(status);
    terminal::line(format_args!("{} (pid {}): {connection}", status.program, status.pid));
    if let Some(problem) = &status.config_problem {
        terminal::line(format_args!("  ! {problem}"));
    }
    for warning in &status.warnings {
        terminal::line(format_args!("  ! {warning}"));
    }
    let width = status.providers.iter().map(|p| p.name.len()).max().unwrap_or_default();
    for provider in &status.providers {
        let name = &provider.name;
        terminal::line(format_args!("  {name:width$}  {}", describe_provider(provider)));
        if let Some(new) = &provider.suggestion {
            let command = format!("mcplocal-agent publish {name} --as {new}");
            terminal::line(format_args!("  {:width$}  -> {command}", ""));
        }
    }
    let requests = status.name_requests.iter();
    requests.flat_map(|request| describe_request(request, config)).for_each(terminal::line);
    for task in &status.running {
        let user = task.user.as_deref().unwrap_or("an unknown user");
        let (model, path) = (&task.llm, &task.path);
        let seconds = unix_ms().saturating_sub(task.started) / 1000;
        terminal::line(format_args!("  running: {model} for {user}, {path} ({seconds} s)"));
    }
}

fn not_running(home: &Home, json: bool, lock_is_free: bool) -> anyhow::Result<ExitCode> {
    if json {
        terminal::json(&serde_json::json!({ "running": false }))?;
        return Ok(ExitCode::from(NOT_RUNNING));
    }
    if lock_is_free {
        terminal::line("Not running. Start it with `mcplocal-agent run`.");
    } else {
        terminal::line(format_args!("Not running: {}.", file_lock::held_by_unknown(home)));
    }
    for provider in configured(home).published() {
        terminal::line(format_args!("  {}  to be published", provider.name));
    }
    Ok(ExitCode::from(NOT_RUNNING))
}

fn configured(home: &Home) -> Config {
    let text = config::file::read(&home.config()).unwrap_or_default();
    config::parse(&text).unwrap_or_default().config
}

/// Describes the connection to mcpd in one line.
pub(crate) fn describe_connection(status: &Status) -> String {
    let server = status.server.as_deref().unwrap_or("the server");
    match &status.connection {
        ConnectionState::Idle => "nothing is published".into(),
        ConnectionState::Held(hold) => match hold.reason {
            HoldReason::Paused => "paused: nothing is published".into(),
            HoldReason::QuietHours => "quiet hours: nothing is published".into(),
            HoldReason::OnBattery => "on battery: nothing is published".into(),
        },
        ConnectionState::NotConfigured { message } => format!("not set up: {message}"),
        ConnectionState::WaitingForKeyring => "waiting for the keyring to be unlocked".into(),
        ConnectionState::Connecting => format!("connecting to {server}"),
        ConnectionState::Online { .. } => format!("online at {server}"),
        ConnectionState::Reconnecting { message, attempt, .. } => {
            format!("reconnecting to {server} (attempt {attempt}): {message}")
        }
        ConnectionState::Stopped { message } => format!("stopped: {message}"),
    }
}

fn describe_provider(provider: &ProviderStatus) -> String {
    let state = match provider.state {
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
    let message = provider.message.as_ref().map_or(String::new(), |text| format!(": {text}"));
    format!("{state}{running}{message}")
}

/// Describes another user's request for a name, with the commands that grant or decline it.
fn describe_request(request: &NameRequest, config: &Config) -> [String; 3] {
    let NameRequest { name, user } = request;
    // A pool's name is shared at the provider that serves it.
    let provider = config.serving(name).map_or(name, |provider| &provider.name);
    let argument = quote(user);
    [
        format!("  ? {user} would like to publish {name} too"),
        format!("    -> mcplocal-agent share {provider} --with {argument}"),
        format!("    -> mcplocal-agent decline {provider} --user {argument}   (not now)"),
    ]
}

/// Quotes a text as one shell word. User names come from a server, and people paste these commands.
fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{describe_request, quote};
    use registrar::config::Config;
    use wire::publisher::NameRequest;

    #[test]
    fn a_user_name_is_quoted_in_the_commands_that_people_paste() {
        assert_eq!(quote("tom@example.com"), "tom@example.com");
        assert_eq!(quote("tom; rm -rf ~"), "'tom; rm -rf ~'");
        assert_eq!(quote("o'neil"), r"'o'\''neil'");
        let request = NameRequest { name: "qwen".into(), user: "$(reboot)".into() };
        let lines = describe_request(&request, &Config::default());
        assert!(lines[1].ends_with("share qwen --with '$(reboot)'"), "{lines:?}");
    }
}
