//! Reads and changes `config.json` on disk: under a lock of our own programs, atomically, through
//! symbolic links, and never over a file that could not be read.
//!
//! Other tools take no lock. The text is read again right before it is written, so that the window in
//! which two writers could meet is as short as one write.

use super::edit::{self, Edit, Refusal};
use super::{Config, parse};
use crate::file_lock;
use crate::home::Home;
use crate::limits::{EDIT_LOCK, FILE};
use client::private_file;
#[cfg(unix)]
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why the file could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The edit is not possible.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The file could not be locked, read or written.
    #[error("config.json could not be {0}: {1}")]
    Io(&'static str, io::Error),
    /// The file belongs to another user.
    #[error("config.json belongs to another user; change it as that user")]
    Foreign,
    /// Another process has held the lock, whose path this is, for longer than [`EDIT_LOCK`].
    #[error(
        "config.json was not changed: another process has held {0} for {seconds} s. Try again; if it \
         stays so, `fuser {0}` shows which process, and when it is none of yours, remove that file",
        seconds = EDIT_LOCK.as_secs()
    )]
    Locked(String),
}

/// Reads the file; empty if there is none.
///
/// # Errors
/// The file is unreadable, too large, not UTF-8, or not a regular file.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = match private_file::read(path, FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        read => read?,
    };
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
    String::from_utf8(bytes).map_err(invalid)
}

/// The text before and after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Text before the edit.
    pub before: String,
    /// Text after the edit.
    pub after: String,
}

/// Applies one edit. Blocks while another of our programs edits, for at most [`EDIT_LOCK`].
///
/// # Errors
/// The edit is not possible, or the file cannot be locked, read or written; it is unchanged then.
pub fn apply(home: &Home, edit: &Edit) -> Result<Change, EditError> {
    rewrite(home, |before| edit::apply(before, edit))
}

/// Applies the edit that `decide` returns for the current configuration. It is called under the lock:
/// of two clicks on one switch the second one sees the result of the first. For a broken file it gets
/// `last_good`.
///
/// # Errors
/// As with [`apply`].
pub fn decide(
    home: &Home,
    last_good: &Config,
    decide: impl FnOnce(&Config) -> Edit,
) -> Result<Change, EditError> {
    rewrite(home, |before| {
        let now = parse(before).ok().map(|parsed| parsed.config);
        edit::apply(before, &decide(now.as_ref().unwrap_or(last_good)))
    })
}

/// Takes a change back, byte for byte; applies `otherwise` instead if the file was changed since.
///
/// # Errors
/// As with [`apply`].
pub fn undo(home: &Home, change: &Change, otherwise: &Edit) -> Result<Change, EditError> {
    rewrite(home, |now| {
        if now == change.after { Ok(change.before.clone()) } else { edit::apply(now, otherwise) }
    })
}

fn rewrite(
    home: &Home,
    edit: impl FnOnce(&str) -> Result<String, Refusal>,
) -> Result<Change, EditError> {
    home.tighten();
    let lock = home.config_lock();
    let locked = file_lock::wait(&lock, EDIT_LOCK).map_err(|e| EditError::Io("locked", e))?;
    let _lock = locked.ok_or_else(|| EditError::Locked(lock.display().to_string()))?;
    let target = target_of(&home.config());
    refuse_foreign(&target)?;
    let before = read(&target).map_err(|e| EditError::Io("read", e))?;
    let after = edit(&before)?;
    if after != before {
        replace(&target, &before, &after).map_err(|e| EditError::Io("written", e))?;
    }
    Ok(Change { before, after })
}

