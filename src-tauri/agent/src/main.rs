//! `mcplocal-agent`: publishes from machines without a desktop, and offers the tray's functions on
//! the command line. Arguments are here, each command in its own file.

mod doctor;
mod install;
mod login;
mod publish;
mod run;
mod share;
mod signals;
mod status;
mod takeover;
mod wake;

use clap::{Parser, Subcommand};
use client::terminal;
use keychain::Keychain;
use registrar::account::Storage;
use registrar::home::Home;
use registrar::logging;
use std::process::ExitCode;

/// Publishes this machine's language models on an mcpd server, as set in ~/.mcpctl/config.json.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish in the foreground until stopped
    Run,
    /// Show what is published and its state
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Switch a provider's publishing on
    Publish {
        /// Name of the provider in config.json
        name: String,
        /// Publish it under this name; requests to the backend stay the same
        #[arg(long = "as", value_name = "NEW")]
        new: Option<String>,
    },
    /// Switch a provider's publishing off
    Unpublish {
        /// Name of the provider in config.json
        name: String,
    },
    /// Let another user publish under a provider's name too
    Share {
        /// Name of the provider in config.json
        name: String,
        /// User, group:GROUP, or * for everybody
        #[arg(long, allow_hyphen_values = true)]
        with: String,
    },
    /// Undo `share`
    Unshare {
        /// Name of the provider in config.json
        name: String,
        /// The value that was given to `share`
        #[arg(long, allow_hyphen_values = true)]
        with: String,
    },
    /// Hide a user's request for a provider's name
    Decline {
        /// Name of the provider in config.json
        name: String,
        /// User who requests the name
        #[arg(long, allow_hyphen_values = true)]
        user: String,
    },
    /// Take the session over from another machine
    Takeover,
    /// Set the server and store a token for it, read from a prompt or stdin
    Login {
        /// Server URL, for example https://mcpd.example.com
        #[arg(long)]
        url: String,
        /// Pairing code from the server's admin, for example K7QM-3XTP-9RWD, instead of a token
        #[arg(long)]
        code: Option<String>,
        /// Store the token in a private file (0600) instead of the keychain
        #[arg(long)]
        insecure_storage: bool,
    },
    /// Delete the token on this machine
    Logout,
    /// Wake a provider's backend with its recipe
    Wake {
        /// Name of the provider in config.json
        name: String,
        /// Run the recipe now, without mcpd, and show each step
        #[arg(long, required = true)]
        test: bool,
    },
    /// Find problems and show how to fix them
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start with the user session (systemd user unit, LaunchAgent or Run key)
    Install,
    /// Undo `install`
    Uninstall,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::to_stderr();
    // One thread: a request needs a few microseconds here, and waking another thread costs more.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::note(format_args!("the program cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run_command(arguments.command));
    // Does not wait for a DNS lookup that is still running on another thread.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            terminal::note(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run_command(command: Command) -> anyhow::Result<ExitCode> {
    let home = Home::from_env()?;
    match command {
        Command::Run => run::run(home).await?,
        Command::Status { json } => return status::status(&home, json),
        Command::Publish { name, new: None } => publish::publish(&home, name, true)?,
        Command::Publish { name, new: Some(new) } => publish::publish_as(&home, name, new)?,
        Command::Unpublish { name } => publish::publish(&home, name, false)?,
        Command::Share { name, with } => share::share(&home, name, with, true)?,
        Command::Unshare { name, with } => share::share(&home, name, with, false)?,
        Command::Decline { name, user } => share::decline(&home, name, user)?,
        Command::Takeover => takeover::take_over(&home)?,
        Command::Login { url, code, insecure_storage } => {
            let storage = if insecure_storage { Storage::File } else { Storage::Keychain };
            login::login(&home, &url, code.as_deref(), storage, &Keychain::os()).await?;
        }
        Command::Logout => login::logout(&home, &Keychain::os()).await?,
        Command::Wake { name, test: _ } => wake::test(&home, &name).await?,
        Command::Doctor { json } => return doctor::doctor(&home, json).await,
        Command::Install => install::install()?,
        Command::Uninstall => install::uninstall()?,
    }
    Ok(ExitCode::SUCCESS)
}
