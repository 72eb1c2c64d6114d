//! `token …`: creates, lists and revokes tokens and pairing codes.

use crate::api::Api;
use crate::output::{self, Output};
use crate::table::{add, age, local_time, or_dash, print, print_rows, table};
use anyhow::bail;
use clap::{Args, Subcommand};
use client::terminal;
use comfy_table::Table;
use reqwest::Method;
use wire::paths::{PAIRINGS, TOKENS};
use wire::token::{
    CreateToken as NewToken, CreatedToken, Pairing, PairingInfo, PairingList, RevokedTokens,
    TokenInfo, TokenList,
};

const SECONDS_PER_DAY: u64 = 24 * 3600;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a token; it is shown once
    Create(CreateToken),
    /// Create a pairing code, which can be exchanged for a token once, within ten minutes
    Pair(CreateToken),
    /// List unused pairing codes, without the codes themselves
    Pairings {
        /// Output format
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Revoke a pairing code
    Unpair {
        /// Id of the pairing code, as listed by `mcpctl token pairings`
        id: String,
    },
    /// List tokens, newest first, without the tokens themselves
    List {
        /// Only tokens of this user
        #[arg(long)]
        user: Option<String>,
        /// Output format
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Revoke a token, or all tokens of a user; takes effect within a second
    Revoke {
        /// Id of the token, as listed by `mcpctl token list`
        #[arg(required_unless_present = "user")]
        id: Option<String>,
        /// All tokens and pairing codes of this user
        #[arg(long, conflicts_with = "id")]
        user: Option<String>,
    },
}

/// Arguments of `create` and `pair`.
#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    /// User that the token acts for
    #[arg(long)]
    user: String,
    /// infer, infer:NAME, publish or admin; separated by commas
    #[arg(long, value_delimiter = ',', required = true)]
    scope: Vec<String>,
    /// Group of the user, for names shared with groups; can be repeated
    #[arg(long, value_delimiter = ',')]
    group: Vec<String>,
    /// Description of the token
    #[arg(long)]
    label: Option<String>,
    /// Days until the token expires [default: never]
    #[arg(long)]
    expires_in_days: Option<u32>,
}

pub(crate) async fn run(api: &Api, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(arguments) => create(api, arguments).await,
        Command::Pair(arguments) => pair(api, arguments).await,
        Command::Pairings { output } => pairings(api, output).await,
        Command::Unpair { id } => unpair(api, &id).await,
        Command::List { user, output } => list(api, user.as_deref(), output).await,
        Command::Revoke { id: Some(id), .. } => revoke(api, &id).await,
        Command::Revoke { id: None, user } => revoke_user(api, &user.unwrap_or_default()).await,
    }
}

async fn create(api: &Api, arguments: CreateToken) -> anyhow::Result<()> {
    let body = new_token(arguments);
    let created: CreatedToken = api.json(api.request(Method::POST, TOKENS).json(&body)).await?;
    // Only the token goes to stdout, for scripts.
    terminal::line(created.token);
    terminal::note(format_args!(
        "Store it now: it is not shown again. Its id is {}.",
        created.info.id
    ));
    Ok(())
}

async fn pair(api: &Api, arguments: CreateToken) -> anyhow::Result<()> {
    let body = new_token(arguments);
    let pairing: Pairing = api.json(api.request(Method::POST, PAIRINGS).json(&body)).await?;
    terminal::line(&pairing.code);
    let (id, until) = (&pairing.info.id, local_time(pairing.info.expires));
    terminal::note(format_args!(
        "It can be used once, until {until}. `mcpctl token unpair {id}` revokes it."
    ));
    Ok(())
}

fn new_token(arguments: CreateToken) -> NewToken {
    NewToken {
        user: arguments.user,
        scopes: arguments.scope,
        groups: arguments.group,
        label: arguments.label,
        expires_in_seconds: arguments.expires_in_days.map(|days| u64::from(days) * SECONDS_PER_DAY),
    }
}

