//! The commands of the `mcpd` binary. The server itself is in the library.

pub(crate) mod database;
pub(crate) mod out;
pub(crate) mod serving;
pub(crate) mod tokens;
