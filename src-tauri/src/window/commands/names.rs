//! Commands for a name that two users need: publish under another name, or share it.

use super::bounded;
use crate::config_edits;
use crate::window::state::WindowState;
use registrar::config::edit::Edit;
use tauri::State;

/// Publishes a model under another name.
#[tauri::command]
pub(crate) async fn publish_as(
    window: State<'_, WindowState>,
    name: String,
    new: String,
) -> Result<(), String> {
    window.edit(Edit::PublishAs { name: bounded(name)?, new: bounded(new)? }).await
}

/// Shares a model's name with a user, a group or everyone, or ends that. An error is shown beside the
/// field and not as a notice on every page.
#[tauri::command]
pub(crate) async fn share_name(
    window: State<'_, WindowState>,
    name: String,
    with: String,
    on: bool,
) -> Result<(), String> {
    let change = Edit::ShareName { name: bounded(name)?, with: bounded(with)?, on };
    config_edits::apply(&window.home, change).await.map(drop)
}

/// Hides a user's request for a model's name, or shows it again.
#[tauri::command]
pub(crate) async fn decline_name(
    window: State<'_, WindowState>,
    name: String,
    user: String,
    on: bool,
) -> Result<(), String> {
    window.edit(Edit::DeclineName { name: bounded(name)?, user: bounded(user)?, on }).await
}