/// The file behind all symbolic links.
pub(crate) fn target_of(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(unix)]
fn refuse_foreign(path: &Path) -> Result<(), EditError> {
    match std::fs::metadata(path) {
        Ok(file) if !private_file::is_own(&file) => Err(EditError::Foreign),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_foreign(_path: &Path) -> Result<(), EditError> {
    Ok(())
}

fn replace(target: &Path, before: &str, after: &str) -> io::Result<()> {
    let dir = target.parent().unwrap_or_else(|| Path::new("."));
    if !before.is_empty() {
        private_file::write(&Home::config_backup(target), before.as_bytes())?;
    }
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    if let Ok(old) = std::fs::metadata(target) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.write_all(after.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Config, Edit, EditError, apply, decide, read, undo};
    use crate::home::Home;

    fn publish(name: &str) -> Edit {
        Edit::SetPublish { name: name.into(), on: true }
    }

    #[cfg(unix)]
    #[test]
    fn an_edit_goes_through_a_symbolic_link_and_keeps_the_files_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, dotfiles) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = Home::at(dir.path()).unwrap();
        let real = dotfiles.path().join("mcpctl.json");
        std::fs::write(&real, "{\"llm\": {\"providers\": [{\"name\": \"a\"}]}}").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, home.config()).unwrap();
        apply(&home, &publish("a")).unwrap();
        assert!(std::fs::symlink_metadata(home.config()).unwrap().is_symlink());
        assert!(read(&real).unwrap().contains("\"publish\": true"));
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn twenty_writers_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let entries: Vec<String> = (0..20).map(|n| format!("{{\"name\": \"m{n}\"}}")).collect();
        let text = format!("{{\"llm\": {{\"providers\": [{}]}}}}", entries.join(","));
        std::fs::write(home.config(), text).unwrap();
        std::thread::scope(|scope| {
            for n in 0..20 {
                let home = &home;
                scope.spawn(move || apply(home, &publish(&format!("m{n}"))).unwrap());
            }
        });
        assert_eq!(read(&home.config()).unwrap().matches("\"publish\": true").count(), 20);
    }

    #[test]
    fn each_of_many_clicks_at_once_toggles_the_switch() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let text = "{\"llm\": {\"providers\": [{\"name\": \"a\", \"type\": \"vllm\"}]}}";
        std::fs::write(home.config(), text).unwrap();
        let is_on = |config: &Config| config.provider("a").is_some_and(|a| a.publish);
        let click = || {
            let edit = |config: &Config| Edit::SetPublish { name: "a".into(), on: !is_on(config) };
            decide(&home, &Config::default(), edit).unwrap()
        };
        std::thread::scope(|scope| {
            for _ in 0..21 {
                scope.spawn(click);
            }
        });
        let now = crate::config::parse(&read(&home.config()).unwrap()).unwrap().config;
        assert!(is_on(&now), "an odd number of clicks");
    }

    #[test]
    fn an_edit_names_the_lock_that_another_process_holds() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        std::fs::write(home.config(), "{}").unwrap();
        let _held = crate::file_lock::try_lock(&home.config_lock()).unwrap().unwrap();
        let refused = apply(&home, &Edit::SetMcpdUrl("https://x".into())).unwrap_err();
        let message = refused.to_string();
        assert!(matches!(refused, EditError::Locked(_)) && message.contains("fuser"), "{message}");
        assert_eq!(read(&home.config()).unwrap(), "{}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_of_another_user_is_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        // Only root can give a file away; anybody else links to one of root's.
        if nix::unistd::geteuid().is_root() {
            std::fs::write(home.config(), "{}").unwrap();
            std::os::unix::fs::chown(home.config(), Some(4_242), None).unwrap();
        } else {
            std::os::unix::fs::symlink("/etc/passwd", home.config()).unwrap();
        }
        let refused = apply(&home, &Edit::SetMcpdUrl("https://x".into())).unwrap_err();
        assert!(matches!(refused, EditError::Foreign), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_place_of_the_file_is_an_error_and_blocks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(home.config()).status().unwrap();
        assert!(made.success());
        assert!(read(&home.config()).unwrap_err().to_string().contains("not a regular file"));
        let refused = apply(&home, &publish("a")).unwrap_err().to_string();
        assert!(refused.contains("could not be read"), "{refused}");
    }

    #[test]
    fn a_removal_is_undone_byte_for_byte_unless_the_file_changed_since() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let text = "{\"llm\": {\"providers\": [{\"name\": \"a\", \"type\": \"vllm\" /* x */}, {\"name\": \"b\", \"type\": \"vllm\"}]}}";
        std::fs::write(home.config(), text).unwrap();
        let removal = apply(&home, &Edit::RemoveProvider("a".into())).unwrap();
        let entry = serde_json::json!({"name": "a", "type": "vllm"}).as_object().cloned().unwrap();
        let again = Edit::AddProvider(entry);
        undo(&home, &removal, &again).unwrap();
        assert_eq!(read(&home.config()).unwrap(), text);
        let removal = apply(&home, &Edit::RemoveProvider("a".into())).unwrap();
        apply(&home, &publish("b")).unwrap();
        undo(&home, &removal, &again).unwrap();
        let now = crate::config::parse(&read(&home.config()).unwrap()).unwrap().config;
        assert!(now.provider("a").is_some() && now.provider("b").is_some_and(|b| b.publish));
    }

    #[test]
    fn a_broken_file_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        std::fs::write(home.config(), "{\"llm\": ").unwrap();
        assert!(apply(&home, &publish("a")).unwrap_err().to_string().contains("broken"));
        assert_eq!(read(&home.config()).unwrap(), "{\"llm\": ");
    }
}
