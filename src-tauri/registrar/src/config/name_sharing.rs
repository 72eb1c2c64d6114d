//! Entries of `shareName` and `declineName` of a provider: which other users may serve its name too, and
//! whose requests for that are not shown any more.

use wire::limits::SHARES;
use wire::names::check_text;

/// Key of the users and groups that may serve a provider's name too; sent with register.
pub const SHARE: &str = "shareName";
/// Key of the users whose requests for a provider's name are not shown; never sent.
pub const DECLINE: &str = "declineName";

/// Entry for every user.
const EVERY_USER: &str = "*";
/// Prefix of an entry that names a group.
const GROUP: &str = "group:";

/// Checks an entry of `shareName`: `<user>`, `group:<group>` or `*`.
///
/// # Errors
/// The name is empty, has unprintable characters, or begins or ends with a space; a sentence for
/// people.
pub fn check_share(entry: &str) -> Result<(), String> {
    match entry.strip_prefix(GROUP) {
        Some(group) => check_name_of("a group", group),
        None if entry == EVERY_USER => Ok(()),
        None => check_user(entry),
    }
}

/// Checks an entry of `declineName`: the name of one user.
///
/// # Errors
/// It is a group or `*`, or no valid name; a sentence for people.
pub fn check_user(user: &str) -> Result<(), String> {
    if user == EVERY_USER || user.starts_with(GROUP) {
        return Err(format!("{user:?} names more than one user"));
    }
    check_name_of("a user", user)
}

fn check_name_of(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{what} must have a name"));
    }
    if name.trim() != name {
        return Err(format!("{what} must not begin or end with a space"));
    }
    check_text(what, name)
}

/// Checks that a list of so many entries has room for one more.
///
/// # Errors
/// The list is full; a sentence with the limit.
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
    fn a_name_is_shared_with_users_groups_or_everybody_and_declined_for_one_user() {
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
