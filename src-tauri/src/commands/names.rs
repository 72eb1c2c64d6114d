//! The page's answers to a name that two users want: another name, or one that is shared.

use super::bounded;
use crate::edits::edit;
use crate::window::Window;
use registrar::config::edit::Edit;
use tauri::State;

/// Publishes a model under another name.
#[tauri::command]
pub(crate) async fn publish_as(
    app: State<'_, Window>,
    name: String,
    new: String,
) -> Result<(), String> {
    app.click(Edit::PublishAs { name: bounded(name)?, new: bounded(new)? }).await
}

/// Shares a model's name with a user, a group or everybody, or takes that back. What is wrong with
/// the entry stands beside its field, and is no notice on every page.
#[tauri::command]
pub(crate) async fn share_name(
    app: State<'_, Window>,
    name: String,
    with: String,
    on: bool,
) -> Result<(), String> {
    let change = Edit::ShareName { name: bounded(name)?, with: bounded(with)?, on };
    edit(&app.home, change).await.map(drop)
}

/// Does not show a user's request for a model's name any more, or shows it again.
#[tauri::command]
pub(crate) async fn decline_name(
    app: State<'_, Window>,
    name: String,
    user: String,
    on: bool,
) -> Result<(), String> {
    app.click(Edit::DeclineName { name: bounded(name)?, user: bounded(user)?, on }).await
}
