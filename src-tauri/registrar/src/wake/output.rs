//! What a recipe prints: a private file, and no pipe. A backend that the recipe leaves in the
//! background goes on writing to it, and a pipe without a reader would end it at its next line.

use crate::home::Home;
use crate::limits::{RECIPE_LOG, RECIPE_LOG_KEPT, RECIPE_OUTPUT};
use client::private_file;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The file of one provider's recipe.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    path: PathBuf,
}

impl Output {
    /// The output of a provider's wake or sleep recipe.
    pub(crate) fn of(home: &Home, purpose: &str, provider: &str) -> Self {
        Self { path: home.recipe_output(purpose, provider) }
    }

    /// Empties it for a new run, and opens it twice: for what the program says and what it complains
    /// of. Where no file can be made, the recipe runs without one.
    pub(crate) fn begin(&self) -> (Stdio, Stdio) {
        let opened = self.open().and_then(|file| {
            // An earlier backend may still write to it: appending, it goes on at the new end.
            file.set_len(0)?;
            Ok((Stdio::from(file.try_clone()?), Stdio::from(file)))
        });
        opened.unwrap_or_else(|error| {
            tracing::warn!(%error, "what a recipe prints cannot be kept: {}", self.path.display());
            (Stdio::null(), Stdio::null())
        })
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            private_file::create_folder(folder)?;
        }
        private_file::append(&self.path)
    }

    /// The last that was printed, bounded.
    pub(crate) fn text(&self) -> String {
        let bytes = private_file::open(&self.path).and_then(|file| end_of(file, RECIPE_OUTPUT));
        String::from_utf8_lossy(&bytes.unwrap_or_default()).trim().to_owned()
    }

    /// The same as the end of a sentence.
    pub(crate) fn tail(&self) -> String {
        let text = self.text();
        if text.is_empty() { String::new() } else { format!("{}{text}", super::IT_SAID) }
    }

    /// Keeps only the end when it has grown too large.
    pub(crate) async fn bound(&self) {
        let size = std::fs::symlink_metadata(&self.path).map_or(0, |meta| meta.len());
        if size <= RECIPE_LOG {
            return;
        }
        let path = self.path.clone();
        // Freeing a large file takes a while.
        let cut = tokio::task::spawn_blocking(move || keep_end(&path)).await;
        if let Ok(Err(error)) = cut {
            tracing::debug!(%error, "a recipe's output cannot be cut");
        }
    }
}

fn keep_end(path: &Path) -> io::Result<()> {
    let end = end_of(private_file::open(path)?, RECIPE_LOG_KEPT)?;
    let mut file = private_file::append(path)?;
    file.set_len(0)?;
    file.write_all(&end)
}

fn end_of(mut file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::Output;
    use crate::home::Home;
    use crate::limits::{RECIPE_LOG, RECIPE_LOG_KEPT};

    #[tokio::test]
    async fn what_grew_too_large_keeps_its_end_and_a_new_run_begins_empty() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::of(&Home::at(dir.path()).unwrap(), "wake", "a/b");
        let path = dir.path().join("logs/wake-a%2fb.log");
        drop(output.begin());
        let grown = [vec![b'x'; usize::try_from(RECIPE_LOG).unwrap()], b"the end".to_vec()];
        std::fs::write(&path, grown.concat()).unwrap();
        output.bound().await;
        assert_eq!(std::fs::metadata(&path).unwrap().len(), RECIPE_LOG_KEPT);
        assert!(output.tail().ends_with("the end"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(output.begin());
        assert_eq!(output.tail(), "");
    }
}
