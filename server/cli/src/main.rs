//! `mcpctl`: command line for mcpd. Arguments and exit codes are here, each command in its own
//! file.

mod api;
mod chat;
mod limits;
mod llms;
mod names;
mod output;
mod settings;
mod table;
mod tokens;

use api::Api;
use clap::{Parser, Subcommand};
use client::terminal;
use output::Output;
use settings::Settings;
use std::process::ExitCode;

/// Exit code after Ctrl-C, by the convention of shells.
const INTERRUPTED: u8 = 130;

/// Lists the models of an mcpd server, chats with them, and manages tokens and names.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// URL of the server [default: the configured one]
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
    /// Show one resource in full
    #[command(subcommand)]
    Describe(Describe),
    /// Chat with a model; the response streams
    Chat(chat::Chat),
    /// Manage tokens and pairing codes (needs scope admin)
    #[command(subcommand)]
    Token(tokens::Command),
    /// Manage names: owners and sharing (changes need scope admin)
    #[command(subcommand)]
    Name(Name),
    /// Configure the server and the token
    #[command(subcommand)]
    Config(Config),
}

#[derive(Debug, Subcommand)]
enum Get {
    /// List models
    #[command(alias = "llms")]
    Llm {
        /// List this model only
        name: Option<String>,
        /// Output format
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
        /// Keep running and print every change
        #[arg(short, long)]
        watch: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Describe {
    /// Show one model
    Llm {
        /// Name of the model
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Name {
    /// List the names of models and pools with their owners
    List {
        /// Output format
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Let other users serve a name, in a pool with its owner
    Share {
        /// Name of a model or pool
        name: String,
        /// Users, group:GROUP or '*', separated by commas; replaces the previous list
        #[arg(long, value_delimiter = ',', required = true)]
        with: Vec<String>,
    },
    /// Undo `share`; what the owner shares stays
    Unshare {
        /// Name of a model or pool
        name: String,
    },
    /// Release a name from its owner, for users who have left; withdraws their models
    Free {
        /// Name of a model or pool
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Set the server
    SetUrl {
        /// Server URL, for example https://mcpd.example.com
        url: String,
    },
    /// Store a token for the server, read from a prompt or stdin
    SetToken {
        /// Store it in a private file (0600) instead of the keychain
        #[arg(long)]
        insecure_storage: bool,
    },
    /// Show the configuration without the token
    Show,
    /// Delete server and token
    Unset,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            terminal::note(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(arguments.url)?;
    match arguments.command {
        Command::Get(Get::Llm { name, output, watch }) => {
            let api = Api::new(&settings).await?;
            llms::get(&api, name.as_deref(), output, watch).await?;
        }
        Command::Describe(Describe::Llm { name }) => {
            llms::describe(&Api::new(&settings).await?, &name).await?;
        }
        Command::Chat(chat) => {
            let api = Api::new(&settings).await?;
            tokio::select! {
                // The server sees the closed connection and stops the backend.
                _ = tokio::signal::ctrl_c() => {
                    terminal::line("");
                    return Ok(ExitCode::from(INTERRUPTED));
                }
                chatted = chat::chat(&api, &chat) => chatted?,
            }
        }
        Command::Token(command) => {
            tokens::run(&Api::new(&settings).await?, command).await?;
        }
        Command::Name(name) => {
            let api = Api::new(&settings).await?;
            match name {
                Name::List { output } => names::list(&api, output).await?,
                Name::Share { name, with } => names::share(&api, &name, &with).await?,
                Name::Unshare { name } => names::share(&api, &name, &[]).await?,
                Name::Free { name } => names::free(&api, &name).await?,
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
