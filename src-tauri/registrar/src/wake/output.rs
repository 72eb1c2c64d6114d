//! Output of a recipe: a private file, and no pipe. A backend that the recipe leaves in the background
//! goes on writing to it, and a pipe without a reader would end it at its next line.

use crate::home::Home;
use crate::limits::{RECIPE_LOG, RECIPE_LOG_KEPT, RECIPE_OUTPUT};
use client::private_file;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The output file of one provider's wake or sleep recipe.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    path: PathBuf,
}

impl Output {
    pub(crate) fn new(home: &Home, purpose: &str, provider: &str) -> Self {
        Self { path: home.recipe_output(purpose, provider) }
    }

    /// Empties the file and opens it for stdout and stderr of a new run. If that fails, the recipe
    /// runs without output.
    pub(crate) fn open_for_run(&self) -> (Stdio, Stdio) {
        let opened = self.open().and_then(|file| {
            // A backend of an earlier run may still write: appending, it goes on at the new end.
            file.set_len(0)?;
            Ok((Stdio::from(file.try_clone()?), Stdio::from(file)))
        });
        opened.unwrap_or_else(|error| {
            let path = self.path.display();
            tracing::warn!(%error, "the output of a recipe cannot be stored: {path}");
            (Stdio::null(), Stdio::null())
        })
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            private_file::create_folder(folder)?;
        }
        private_file::append(&self.path)
    }

    /// The last [`RECIPE_OUTPUT`] bytes of the output.
    pub(crate) fn end(&self) -> String {
        let bytes = private_file::open(&self.path).and_then(|file| end_of(file, RECIPE_OUTPUT));
        String::from_utf8_lossy(&bytes.unwrap_or_default()).trim().to_owned()
    }

    /// The end of the output as the end of a sentence; empty if there is no output.
    pub(crate) fn quote(&self) -> String {
        let end = self.end();
        if end.is_empty() { String::new() } else { format!("{}{end}", super::IT_SAID) }
    }

    /// Cuts a file of more than [`RECIPE_LOG`] bytes to its last [`RECIPE_LOG_KEPT`].
    pub(crate) async fn truncate(&self) {
        let size = std::fs::symlink_metadata(&self.path).map_or(0, |meta| meta.len());
        if size <= RECIPE_LOG {
            return;
        }
        let path = self.path.clone();
        // On a thread: freeing a large file takes a while.
        let truncated = tokio::task::spawn_blocking(move || keep_end(&path)).await;
        if let Ok(Err(error)) = truncated {
            tracing::debug!(%error, "the output of a recipe cannot be truncated");
        }
    }
}

fn keep_end(path: &Path) -> io::Result<()> {
    let end = end_of(private_file::open(path)?, RECIPE_LOG_KEPT)?;
    let mut file = private_file::append(path)?;
    file.set_len(0)?;
    file.write_all(&end)
}

fn end_of(mut file: File, max: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(max)))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::Output;
    use crate::home::Home;
    use crate::limits::{RECIPE_LOG, RECIPE_LOG_KEPT};

    #[tokio::test]
    async fn a_large_output_keeps_its_end_and_a_new_run_begins_empty() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::new(&Home::at(dir.path()).unwrap(), "wake", "a/b");
        let path = dir.path().join("logs/wake-a%2fb.log");
        drop(output.open_for_run());
        let grown = [vec![b'x'; usize::try_from(RECIPE_LOG).unwrap()], b"the end".to_vec()];
        std::fs::write(&path, grown.concat()).unwrap();
        output.truncate().await;
        assert_eq!(std::fs::metadata(&path).unwrap().len(), RECIPE_LOG_KEPT);
        assert!(output.quote().ends_with("the end"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(output.open_for_run());
        assert_eq!(output.quote(), "");
    }
}
