//! `mcpctl`: mcpd from the command line. Arguments and exit codes live here; each command is a room
//! of its own.

mod chat;
mod client;
mod llms;
mod names;
mod out;
mod settings;
mod table;
mod tokens;

use clap::{Parser, Subcommand, ValueEnum};
use client::Client;
use settings::Settings;
use std::process::ExitCode;

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Looks at the catalogue of an mcpd server, chats with a model, administers keys.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// The server; else the configured one
    #[arg(long, global = true, env = "MCPCTL_URL")]
    url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List resources
    #[command(subcommand)]
    Get(Get),
    /// Show everything that is known of one resource
    #[command(subcommand)]
    Describe(Describe),
    /// Ask a model; the answer streams
    Chat(chat::Chat),
    /// Administer keys (needs the scope admin)
    #[command(subcommand)]
    Token(tokens::Command),
    /// Whose a name is, and who may serve it (sharing and freeing need the scope admin)
    #[command(subcommand)]
    Name(Name),
    /// The server and the token that are used
    #[command(subcommand)]
    Config(Config),
}

#[derive(Debug, Subcommand)]
enum Get {
    /// The models of the catalogue
    #[command(alias = "llms")]
    Llm {
        /// Only this one
        name: Option<String>,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
        /// Print again whenever something changes
        #[arg(short, long)]
        watch: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Describe {
    /// One model of the catalogue
    Llm {
        /// Its name
        name: String,
    },
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

#[derive(Debug, Subcommand)]
enum Name {
    /// List names of models and pools with their owners
    List {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Let other users serve a name; they form a pool with its owner
    Share {
        /// The name
        name: String,
        /// A user, group:GROUP or '*'; several with commas. The list replaces the last one
        #[arg(long, value_delimiter = ',', required = true)]
        with: Vec<String>,
    },
    /// Take back what an admin shared; what its owner shares stays
    Unshare {
        /// The name
        name: String,
    },
    /// Take a name from its owner, for users who have left; their models of it are withdrawn
    Free {
        /// The name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Use this server
    SetUrl {
        /// As https://mcpd.example.com
        url: String,
    },
    /// Keep a token for the server; it is read from stdin or asked for, never an argument
    SetToken {
        /// Keep it in a private file (0600) instead of the keychain
        #[arg(long)]
        insecure_storage: bool,
    },
    /// Show what is used, never the token
    Show,
    /// Forget server and token
    Unset,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(arguments).await {
        Ok(code) => code,
        Err(error) => {
            out::note(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn perform(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(arguments.url)?;
    match arguments.command {
        Command::Get(Get::Llm { name, output, watch }) => {
            let client = Client::new(&settings).await?;
            llms::get(&client, name.as_deref(), output, watch).await?;
        }
        Command::Describe(Describe::Llm { name }) => {
            llms::describe(&Client::new(&settings).await?, &name).await?;
        }
        Command::Chat(chat) => {
            let client = Client::new(&settings).await?;
            tokio::select! {
                // Dropping the request tells the server, and it stops the backend.
                _ = tokio::signal::ctrl_c() => {
                    out::line("");
                    return Ok(ExitCode::from(INTERRUPTED));
                }
                chatted = chat::chat(&client, &chat) => chatted?,
            }
        }
        Command::Token(command) => {
            tokens::perform(&Client::new(&settings).await?, command).await?;
        }
        Command::Name(name) => {
            let client = Client::new(&settings).await?;
            match name {
                Name::List { output } => names::list(&client, output).await?,
                Name::Share { name, with } => names::share(&client, &name, &with).await?,
                Name::Unshare { name } => names::share(&client, &name, &[]).await?,
                Name::Free { name } => names::free(&client, &name).await?,
            }
        }
        Command::Config(Config::SetUrl { url }) => settings.set_url(&url)?,
        Command::Config(Config::SetToken { insecure_storage }) => {
            settings.set_token(insecure_storage).await?;
        }
        Command::Config(Config::Show) => settings.show().await,
        Command::Config(Config::Unset) => settings.unset().await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_token_can_never_be_an_argument() {
        let given = ["mcpctl", "config", "set-token", "mcp_inf_secret"];
        assert!(Arguments::try_parse_from(given).is_err());
    }
}
