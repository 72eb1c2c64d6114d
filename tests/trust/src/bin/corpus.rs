//! Unpacks and packs the stored inputs of a fuzz target; used by `scripts/fuzz.sh`.
#![expect(clippy::print_stdout, reason = "a command line tool")]

use clap::Parser;
use std::io;
use std::path::PathBuf;
use trust::corpus;

#[derive(Parser)]
enum Command {
    /// Write the archived inputs of a target into a folder, one file each
    Unpack {
        /// The fuzz target
        target: String,
        /// The folder to write to
        folder: PathBuf,
    },
    /// Replace the archive of a target by the files of a folder
    Pack {
        /// The fuzz target
        target: String,
        /// The folder to read from
        folder: PathBuf,
    },
}

fn main() -> io::Result<()> {
    match Command::parse() {
        Command::Unpack { target, folder } => {
            println!("{target}: {} inputs unpacked", corpus::unpack(&target, &folder)?);
        }
        Command::Pack { target, folder } => {
            println!("{target}: {} inputs packed", corpus::pack(&target, &folder)?);
        }
    }
    Ok(())
}
