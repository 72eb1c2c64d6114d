//! Shared by the programs that call mcpd (`mcpctl`, the registrar, `mcplocal-agent`): the rule for
//! server URLs, the HTTP client with its timeouts, bounded reading of responses, the token prompt,
//! private files and terminal output.
//!
//! Not here: mcpd's endpoints, and where a program stores its settings and its token.

pub mod environment;
pub mod http;
pub mod limits;
pub mod private_file;
pub mod request_error;
pub mod response;
pub mod server_url;
pub mod terminal;
pub mod token_prompt;
