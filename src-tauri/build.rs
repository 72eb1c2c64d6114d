//! Tells Tauri which commands exist, so that each needs a permission, and makes sure that there is
//! a page to embed: a Rust build must not need Node.

use std::path::Path;
use std::{fs, io};

const PAGE: &str = "<!doctype html><html lang=\"en\"><title>mcplocal</title>\
    <p>The page was not built. Run <code>npm ci && npm run build</code> in <code>ui</code>.</p>\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    placeholder_page(Path::new("../ui/dist"))?;
    let commands = tauri_build::AppManifest::new().commands(&["watch_status", "set_publish"]);
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
