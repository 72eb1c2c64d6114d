//! `mcpd token …`: administers tokens directly in the database, also beside a running server.

use super::out;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use mcpd::clock::WallClock;
use mcpd::config::Config;
use mcpd::store::{self, Fault, Store, TokenQuery};
use std::sync::Arc;
use wire::limits::TOKEN_PAGE;
use wire::token::{CreateToken, TokenInfo, TokenList};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it; its text is not shown again
    Create(Create),
    /// List tokens, newest first, without their text
    List {
        /// Tokens of this user only
        #[arg(long)]
        user: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token, or all tokens of a user; a running server notices within a second
    Revoke {
        /// Id of the token, as `list` shows it
        #[arg(required_unless_present = "user")]
        id: Option<String>,
        /// All tokens and pairing codes of this user
        #[arg(long, conflicts_with = "id")]
        user: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// User of the token; published models belong to the user, not to the token
    #[arg(long)]
    user: String,
    /// infer, infer:<name>, publish or admin; may be repeated
    #[arg(long = "scope", required = true, value_delimiter = ',')]
    scopes: Vec<String>,
    /// Group of the user, for names that are shared with groups; may be repeated
    #[arg(long = "group", value_delimiter = ',')]
    groups: Vec<String>,
    /// Note for people
    #[arg(long)]
    label: Option<String>,
    /// Days until the token expires [default: never]
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u64>,
    /// Create the database if the server has not been started yet
    #[arg(long)]
    new: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn token(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(request) => create(config, request).await,
        TokenCommand::List { user, json } => {
            list(existing(config).await?.as_ref(), user, json).await
        }
        TokenCommand::Revoke { id, user } => {
            let store = existing(config).await?;
            match (id, user) {
                (Some(id), _) => revoke(store.as_ref(), &id).await,
                (None, Some(user)) => revoke_user(store.as_ref(), &user).await,
                (None, None) => bail!("give an id, or --user"),
            }
        }
    }
}

/// Opens the server's database, which must exist.
async fn existing(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    Ok(store::open_existing(&config.database()).await?)
}

async fn create(config: &Config, request: Create) -> anyhow::Result<()> {
    let store = if request.new {
        config.make_folder()?;
        store::open(&config.database()).await?
    } else {
        match store::open_existing(&config.database()).await {
            Err(error) if error.fault == Fault::Missing => bail!(
                "{error}. Where no server has run yet, start it once with this folder, or add \
                 --new to create the database now"
            ),
            opened => opened?,
        }
    };
    let json = request.json;
    let request = CreateToken {
        user: request.user,
        scopes: request.scopes,
        groups: request.groups,
        label: request.label,
        expires_in_seconds: request.expires_in_days.map(|days| days.saturating_mul(86_400)),
    };
    let now = WallClock::system().now();
    let made = mcpd::auth::create(store.as_ref(), &request, now).await?;
    let printed = if json { out::json(&made) } else { out::line(&made.token) };
    printed.with_context(|| {
        let id = &made.info.id;
        format!("the token was created but not shown; `mcpd token revoke {id}` revokes it")
    })
}

async fn list(store: &dyn Store, user: Option<String>, json: bool) -> anyhow::Result<()> {
    let most = u32::try_from(TOKEN_PAGE)?;
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let query = TokenQuery { user: user.as_deref(), after: after.as_deref(), most };
        let page = store.tokens(&query).await?;
        after = page.last().filter(|_| page.len() == TOKEN_PAGE).map(|last| last.id.clone());
        if json {
            all.extend(page);
        } else if !page.is_empty() {
            let now = WallClock::system().now();
            let lines: Vec<String> = page.iter().map(|token| line(token, now)).collect();
            out::line(lines.join("\n"))?;
        }
        if after.is_none() {
            break;
        }
    }
    if json {
        out::json(&TokenList { tokens: all, next: None })?;
    }
    Ok(())
}

fn line(token: &TokenInfo, now: u64) -> String {
    let state = match (token.revoked, token.expires) {
        (Some(_), _) => "revoked",
        (None, Some(at)) if at <= now => "expired",
        (None, _) => "valid",
    };
    let groups = if token.groups.is_empty() { "-".to_owned() } else { token.groups.join(",") };
    format!(
        "{}  {:8} {:16} {:24} {:8} {}",
        token.id,
        state,
        token.user,
        token.scopes.join(","),
        groups,
        token.label
    )
}

async fn revoke(store: &dyn Store, id: &str) -> anyhow::Result<()> {
    if !store.revoke_token(id, WallClock::system().now()).await? {
        bail!("no token has the id {id:?}; see `mcpd token list`");
    }
    Ok(out::line(format_args!("revoked {id}"))?)
}

async fn revoke_user(store: &dyn Store, user: &str) -> anyhow::Result<()> {
    let now = WallClock::system().now();
    let revoked = store.revoke_user(user, now).await?;
    if revoked == 0 {
        bail!("{user:?} has no valid token; `mcpd token list` shows how users are spelled");
    }
    Ok(out::line(format_args!("revoked {revoked} tokens of {user}"))?)
}
