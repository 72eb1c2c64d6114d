//! `token create`, `token pair`, `token list` and `token revoke`.

use crate::client::Client;
use crate::out;
use crate::table::{age, moment, print, table};
use crate::{CreateToken, Output};
use anyhow::bail;
use reqwest::Method;
use wire::paths::{PAIRINGS, TOKENS};
use wire::token::{CreateToken as Wish, CreatedToken, Pairing, TokenInfo, TokenList};

const DAY: u64 = 24 * 3600;

pub(crate) async fn create(client: &Client, wish: &CreateToken) -> anyhow::Result<()> {
    let body = body(wish);
    let created: CreatedToken =
        client.json(client.request(Method::POST, TOKENS).json(&body)).await?;
    // The token alone goes to stdout, so that a script can take it.
    out::line(created.token);
    eprintln!("Keep it now: it is not shown again. Its id is {}.", created.info.id);
    Ok(())
}

pub(crate) async fn pair(client: &Client, wish: &CreateToken) -> anyhow::Result<()> {
    let body = body(wish);
    let pairing: Pairing = client.json(client.request(Method::POST, PAIRINGS).json(&body)).await?;
    out::line(&pairing.code);
    eprintln!("It works once, until {}.", moment(pairing.expires));
    Ok(())
}

fn body(wish: &CreateToken) -> Wish {
    Wish {
        user: wish.user.clone(),
        scopes: wish.scope.clone(),
        label: wish.label.clone(),
        expires_in_seconds: wish.expires_in_days.map(|days| u64::from(days) * DAY),
        groups: Vec::new(),
    }
}

pub(crate) async fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let list: TokenList = client.json(client.request(Method::GET, TOKENS)).await?;
    match output {
        Output::Json => out::line(serde_json::to_string_pretty(&list.tokens)?),
        Output::Yaml => out::text(serde_yaml_ng::to_string(&list.tokens)?),
        Output::Table | Output::Wide => {
            let mut rows = table(&["ID", "USER", "SCOPES", "LABEL", "AGE", "USED", "STATE"]);
            for token in &list.tokens {
                rows.add_row(row(token));
            }
            print(&rows);
        }
    }
    Ok(())
}

fn row(token: &TokenInfo) -> Vec<String> {
    let state = match (token.revoked, token.expires) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) => format!("until {}", moment(at)),
        (None, None) => "valid".to_owned(),
    };
    let label = if token.label.is_empty() { "-" } else { &token.label };
    vec![
        token.id.clone(),
        token.user.clone(),
        token.scopes.join(","),
        label.to_owned(),
        age(token.created),
        token.last_used.map_or_else(|| "never".into(), |at| format!("{} ago", age(at))),
        state,
    ]
}

pub(crate) async fn revoke(client: &Client, id: &str) -> anyhow::Result<()> {
    if !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        bail!("{id:?} is no token id; `mcpctl token list` shows them");
    }
    client.send(client.request(Method::DELETE, &format!("{TOKENS}/{id}"))).await?;
    out::line(format_args!("{id} is revoked."));
    Ok(())
}