async fn pairings(api: &Api, output: Output) -> anyhow::Result<()> {
    let list: PairingList = api.json(api.request(Method::GET, PAIRINGS)).await?;
    match output {
        Output::Json => terminal::json(&list.pairings)?,
        Output::Yaml => output::yaml(&list.pairings)?,
        Output::Table | Output::Wide if list.pairings.is_empty() => {
            terminal::note("There are no unused pairing codes.");
        }
        Output::Table | Output::Wide => {
            let headings = ["ID", "USER", "SCOPES", "GROUPS", "LABEL", "MADE BY", "UNTIL"];
            let mut rows = table(&headings);
            list.pairings.iter().for_each(|pairing| add(&mut rows, &pairing_cells(pairing)));
            print(&rows);
        }
    }
    Ok(())
}

fn pairing_cells(pairing: &PairingInfo) -> Vec<String> {
    vec![
        pairing.id.clone(),
        pairing.user.clone(),
        pairing.scopes.join(","),
        or_dash(pairing.groups.join(",").as_str()),
        or_dash(pairing.label.as_str()),
        pairing.made_by.clone(),
        local_time(pairing.expires),
    ]
}

async fn unpair(api: &Api, id: &str) -> anyhow::Result<()> {
    check_id(id, "mcpctl token pairings")?;
    api.send(api.request(Method::DELETE, &format!("{PAIRINGS}/{id}"))).await?;
    terminal::line(format_args!("Pairing code {id} is revoked."));
    Ok(())
}

/// Fetches the list page by page; a table is printed as the pages arrive.
async fn list(api: &Api, user: Option<&str>, output: Output) -> anyhow::Result<()> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    let mut print_page: fn(&Table) = print;
    loop {
        let parameters = [("user", user), ("after", after.as_deref())];
        let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let request = api.request_with(Method::GET, TOKENS, parameters);
        let page: TokenList = api.json(request).await?;
        match output {
            Output::Json | Output::Yaml => all.extend(page.tokens),
            Output::Table | Output::Wide => {
                print_page(&rows(&page.tokens));
                print_page = print_rows;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match output {
        Output::Json => Ok(terminal::json(&all)?),
        Output::Yaml => output::yaml(&all),
        Output::Table | Output::Wide => Ok(()),
    }
}

fn rows(tokens: &[TokenInfo]) -> Table {
    let headings = ["ID", "USER", "SCOPES", "GROUPS", "LABEL", "AGE", "USED", "STATE"];
    let mut rows = table(&headings);
    tokens.iter().for_each(|token| add(&mut rows, &cells(token)));
    rows
}

fn cells(token: &TokenInfo) -> Vec<String> {
    let state = match (token.revoked, token.expires) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) => format!("until {}", local_time(at)),
        (None, None) => "valid".to_owned(),
    };
    vec![
        token.id.clone(),
        token.user.clone(),
        token.scopes.join(","),
        or_dash(token.groups.join(",").as_str()),
        or_dash(token.label.as_str()),
        age(token.created),
        token.last_used.map_or_else(|| "never".into(), |at| format!("{} ago", age(at))),
        state,
    ]
}

async fn revoke(api: &Api, id: &str) -> anyhow::Result<()> {
    check_id(id, "mcpctl token list")?;
    api.send(api.request(Method::DELETE, &format!("{TOKENS}/{id}"))).await?;
    terminal::line(format_args!("Token {id} is revoked."));
    Ok(())
}

async fn revoke_user(api: &Api, user: &str) -> anyhow::Result<()> {
    let request = api.request_with(Method::DELETE, TOKENS, [("user", user)]);
    let revoked: RevokedTokens = api.json(request).await?;
    let RevokedTokens { tokens, pairings } = revoked;
    terminal::line(format_args!(
        "{user}: tokens revoked: {tokens}; pairing codes revoked: {pairings}."
    ));
    Ok(())
}

/// Refuses a text that would change the URL path it is put into.
fn check_id(id: &str, shown_by: &str) -> anyhow::Result<()> {
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        bail!("{id:?} is not an id; `{shown_by}` lists them");
    }
    Ok(())
}
