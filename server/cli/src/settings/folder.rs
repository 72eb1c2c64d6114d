//! `~/.mcpctl` and the file in it. It may hold a token: both are for their owner alone, and a file
//! that cannot be read is never taken for none.

use crate::out;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Names another folder.
const HOME: &str = "MCPCTL_HOME";
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// Permission bits of other users.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// Contents of `cli.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct File {
    pub(super) url: Option<String>,
    /// Only where a person asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// `~/.mcpctl` itself. A folder that a person names may be used by others.
    own: bool,
}

impl Folder {
    pub(super) fn from_env() -> anyhow::Result<Self> {
        if let Some(path) = std::env::var_os(HOME) {
            return Ok(Self { path: path.into(), own: false });
        }
        let user = std::env::home_dir().filter(|path| !path.as_os_str().is_empty());
        let user = user.context("no home directory; set MCPCTL_HOME")?;
        Ok(Self { path: user.join(".mcpctl"), own: true })
    }

    /// The file with the settings.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join("cli.json")
    }

    /// Reads the file; returns the default if it does not exist.
    pub(super) fn read(&self) -> anyhow::Result<File> {
        let path = self.file();
        let Some(bytes) = bytes(&path).with_context(|| {
            format!("{} cannot be read, and is left as it is; mend or remove it", path.display())
        })?
        else {
            return Ok(File::default());
        };
        tighten(&path, 0o600);
        serde_json::from_slice(&bytes).map_err(|error| {
            // The parser's own words could quote the token.
            let line = error.line();
            anyhow::anyhow!("{} is broken, line {line}; mend or remove it", path.display())
        })
    }

    /// Writes the file in one step.
    pub(super) fn write(&self, file: &File) -> anyhow::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let made = builder.create(&self.path);
        made.with_context(|| format!("the folder {} cannot be made", self.path.display()))?;
        if self.own {
            tighten(&self.path, 0o700);
        }
        let put = || -> anyhow::Result<()> {
            // A temporary file is private from its first byte on.
            let mut new = tempfile::NamedTempFile::new_in(&self.path)?;
            new.write_all(&serde_json::to_vec_pretty(file)?)?;
            new.persist(self.file())?;
            Ok(())
        };
        put().with_context(|| format!("{} cannot be written", self.file().display()))
    }
}

/// The file's bytes; `None` only when there is nothing of that name.
fn bytes(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => bail!("it is no file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if std::fs::symlink_metadata(path).is_ok() {
                bail!("it is a link to nothing");
            }
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        bail!("it has more than {MAX_FILE} bytes");
    }
    Ok(Some(bytes))
}

/// Takes from others what they may do with it, and says so when that cannot be done: it is another
/// user's.
#[cfg(unix)]
fn tighten(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & OTHERS != 0);
    let only_ours = std::fs::Permissions::from_mode(mode);
    if open && let Err(error) = std::fs::set_permissions(path, only_ours) {
        out::note(format_args!(
            "warning: others may use {}, and that cannot be changed ({error}); whose is it?",
            path.display()
        ));
    }
}

#[cfg(not(unix))]
fn tighten(_path: &Path, _mode: u32) {}
