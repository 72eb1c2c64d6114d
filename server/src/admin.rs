//! Administration over HTTP: tokens, pairing codes, names.

pub(crate) mod names;
pub(crate) mod pairing;
pub(crate) mod tokens;
