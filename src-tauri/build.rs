//! Declares the commands to Tauri, so that each needs a permission, and writes a placeholder page if
//! none was built, so that a Rust build does not need Node.

use std::path::Path;
use std::{fs, io};

/// Commands that the page may call. `window.rs` lists them too; a test compares both.
const COMMANDS: &[&str] = &[
    "watch_view",
    "set_publish",
    "pause",
    "stop_request",
    "copy_text",
    "model_entry",
    "validate_model",
    "save_model",
    "remove_model",
    "undo_remove_model",
    "list_backend_models",
    "find_backends",
    "start_wake_test",
    "stop_wake_test",
    "publish_as",
    "share_name",
    "decline_name",
    "validate_server_url",
    "sign_in",
    "sign_in_with_code",
    "sign_out",
    "move_token_to_keychain",
    "test_connection",
    "send_test_request",
    "change_settings",
    "autostart",
    "set_autostart",
    "run_checks",
    "preview_bundle",
    "save_bundle",
    "open_logs",
    "about",
];

const PAGE: &str = "<!doctype html><html lang=\"en\"><title>mcplocal</title>\
    <p>The page was not built. Run <code>npm install && npm run build</code> in <code>ui</code>.</p>\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    placeholder_page(Path::new("../ui/dist"))?;
    let commands = tauri_build::AppManifest::new().commands(COMMANDS);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(commands))?;
    Ok(())
}

fn placeholder_page(dist: &Path) -> io::Result<()> {
    let page = dist.join("index.html");
    if page.exists() {
        return Ok(());
    }
    fs::create_dir_all(dist)?;
    fs::write(page, PAGE)
}
