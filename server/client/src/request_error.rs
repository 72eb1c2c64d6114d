//! Why a request failed before a response came, in words for people. URLs are left out.

use std::error::Error;

/// Describes the failure, for example "cannot be reached: Connection refused (os error 111)".
#[must_use]
pub fn describe(error: &reqwest::Error) -> String {
    let cause = root_cause(error);
    let kind = if error.is_timeout() { "no response in time" } else { "cannot be reached" };
    if std::ptr::eq(cause, error as &dyn Error) {
        kind.to_owned()
    } else {
        format!("{kind}: {cause}")
    }
}

/// Returns the innermost cause of an error, which names what happened.
#[must_use]
pub fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
