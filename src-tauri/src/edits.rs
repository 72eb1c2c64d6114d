//! Edits of config.json, off the threads that must not wait.

use crate::confirm;
use crate::words::say;
use registrar::config::edit::{self, Edit};
use registrar::config::file::{self, Change};
use registrar::config::{self, Config};
use registrar::home::Home;
use std::sync::Arc;
use tauri::AppHandle;

/// Edits the file.
pub(crate) async fn edit(home: &Home, edit: Edit) -> Result<Change, String> {
    let home = home.clone();
    on_a_thread(move || file::apply(&home, &edit)).await
}

/// Edits the file as `decide` finds right for what it says at that moment.
pub(crate) async fn edit_decided(
    home: &Home,
    last_good: Arc<Config>,
    decide: impl FnOnce(&Config) -> Edit + Send + 'static,
) -> Result<Change, String> {
    let home = home.clone();
    on_a_thread(move || file::decide(&home, &last_good, decide)).await
}

/// Edits the file for the page. A command that was not in the file before needs the person's word by
/// a dialog of the desktop.
pub(crate) async fn edit_for_page(
    app: &AppHandle,
    home: &Home,
    edit: Edit,
) -> Result<Change, String> {
    let (folder, wish) = (home.clone(), edit.clone());
    let commands = on_a_thread(move || new_commands(&folder, &wish)).await?;
    if !commands.is_empty() && !confirm::ask(app, &commands).await {
        return Err(say("confirm.refused"));
    }
    self::edit(home, edit).await
}

/// The commands that an edit would bring. One that makes an entry unusable is refused: it would be
/// written and then ignored.
fn new_commands(home: &Home, edit: &Edit) -> Result<Vec<String>, String> {
    let text = file::read(&home.config()).map_err(|error| error.to_string())?;
    let after = edit::apply(&text, edit).map_err(|refusal| refusal.to_string())?;
    let read = |text: &str| config::parse(text).map_err(|problem| problem.message);
    let (before, after) = (read(&text)?, read(&after)?);
    match after.warnings.iter().find(|warning| !before.warnings.contains(warning)) {
        Some(new) => Err(new.message.clone()),
        None => Ok(confirm::new_commands(&before.config, &after.config)),
    }
}

/// Work that may block; what went wrong in words.
pub(crate) async fn on_a_thread<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
