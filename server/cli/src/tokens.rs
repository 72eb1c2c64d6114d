//! `token …`: keys and pairing codes.

use crate::Output;
use crate::client::Client;
use crate::out;
use crate::table::{add, age, moment, print, print_rows, table};
use anyhow::bail;
use clap::{Args, Subcommand};
use comfy_table::Table;
use reqwest::Method;
use wire::paths::{PAIRINGS, TOKENS};
use wire::token::{
    CreateToken as Wish, CreatedToken, Pairing, PairingInfo, PairingList, RevokedTokens, TokenInfo,
    TokenList,
};

const DAY: u64 = 24 * 3600;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key; it is shown once
    Create(CreateToken),
    /// Make a pairing code: it becomes a key where it is typed in, once, within ten minutes
    Pair(CreateToken),
    /// List the pairing codes that wait to be used, never the codes themselves
    Pairings {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Take a pairing code back
    Unpair {
        /// Its id, as `mcpctl token pairings` shows it
        id: String,
    },
    /// List keys, newest first, never their text
    List {
        /// Keys of this user only
        #[arg(long)]
        user: Option<String>,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Make a key, or all keys of a user, useless within a second
    Revoke {
        /// Its id, as `mcpctl token list` shows it
        #[arg(required_unless_present = "user")]
        id: Option<String>,
        /// Everything of this user, pairing codes too
        #[arg(long, conflicts_with = "id")]
        user: Option<String>,
    },
}

/// A key to make.
#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    /// The user that it acts for
    #[arg(long)]
    user: String,
    /// infer, infer:NAME, publish or admin; several with commas
    #[arg(long, value_delimiter = ',', required = true)]
    scope: Vec<String>,
    /// A group of the user, for names that are shared with it; may be given more than once
    #[arg(long, value_delimiter = ',')]
    group: Vec<String>,
    /// What it is for
    #[arg(long)]
    label: Option<String>,
    /// Days until it expires
    #[arg(long)]
    expires_in_days: Option<u32>,
}

pub(crate) async fn perform(client: &Client, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(wish) => create(client, wish).await,
        Command::Pair(wish) => pair(client, wish).await,
        Command::Pairings { output } => pairings(client, output).await,
        Command::Unpair { id } => unpair(client, &id).await,
        Command::List { user, output } => list(client, user.as_deref(), output).await,
        Command::Revoke { id: Some(id), .. } => revoke(client, &id).await,
        Command::Revoke { id: None, user } => revoke_user(client, &user.unwrap_or_default()).await,
    }
}

async fn create(client: &Client, wish: CreateToken) -> anyhow::Result<()> {
    let body = body(wish);
    let created: CreatedToken =
        client.json(client.request(Method::POST, TOKENS).json(&body)).await?;
    // The token alone goes to stdout, so that a script can take it.
    out::line(created.token);
    out::note(format_args!("Keep it now: it is not shown again. Its id is {}.", created.info.id));
    Ok(())
}

async fn pair(client: &Client, wish: CreateToken) -> anyhow::Result<()> {
    let body = body(wish);
    let pairing: Pairing = client.json(client.request(Method::POST, PAIRINGS).json(&body)).await?;
    out::line(&pairing.code);
    let (id, until) = (&pairing.info.id, moment(pairing.info.expires));
    out::note(format_args!(
        "It works once, until {until}. `mcpctl token unpair {id}` takes it back."
    ));
    Ok(())
}

fn body(wish: CreateToken) -> Wish {
    Wish {
        user: wish.user,
        scopes: wish.scope,
        groups: wish.group,
        label: wish.label,
        expires_in_seconds: wish.expires_in_days.map(|days| u64::from(days) * DAY),
    }
}

async fn pairings(client: &Client, output: Output) -> anyhow::Result<()> {
    let list: PairingList = client.json(client.request(Method::GET, PAIRINGS)).await?;
    match output {
        Output::Json => out::json(&list.pairings)?,
        Output::Yaml => out::yaml(&list.pairings)?,
        Output::Table | Output::Wide if list.pairings.is_empty() => {
            out::note("No pairing code waits to be used.");
        }
        Output::Table | Output::Wide => {
            let headings = ["ID", "USER", "SCOPES", "GROUPS", "LABEL", "MADE BY", "UNTIL"];
            let mut rows = table(&headings);
            list.pairings.iter().for_each(|pairing| add(&mut rows, &pairing_row(pairing)));
            print(&rows);
        }
    }
    Ok(())
}

fn pairing_row(pairing: &PairingInfo) -> Vec<String> {
    vec![
        pairing.id.clone(),
        pairing.user.clone(),
        pairing.scopes.join(","),
        or_dash(&pairing.groups.join(",")),
        or_dash(&pairing.label),
        pairing.made_by.clone(),
        moment(pairing.expires),
    ]
}

async fn unpair(client: &Client, id: &str) -> anyhow::Result<()> {
    check_id(id, "mcpctl token pairings")?;
    client.send(client.request(Method::DELETE, &format!("{PAIRINGS}/{id}"))).await?;
    out::line(format_args!("{id} is taken back."));
    Ok(())
}

/// Page by page: a table is printed as its rows come.
async fn list(client: &Client, user: Option<&str>, output: Output) -> anyhow::Result<()> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    let mut print_page: fn(&Table) = print;
    loop {
        let parameters = [("user", user), ("after", after.as_deref())];
        let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let request = client.request_with(Method::GET, TOKENS, parameters);
        let page: TokenList = client.json(request).await?;
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
        Output::Json => out::json(&all),
        Output::Yaml => out::yaml(&all),
        Output::Table | Output::Wide => Ok(()),
    }
}

fn rows(tokens: &[TokenInfo]) -> Table {
    let headings = ["ID", "USER", "SCOPES", "GROUPS", "LABEL", "AGE", "USED", "STATE"];
    let mut rows = table(&headings);
    tokens.iter().for_each(|token| add(&mut rows, &row(token)));
    rows
}

fn row(token: &TokenInfo) -> Vec<String> {
    let state = match (token.revoked, token.expires) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) => format!("until {}", moment(at)),
        (None, None) => "valid".to_owned(),
    };
    vec![
        token.id.clone(),
        token.user.clone(),
        token.scopes.join(","),
        or_dash(&token.groups.join(",")),
        or_dash(&token.label),
        age(token.created),
        token.last_used.map_or_else(|| "never".into(), |at| format!("{} ago", age(at))),
        state,
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

async fn revoke(client: &Client, id: &str) -> anyhow::Result<()> {
    check_id(id, "mcpctl token list")?;
    client.send(client.request(Method::DELETE, &format!("{TOKENS}/{id}"))).await?;
    out::line(format_args!("{id} is revoked."));
    Ok(())
}

async fn revoke_user(client: &Client, user: &str) -> anyhow::Result<()> {
    let request = client.request_with(Method::DELETE, TOKENS, [("user", user)]);
    let revoked: RevokedTokens = client.json(request).await?;
    let RevokedTokens { tokens, pairings } = revoked;
    out::line(format_args!(
        "{user}: keys revoked: {tokens}; pairing codes taken back: {pairings}."
    ));
    Ok(())
}

/// An id is a part of a path.
fn check_id(id: &str, shown_by: &str) -> anyhow::Result<()> {
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        bail!("{id:?} is no id; `{shown_by}` shows them");
    }
    Ok(())
}
