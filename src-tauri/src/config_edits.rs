//! Edits of config.json, on threads that may block. Errors are sentences for people.

use crate::blocking;
use crate::command_approval;
use crate::i18n::tr;
use registrar::config::edit::{self, Edit};
use registrar::config::file::{self, Change};
use registrar::config::{self, Config};
use registrar::home::Home;
use std::sync::Arc;
use tauri::AppHandle;

/// Applies an edit.
///
/// # Errors
/// The edit does not fit the file, or the file cannot be read or written.
pub(crate) async fn apply(home: &Home, edit: Edit) -> Result<Change, String> {
    let home = home.clone();
    blocking::run(move || file::apply(&home, &edit)).await
}

/// Applies the edit that `decide` chooses from the file's content at that moment. `last_good` is used
/// if the file is broken.
///
/// # Errors
/// As for [`apply`].
pub(crate) async fn apply_decided(
    home: &Home,
    last_good: Arc<Config>,
    decide: impl FnOnce(&Config) -> Edit + Send + 'static,
) -> Result<Change, String> {
    let home = home.clone();
    blocking::run(move || file::decide(&home, &last_good, decide)).await
}

/// Applies an edit of the page. If it brings a command that is not in the file yet, the person must
/// allow it in a dialog of the desktop first.
///
/// # Errors
/// As for [`apply`]; also if the person refuses, or if the edit makes an entry unusable.
pub(crate) async fn apply_from_page(
    app: &AppHandle,
    home: &Home,
    edit: Edit,
) -> Result<Change, String> {
    let (folder, requested) = (home.clone(), edit.clone());
    let commands = blocking::run(move || new_commands(&folder, &requested)).await?;
    if !commands.is_empty() && !command_approval::ask(app, &commands).await {
        return Err(tr("confirm.refused"));
    }
    apply(home, edit).await
}

/// Returns the commands that an edit would add. Refuses an edit that makes an entry unusable, which
/// would be written and then ignored.
fn new_commands(home: &Home, edit: &Edit) -> Result<Vec<String>, String> {
    let text = file::read(&home.config()).map_err(|error| error.to_string())?;
    let after = edit::apply(&text, edit).map_err(|refusal| refusal.to_string())?;
    let read = |text: &str| config::parse(text).map_err(|problem| problem.message);
    let (before, after) = (read(&text)?, read(&after)?);
    match after.warnings.iter().find(|warning| !before.warnings.contains(warning)) {
        Some(new) => Err(new.message.clone()),
        None => Ok(command_approval::new_commands(&before.config, &after.config)),
    }
}
