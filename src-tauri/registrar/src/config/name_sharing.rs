//! `shareName` and `declineName` of a provider: which other users may serve its name too, and whose
//! requests for that are not shown any more.

use wire::limits::SHARES;
use wire::names::check_text;

/// Users and groups that may serve a provider's name too; travels with register.
pub const SHARE: &str = "shareName";
/// Users whose requests for a provider's name are not shown; stays on this machine.
pub const DECLINE: &str = "declineName";

/// Stands for every user.
const EVERY_USER: &str = "*";
/// Begins an entry that names a group.
const GROUP: &str = "group:";

/// Checks an entry of `shareName`: `<user>`, `group:<group>` or `*`.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_share(entry: &str) -> Result<(), String> {
    match entry.strip_prefix(GROUP) {
        Some(group) => check_text_of("a group", group),
        None if entry == EVERY_USER => Ok(()),
        None => check_user(entry),
    }
}

/// Checks the name of one user; a group or `*` is none.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_user(user: &str) -> Result<(), String> {
    if user == EVERY_USER || user.starts_with(GROUP) {
        return Err(format!("{user:?} names more than one user"));
    }
    check_text_of("a user", user)
}

fn check_text_of(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{what} must have a name"));
    }
    if name.trim() != name {
        return Err(format!("{what} must not begin or end with a space"));
    }
    check_text(what, name)
}

/// Checks that one more entry fits into a list of so many.
///
/// # Errors
/// A sentence with the limit.
pub fn check_room(entries: usize) -> Result<(), String> {
    if entries < SHARES {
        return Ok(());
    }
    Err(format!("it has at most {SHARES} entries; share with a group (\"group:NAME\") or \"*\""))
}

#[cfg(test)]
mod tests {
    use super::{check_share, check_user};

    #[test]
    fn a_name_is_shared_with_a_user_a_group_or_everybody_and_requested_by_one_user_only() {
        for good in ["tom", "group:research", "*", "Tom O'Neil", "tom@example.com"] {
            check_share(good).unwrap();
        }
        for bad in ["", " tom", "group:", "group: x", "a\u{1b}[2J", "\u{202e}x", "a\nb"] {
            assert!(check_share(bad).is_err(), "{bad:?}");
            assert!(check_user(bad).is_err(), "{bad:?}");
        }
        assert!(check_user("*").is_err() && check_user("group:research").is_err());
        check_user("tom").unwrap();
    }
}
