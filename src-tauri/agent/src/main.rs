//! `mcplocal-agent`: publishes from machines without a desktop, and does by hand what the tray does
//! by click. Arguments and exit codes live here; each command is a room of its own.

mod install;
mod login;
mod out;
mod publish;
mod run;
mod show;
mod wake;

use clap::{Parser, Subcommand};
use keychain::Keychain;
use registrar::account::Storage;
use registrar::home::Home;
use registrar::{doctor, logging};
use std::process::ExitCode;

/// Publishes the language models of this machine at mcpd, as ~/.mcpctl/config.json says.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish in the foreground until told to stop
    Run,
    /// Show what is published and how it is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Switch a provider's publishing on
    Publish {
        /// Name of the provider in config.json
        name: String,
        /// Publish it under this name instead; the backend is asked as before
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
        /// A user, group:GROUP, or * for everybody
        #[arg(long, allow_hyphen_values = true)]
        with: String,
    },
    /// Take back what share did
    Unshare {
        /// Name of the provider in config.json
        name: String,
        /// As it was shared
        #[arg(long, allow_hyphen_values = true)]
        with: String,
    },
    /// Do not show a user's request for a provider's name any more
    Decline {
        /// Name of the provider in config.json
        name: String,
        /// The user who asks
        #[arg(long, allow_hyphen_values = true)]
        user: String,
    },
    /// Publish from this machine although another one holds the session
    Takeover,
    /// Keep a server and its token; the token is read from stdin or asked for, never an argument
    Login {
        /// The server, as https://mcpd.example.com
        #[arg(long)]
        url: String,
        /// A pairing code of the server's admin, as K7QM-3XTP-9RWD, instead of a token
        #[arg(long)]
        code: Option<String>,
        /// Keep the token in a private file (0600) instead of the keychain
        #[arg(long)]
        insecure_storage: bool,
    },
    /// Forget the token
    Logout,
    /// Wake a provider's backend by its recipe
    Wake {
        /// Name of the provider in config.json
        name: String,
        /// Show each step; run the recipe here and now, without mcpd
        #[arg(long, required = true)]
        test: bool,
    },
    /// Look for what is wrong and say how to fix it
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Start with the session (a systemd user unit, a LaunchAgent, or the Run key)
    Install,
    /// Take back what install did
    Uninstall,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::to_stderr();
    if matches!(arguments.command, Command::Status { .. }) {
        // `mcplocal-agent status | head` ends as other programs do. Not where a socket is open: a
        // server that hangs up would end us too.
        sigpipe::reset();
    }
    // One thread: a request passes through here in a few microseconds, and waking another costs more.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::complain(format!("the program cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let performed = runtime.block_on(perform(arguments.command));
    // A host name that is still being looked up would hold up the end.
    runtime.shutdown_background();
    match performed {
        Ok(code) => code,
        Err(error) => {
            out::complain(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn perform(command: Command) -> anyhow::Result<ExitCode> {
    let home = Home::from_env()?;
    match command {
        Command::Run => run::run(home).await?,
        Command::Status { json } => return show::status(&home, json),
        Command::Publish { name, new: None } => publish::switch(&home, name, true)?,
        Command::Publish { name, new: Some(new) } => publish::publish_as(&home, name, new)?,
        Command::Unpublish { name } => publish::switch(&home, name, false)?,
        Command::Share { name, with } => publish::share(&home, name, with, true)?,
        Command::Unshare { name, with } => publish::share(&home, name, with, false)?,
        Command::Decline { name, user } => publish::decline(&home, name, user)?,
        Command::Takeover => publish::take_over(&home)?,
        Command::Login { url, code, insecure_storage } => {
            let storage = if insecure_storage { Storage::File } else { Storage::Keychain };
            login::login(&home, &url, code.as_deref(), storage, &Keychain::os()).await?;
        }
        Command::Logout => login::logout(&home, &Keychain::os()).await?,
        Command::Wake { name, test: _ } => wake::test(&home, &name).await?,
        Command::Doctor { json } => {
            let findings = doctor::examine(&home, &Keychain::os()).await;
            return show::findings(&findings, json);
        }
        Command::Install => install::install()?,
        Command::Uninstall => install::uninstall()?,
    }
    Ok(ExitCode::SUCCESS)
}
