//! `install` and `uninstall`: start with the person's session, by what the system offers for that.

use crate::out;
use anyhow::{Context as _, bail};
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn install() -> anyhow::Result<()> {
    let program = std::env::current_exe().context("this program's own path is unknown")?;
    let program = program.to_str().context("this program's path is not UTF-8")?;
    place(program)
}

pub(crate) fn uninstall() -> anyhow::Result<()> {
    remove()
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

/// `%` and `"` mean something to systemd.
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
fn place(program: &str) -> anyhow::Result<()> {
    let file = unit_file()?;
    let dir = file.parent().context("the unit has no folder")?;
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    std::fs::write(&file, unit(program))
        .with_context(|| format!("{} cannot be written", file.display()))?;
    out::line(format!("Wrote {}", file.display()));
    match systemctl(&["daemon-reload"]).and_then(|()| systemctl(&["enable", "--now", UNIT])) {
        Ok(()) => out::line(format!(
            "It runs now and with every session. Log: journalctl --user -u {UNIT}"
        )),
        Err(error) => {
            out::line(format!(
                "systemd did not take it over ({error}). In a session with systemd, run:"
            ));
            out::line(format!(
                "  systemctl --user daemon-reload && systemctl --user enable --now {UNIT}"
            ));
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn remove() -> anyhow::Result<()> {
    let file = unit_file()?;
    if !file.exists() {
        bail!("{} is not there: nothing was installed", file.display());
    }
    if let Err(error) = systemctl(&["disable", "--now", UNIT]) {
        out::line(format!("systemd could not stop it: {error}"));
    }
    std::fs::remove_file(&file).with_context(|| format!("{} stays", file.display()))?;
    out::line(format!("Removed {}", file.display()));
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
fn place(program: &str) -> anyhow::Result<()> {
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
    out::line(format!("Wrote {}", file.display()));
    run("launchctl", &["load", "-w", file.to_str().context("the path is not UTF-8")?])
}

#[cfg(target_os = "macos")]
fn remove() -> anyhow::Result<()> {
    let file = plist()?;
    let _ = run("launchctl", &["unload", "-w", file.to_str().context("the path is not UTF-8")?]);
    std::fs::remove_file(&file).with_context(|| format!("{} stays", file.display()))?;
    out::line(format!("Removed {}", file.display()));
    Ok(())
}

#[cfg(windows)]
const RUN_KEY: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";

#[cfg(windows)]
fn place(program: &str) -> anyhow::Result<()> {
    let command = format!("\"{program}\" run");
    run("reg", &["add", RUN_KEY, "/v", "mcplocal-agent", "/d", &command, "/f"])
}

#[cfg(windows)]
fn remove() -> anyhow::Result<()> {
    run("reg", &["delete", RUN_KEY, "/v", "mcplocal-agent", "/f"])
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", said.trim().lines().last().unwrap_or("it failed"));
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::unit;

    #[test]
    fn a_path_with_signs_that_mean_something_to_systemd_is_quoted() {
        let unit = unit("/opt/a b/100%/x\"y");
        assert!(unit.contains("ExecStart=\"/opt/a b/100%%/x\\\"y\" run\n"), "{unit}");
    }
}
