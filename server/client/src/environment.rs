//! Environment variables and the settings folder that the programs have in common.

use secrecy::SecretString;
use std::io;
use std::path::PathBuf;

/// Names the settings folder.
pub const HOME: &str = "MCPCTL_HOME";
/// Contains the token.
pub const TOKEN: &str = "MCPCTL_TOKEN";
/// Names a PEM file with additional CA certificates.
pub const CA_FILE: &str = "MCPCTL_CA_FILE";
/// Folder of the settings in the user's home directory.
const FOLDER: &str = ".mcpctl";

/// The settings folder, which may not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFolder {
    /// Its path.
    pub path: PathBuf,
    /// True for `~/.mcpctl`. A folder from the environment may be shared on purpose.
    pub is_default: bool,
}

/// Returns the settings folder: `$MCPCTL_HOME`, or else `~/.mcpctl`.
///
/// # Errors
/// There is no home directory.
pub fn settings_folder() -> io::Result<SettingsFolder> {
    if let Some(path) = std::env::var_os(HOME) {
        return Ok(SettingsFolder { path: path.into(), is_default: false });
    }
    let home = std::env::home_dir().filter(|path| !path.as_os_str().is_empty());
    let home = home.ok_or_else(|| {
        let message = format!("there is no home directory; set {HOME}");
        io::Error::new(io::ErrorKind::NotFound, message)
    })?;
    Ok(SettingsFolder { path: home.join(FOLDER), is_default: true })
}

/// Returns the token in the environment, if there is one. An empty text counts as none: scripts
/// unset a variable that way.
#[must_use]
pub fn token() -> Option<SecretString> {
    let text = std::env::var(TOKEN).ok()?;
    let token = text.trim();
    (!token.is_empty()).then(|| token.into())
}
