//! The stored inputs of the fuzz targets. Each target has an archive, `corpora/<target>.zip`, of
//! inputs that reach distinct code. An input that once failed is a file of its own in
//! `corpora/regressions/<target>/`, so that fuzzing never drops it as redundant.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// Inputs by file name, in the order of their names.
pub type Inputs = BTreeMap<String, Vec<u8>>;

/// Returns every stored input of a target: those of its archive, and those that once failed.
///
/// # Errors
/// The archive is missing or not readable, or a file of the regressions cannot be read.
pub fn inputs(target: &str) -> io::Result<Inputs> {
    let mut inputs = archived(target)?;
    let regressions = corpora().join("regressions").join(target);
    if regressions.exists() {
        inputs.extend(files(&regressions)?);
    }
    Ok(inputs)
}

/// Writes a target's archived inputs into a folder, one file each.
///
/// # Errors
/// The archive cannot be read, or the folder cannot be written to.
pub fn unpack(target: &str, folder: &Path) -> io::Result<usize> {
    let inputs = archived(target)?;
    fs::create_dir_all(folder)?;
    for (name, data) in &inputs {
        fs::write(folder.join(name), data)?;
    }
    Ok(inputs.len())
}

/// Replaces a target's archive by the files of a folder. The same files always make the same bytes:
/// entries are sorted, carry no time and are stored uncompressed (git compresses them itself).
///
/// # Errors
/// The folder cannot be read, or the archive cannot be written.
pub fn pack(target: &str, folder: &Path) -> io::Result<usize> {
    let inputs = files(folder)?;
    let mut archive = ZipWriter::new(File::create(archive(target))?);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (name, data) in &inputs {
        archive.start_file(name, options)?;
        archive.write_all(data)?;
    }
    archive.finish()?;
    Ok(inputs.len())
}

fn archived(target: &str) -> io::Result<Inputs> {
    let mut archive = ZipArchive::new(File::open(archive(target))?)?;
    let mut inputs = Inputs::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let mut data = Vec::new();
        entry.read_to_end(&mut data)?;
        inputs.insert(entry.name()?.into_owned(), data);
    }
    Ok(inputs)
}

fn files(folder: &Path) -> io::Result<Inputs> {
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
        })
        .collect()
}

fn archive(target: &str) -> PathBuf {
    corpora().join(format!("{target}.zip"))
}

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora")
}
