//! Approval of new commands: before the window writes a command into config.json, a dialog of the
//! desktop shows it to the person. Code that runs in the page cannot allow a command by itself.

use crate::i18n::{tr, tr_with};
use registrar::config::{CommandRecipe, Config, Recipe};
use std::collections::BTreeMap;
use tauri::AppHandle;
use tauri_plugin_dialog::{DialogExt as _, MessageDialogButtons, MessageDialogKind};
use tokio::sync::oneshot;

/// Returns the commands of `after` that are not in `before`, formatted for the dialog.
pub(crate) fn new_commands(before: &Config, after: &Config) -> Vec<String> {
    let known: Vec<&CommandRecipe> = commands(before).collect();
    let new = commands(after).filter(|command| !known.contains(command));
    new.map(format_command).collect()
}

fn commands(config: &Config) -> impl Iterator<Item = &CommandRecipe> {
    config.providers.iter().flat_map(|provider| {
        let wake = provider.wake.as_ref().map(|wake| &wake.recipe);
        let sleep = provider.sleep.as_ref().map(|sleep| &sleep.recipe);
        [wake, sleep].into_iter().flatten().filter_map(Recipe::program)
    })
}

/// Formats a command with each word in quotes, so that it cannot be mistaken for another one.
fn format_command(command: &CommandRecipe) -> String {
    let CommandRecipe { command, args, env } = command;
    let env: &BTreeMap<String, String> = env;
    let mut words: Vec<String> =
        env.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    words.push(format!("{command:?}"));
    words.extend(args.iter().map(|arg| format!("{arg:?}")));
    words.join(" ")
}

/// Shows the commands in a dialog of the desktop; true if the person allows all of them.
pub(crate) async fn ask(app: &AppHandle, commands: &[String]) -> bool {
    let (answer, answered) = oneshot::channel();
    app.dialog()
        .message(tr_with("confirm.text", &[("commands", &commands.join("\n\n"))]))
        .title(tr("confirm.title"))
        .kind(MessageDialogKind::Warning)
        .buttons(MessageDialogButtons::OkCancelCustom(tr("confirm.allow"), tr("confirm.cancel")))
        .show(move |allowed| {
            let _ = answer.send(allowed);
        });
    answered.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::new_commands;
    use registrar::config::parse;

    #[test]
    fn only_new_commands_need_approval_and_every_word_of_them_is_shown() {
        let config = |wake: &str, sleep: &str| {
            let text = format!(
                r#"{{"llm": {{"providers": [{{"name": "a", "type": "vllm", "wake": {wake},
                "sleep": {sleep}}}]}}}}"#
            );
            parse(&text).unwrap().config
        };
        let start = r#"{"type": "command", "command": "systemctl", "args": ["start", "a b"]}"#;
        let http = r#"{"type": "http", "url": "http://127.0.0.1:1/"}"#;
        let stop = r#"{"type": "command", "command": "sh", "args": ["-c", "x\ny"],
            "env": {"LD_PRELOAD": "/tmp/x"}, "idleSeconds": 9}"#;
        let before = config(start, "null");
        assert!(new_commands(&before, &config(start, "null")).is_empty());
        assert!(new_commands(&before, &config(http, "null")).is_empty(), "http runs nothing here");
        let shown = new_commands(&before, &config(start, stop));
        assert_eq!(shown, [r#"LD_PRELOAD="/tmp/x" "sh" "-c" "x\ny""#]);
        let shown = new_commands(&config(http, "null"), &before);
        assert_eq!(shown, [r#""systemctl" "start" "a b""#]);
    }
}
