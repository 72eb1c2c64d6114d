//! The folder `~/.mcpctl`: names every file in it, for this crate and for the tray app.

use client::{environment, private_file};
use std::io;
use std::path::{Path, PathBuf};

/// The folder. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// Begins the name of each log file of the tray app; a date follows.
    pub(crate) const LOG_PREFIX: &str = "mcplocal";

    /// Opens `$MCPCTL_HOME`, or `~/.mcpctl`; creates the folder (mode 0700) if it is missing.
    ///
    /// # Errors
    /// There is no home directory, or the folder cannot be created.
    pub fn from_env() -> io::Result<Self> {
        Self::at(environment::settings_folder()?.path)
    }

    /// Opens this folder; creates it (mode 0700) if it is missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn at(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = std::path::absolute(dir.into())?;
        private_file::create_folder(&dir)?;
        Ok(Self { dir })
    }

    /// Closes the folder to other users, who could otherwise lock, read or replace its files.
    /// A folder of another user is left as it is, with a warning.
    pub fn tighten(&self) {
        #[cfg(unix)]
        {
            use client::private_file::Access;
            let dir = self.dir.display();
            match private_file::restrict(&self.dir, 0o700) {
                Ok(Access::Private) => {}
                Ok(Access::Restricted(mode)) => tracing::warn!(
                    "{dir} was open to other users of this machine (mode {mode:04o}); it is private \
                     now (0700)"
                ),
                Ok(Access::Foreign) => tracing::warn!(
                    "{dir} belongs to another user, who can read and change what is published from it"
                ),
                Err(error) => tracing::warn!(%error, "{dir} cannot be closed to other users"),
            }
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Files of the configuration and of the account.
impl Home {
    /// `config.json`: the intended state, shared with other tools.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// `config.json.lock`: held while one of our programs edits the configuration.
    #[must_use]
    pub(crate) fn config_lock(&self) -> PathBuf {
        self.dir.join("config.json.lock")
    }

    /// `config.json.bak` beside the configuration: the text that the last edit replaced. `config` is
    /// the file behind a symbolic link, so that both lie in one folder.
    #[must_use]
    pub(crate) fn config_backup(config: &Path) -> PathBuf {
        config.with_file_name("config.json.bak")
    }

    /// `credentials`: the seed system's file, written only where there is no keychain.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.dir.join("credentials")
    }

    /// `provider-session`: the id of the session with the server.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.dir.join("provider-session")
    }

    /// `instance-id`: this machine's random id.
    #[must_use]
    pub fn instance(&self) -> PathBuf {
        self.dir.join("instance-id")
    }
}

/// Files of the process that publishes.
impl Home {
    /// `registrar.lock`: held by the one process that publishes from this folder.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.dir.join("registrar.lock")
    }

    /// `status.json`: the live status, for all other processes.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.dir.join("status.json")
    }

    /// `requests/`: control requests to the process that publishes.
    #[must_use]
    pub fn requests(&self) -> PathBuf {
        self.dir.join("requests")
    }

    /// `wakes.json`: the wake recipes that are running.
    #[must_use]
    pub(crate) fn wakes(&self) -> PathBuf {
        self.dir.join("wakes.json")
    }

    /// `logs/`: log files of the tray app and output of recipes.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// `logs/<purpose>-<provider>.log`: output of a provider's wake or sleep recipe.
    #[must_use]
    pub(crate) fn recipe_output(&self, purpose: &str, provider: &str) -> PathBuf {
        self.logs().join(format!("{purpose}-{}.log", escaped(provider)))
    }
}

/// Files that the tray and its window process share.
impl Home {
    /// `tray.lock`: held by the one tray app of this folder.
    #[must_use]
    pub fn tray_lock(&self) -> PathBuf {
        self.dir.join("tray.lock")
    }

    /// `tray.show`: created by a second start, which asks the running tray app for its window.
    #[must_use]
    pub fn tray_show(&self) -> PathBuf {
        self.dir.join("tray.show")
    }

    /// `tray.missing`: why there is no tray icon.
    #[must_use]
    pub fn tray_missing(&self) -> PathBuf {
        self.dir.join("tray.missing")
    }

    /// `tray.told`: exists once the notice that publishing goes on without a window was shown.
    #[must_use]
    pub fn tray_told(&self) -> PathBuf {
        self.dir.join("tray.told")
    }

    /// `window.show`: asks the window process to come to the front, at the page that the file names.
    #[must_use]
    pub fn window_show(&self) -> PathBuf {
        self.dir.join("window.show")
    }
}

/// A provider's name as part of a file name: each byte that is no letter, digit, `.`, `_` or `-`
/// becomes `%` and its code, so that two names never share a file.
fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02x}"),
    };
    name.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn the_output_of_each_provider_has_its_own_file_inside_the_folder() {
        let names = ["mia/llama3.2:1b", "mia-llama3.2-1b", "../../etc/passwd", "a%2fb", "a/b"];
        let files: std::collections::BTreeSet<_> = names.iter().map(|n| escaped(n)).collect();
        assert_eq!(files.len(), names.len());
        assert!(files.iter().all(|file| !file.contains('/')), "{files:?}");
    }
}
