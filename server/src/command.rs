//! What the `mcpd` binary does on a person's command. The server itself is the library's.

pub(crate) mod database;
pub(crate) mod out;
pub(crate) mod serving;
pub(crate) mod tokens;
