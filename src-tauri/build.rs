//! Tells Tauri which commands exist, so that each needs a permission, and makes sure that there is
//! a page to embed: a Rust build must not need Node.

use std::path::Path;
use std::{fs, io};

/// What the page may ask for; `window.rs` lists them too, and a test compares.
const COMMANDS: &[&str] = &[
    "watch_status",
    "set_publish",
    "pause",
    "stop_request",
    "copy_text",
    "model_entry",
    "check_model",
    "save_model",
    "remove_model",
    "undo_removal",
    "offered_models",
    "find_backends",
    "test_wake",
    "stop_test",
    "publish_as",
    "share_name",
    "decline_name",
    "check_server",
    "sign_in",
    "pair",
    "sign_out",
    "move_to_keychain",
    "test_connection",
    "try_model",
    "change_settings",
    "starts_at_login",
    "start_at_login",
    "examine",
    "bundle",
    "save_bundle",
    "open_logs",
    "about",
];

const PAGE: &str = "<!doctype html><html lang=\"en\"><title>mcplocal</title>\
    <p>The page was not built. Run <code>npm ci && npm run build</code> in <code>ui</code>.</p>\n";

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
