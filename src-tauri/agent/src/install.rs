//! `install` and `uninstall`: start the agent with the user's session, through systemd, launchd or
//! the Run key.

use anyhow::{Context as _, bail};
use client::terminal;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn install() -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the path of this program is unknown")?;
    let program = program.to_str().context("the path of this program is not UTF-8")?;
    install_service(program)
}

pub(crate) fn uninstall() -> anyhow::Result<()> {
    remove_service()
}

#[cfg(target_os = "linux")]
const UNIT: &str = "mcplocal-agent.service";

#[cfg(target_os = "linux")]
fn unit_file() -> anyhow::Result<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    let config = config.context("no home directory; set XDG_CONFIG_HOME")?;
    Ok(config.join("systemd/user").join(UNIT))
}

/// Returns the systemd unit; `\`, `"` and `%` in the path are escaped.
#[cfg(target_os = "linux")]
fn unit(program: &str) -> String {
    let program = program.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!(
        "[Unit]\n\
         Description=Publishes the language models of this machine\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart=\"{program}\" run\n\
         Restart=on-failure\n\
         RestartSec=5\n\
         TimeoutStopSec=20\n\
         NoNewPrivileges=yes\n\
         # A backend that a wake recipe started must outlive the agent.\n\
         KillMode=process\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    )
}

#[cfg(target_os = "linux")]
fn install_service(program: &str) -> anyhow::Result<()> {
    let file = unit_file()?;
    let dir = file.parent().context("the unit file has no folder")?;
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    std::fs::write(&file, unit(program))
        .with_context(|| format!("{} cannot be written", file.display()))?;
    report(format_args!("Wrote {}", file.display()));
    match systemctl(&["daemon-reload"]).and_then(|()| systemctl(&["enable", "--now", UNIT])) {
        Ok(()) => report(format_args!(
            "It runs now and starts with every session. Log: journalctl --user -u {UNIT}"
        )),
        Err(error) => {
            report(format_args!(
                "systemd did not start it ({error}). In a session with systemd, run:"
            ));
            report(format_args!(
                "  systemctl --user daemon-reload && systemctl --user enable --now {UNIT}"
            ));
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn remove_service() -> anyhow::Result<()> {
    let file = unit_file()?;
    if !file.exists() {
        bail!("{} does not exist: nothing was installed", file.display());
    }
    if let Err(error) = systemctl(&["disable", "--now", UNIT]) {
        report(format_args!("systemd could not stop it: {error}"));
    }
    std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
    report(format_args!("Removed {}", file.display()));
    let _ = systemctl(&["daemon-reload"]);
    Ok(())
}

#[cfg(target_os = "linux")]
fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    run("systemctl", &[&["--user"], arguments].concat())
}

#[cfg(target_os = "macos")]
const LABEL: &str = "dev.mcpctl.mcplocal-agent";

#[cfg(target_os = "macos")]
fn plist() -> anyhow::Result<PathBuf> {
    let home = std::env::home_dir().context("no home directory")?;
    Ok(home.join("Library/LaunchAgents").join(format!("{LABEL}.plist")))
}

#[cfg(target_os = "macos")]
fn install_service(program: &str) -> anyhow::Result<()> {
    let file = plist()?;
    let program = program.replace('&', "&amp;").replace('<', "&lt;");
    let text = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN"
  "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
  <key>Label</key><string>{LABEL}</string>
  <key>ProgramArguments</key><array><string>{program}</string><string>run</string></array>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
</dict></plist>
"#
    );
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(&file, text)?;
    report(format_args!("Wrote {}", file.display()));
    run("launchctl", &["load", "-w", file.to_str().context("the path is not UTF-8")?])
}

#[cfg(target_os = "macos")]
fn remove_service() -> anyhow::Result<()> {
    let file = plist()?;
    let _ = run("launchctl", &["unload", "-w", file.to_str().context("the path is not UTF-8")?]);
    std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
    report(format_args!("Removed {}", file.display()));
    Ok(())
}

#[cfg(windows)]
const RUN_KEY: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";

#[cfg(windows)]
fn install_service(program: &str) -> anyhow::Result<()> {
    let command = format!("\"{program}\" run");
    run("reg", &["add", RUN_KEY, "/v", "mcplocal-agent", "/d", &command, "/f"])
}

#[cfg(windows)]
fn remove_service() -> anyhow::Result<()> {
    run("reg", &["delete", RUN_KEY, "/v", "mcplocal-agent", "/f"])
}

/// Prints a line. The command continues even if the reader of the output has gone.
fn report(text: impl std::fmt::Display) {
    let _ = terminal::try_line(text);
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", message.trim().lines().last().unwrap_or("it failed"));
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::unit;

    #[test]
    fn special_characters_of_systemd_are_escaped_in_the_path() {
        let unit = unit("/opt/a b/100%/x\"y");
        assert!(unit.contains("ExecStart=\"/opt/a b/100%%/x\\\"y\" run\n"), "{unit}");
    }
}
