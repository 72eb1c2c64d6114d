//! Access of other users of this machine to the folder and its files.

use super::{Finding, Verdict, bad};
use crate::config::file::target_of;
use crate::home::Home;
use client::private_file::{is_open_to_others, is_own, mode};
use std::fs::{Metadata, metadata};
use std::path::PathBuf;

/// Bits of a mode that let other users write.
const WRITABLE: u32 = 0o022;

/// A finding for each file that is more open than it should be.
pub(super) fn findings(home: &Home) -> Vec<Finding> {
    let mut findings = Vec::new();
    let dir = metadata(home.dir()).ok();
    let is_private = dir.as_ref().is_some_and(|dir| is_own(dir) && !is_open_to_others(dir));
    findings.extend(dir.and_then(|dir| folder(home, &dir)));
    findings.extend(configuration(home, is_private));
    for path in [home.credentials(), home.lock(), home.config_lock()] {
        findings.extend(private(path, is_private));
    }
    findings
}

fn folder(home: &Home, dir: &Metadata) -> Option<Finding> {
    let (about, place) = ("folder", home.dir().display());
    if !is_own(dir) {
        let found = format!("{place} belongs to another user, who can change what runs here");
        return Some(bad(Verdict::Broken, about, found, "set MCPCTL_HOME to a folder of yours"));
    }
    let verdict = if mode(dir) & WRITABLE == 0 { Verdict::Notice } else { Verdict::Broken };
    let can = match verdict {
        Verdict::Broken => "change what is published from it and which commands run",
        Verdict::Good | Verdict::Notice => "see into it and hold its locks",
    };
    let found = format!("other users of this machine can {can} (mode {:04o})", mode(dir));
    let fix = format!("chmod 700 {place}");
    is_open_to_others(dir).then(|| bad(verdict, about, found, fix))
}

/// The file names the commands of recipes: a user who can write it runs programs as the publisher.
fn configuration(home: &Home, folder_is_private: bool) -> Option<Finding> {
    let about = "config.json";
    let target = target_of(&home.config());
    let file = metadata(&target).ok()?;
    let place = target.display();
    if !is_own(&file) {
        let found = format!("{place} belongs to another user, and cannot be changed from here");
        return Some(bad(Verdict::Broken, about, found, "make it a file of yours: copy it"));
    }
    let reachable = !folder_is_private || target.parent() != Some(&target_of(home.dir()));
    let verdict = if reachable { Verdict::Broken } else { Verdict::Notice };
    let found = format!(
        "{place} can be written by other users (mode {:04o}): who writes it chooses commands that run \
         as you",
        mode(&file)
    );
    let writable = mode(&file) & WRITABLE != 0;
    writable.then(|| bad(verdict, about, found, format!("chmod go-w {place}")))
}

/// A file that no other user needs.
fn private(path: PathBuf, folder_is_private: bool) -> Option<Finding> {
    let file = metadata(&path).ok()?;
    let place = path.display();
    let name = path.file_name()?.to_string_lossy().into_owned();
    if !is_own(&file) {
        let found = format!("{place} belongs to another user");
        return Some(bad(Verdict::Broken, &name, found, format!("remove it: rm -f {place}")));
    }
    let found = format!("other users can open {place} (mode {:04o})", mode(&file));
    let fix = format!("chmod 600 {place}");
    let reachable = is_open_to_others(&file) && !folder_is_private;
    reachable.then(|| bad(Verdict::Broken, &name, found, fix))
}
