//! Reading and changing `config.json` on disk: locked among ourselves, atomic for everybody, through
//! symbolic links, never over a file that we could not read.
//!
//! Other tools take no lock. The text is read again under ours right before it is written, so the
//! window in which two writers could meet is as short as one write.

use super::edit::{self, Edit, Refusal};
use crate::home::Home;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The largest file that is read.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Why the file could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The change itself is not possible.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The file system's.
    #[error("config.json could not be {0}: {1}")]
    Io(&'static str, io::Error),
    /// It is somebody else's.
    #[error("config.json belongs to another user; change it as that user")]
    Foreign,
}

/// The file's text; empty when there is none.
///
/// # Errors
/// Unreadable, too large or not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// The text before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
}

/// Makes one change. Blocks for as long as another of our programs holds the lock.
///
/// # Errors
/// [`EditError`]; the file is as it was then.
pub fn apply(home: &Home, edit: &Edit) -> Result<Change, EditError> {
    rewrite(home, |before| edit::apply(before, edit))
}

/// Takes a change back, byte for byte; does something else when the file was changed since.
///
/// # Errors
/// [`EditError`]; the file is as it was then.
pub fn undo(home: &Home, change: &Change, otherwise: &Edit) -> Result<Change, EditError> {
    rewrite(home, |now| {
        if now == change.after { Ok(change.before.clone()) } else { edit::apply(now, otherwise) }
    })
}

fn rewrite(
    home: &Home,
    edit: impl FnOnce(&str) -> Result<String, Refusal>,
) -> Result<Change, EditError> {
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(home.dir().join("config.json.lock"))
        .map_err(|e| EditError::Io("locked", e))?;
    lock.lock().map_err(|e| EditError::Io("locked", e))?;
    let target = target_of(&home.config());
    refuse_foreign(&target)?;
    let before = read(&target).map_err(|e| EditError::Io("read", e))?;
    let after = edit(&before)?;
    if after != before {
        replace(&target, &before, &after).map_err(|e| EditError::Io("written", e))?;
    }
    Ok(Change { before, after })
}

/// Where the file really is.
pub(crate) fn target_of(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(unix)]
fn refuse_foreign(path: &Path) -> Result<(), EditError> {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(file), Ok(ours)) = (std::fs::metadata(path), File::open("/proc/self")) else {
        return Ok(());
    };
    let ours = ours.metadata().map_err(|e| EditError::Io("checked", e))?.uid();
    if file.uid() == ours { Ok(()) } else { Err(EditError::Foreign) }
}

#[cfg(not(unix))]
fn refuse_foreign(_path: &Path) -> Result<(), EditError> {
    Ok(())
}

fn replace(target: &Path, before: &str, after: &str) -> io::Result<()> {
    let dir = target.parent().unwrap_or_else(|| Path::new("."));
    if !before.is_empty() {
        crate::home::write_private(&dir.join("config.json.bak"), before.as_bytes())?;
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
    use super::{Edit, apply, read, undo};
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
    fn a_removal_is_taken_back_byte_for_byte_or_as_well_as_the_file_allows() {
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
