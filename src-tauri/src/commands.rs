//! What the page may ask for, three lines each. Arguments are checked as if the page were hostile:
//! by the code that edits the file.

use crate::app::App;
use crate::view::View;
use tauri::State;
use tauri::ipc::Channel;

/// Sends the view now and whenever it changes, until the window is closed.
#[tauri::command]
pub(crate) fn watch_status(app: State<'_, App>, channel: Channel<View>) {
    app.show_to_page(channel);
}

/// Sets the publish switch of one model in config.json.
#[tauri::command]
pub(crate) async fn set_publish(app: State<'_, App>, name: String, on: bool) -> Result<(), String> {
    app.set_publish(name, on).await
}
