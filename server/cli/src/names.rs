//! `name list`, `name share`, `name unshare` and `name free`.

use crate::Output;
use crate::client::Client;
use crate::out;
use crate::table::{add, moment, print, table};
use anyhow::Context as _;
use reqwest::Method;
use wire::names::{NameInfo, NameList, ShareName};
use wire::paths::NAMES;

pub(crate) async fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let list: NameList = client.json(client.request(Method::GET, NAMES)).await?;
    match output {
        Output::Json => out::json(&list.names)?,
        Output::Yaml => out::yaml(&list.names)?,
        Output::Table | Output::Wide => {
            let headings =
                ["NAME", "OWNER", "SERVED BY", "SHARED WITH", "REQUESTED BY", "RESERVED"];
            let mut rows = table(&headings);
            list.names.iter().for_each(|name| add(&mut rows, &row(name)));
            print(&rows);
        }
    }
    Ok(())
}

fn row(name: &NameInfo) -> Vec<String> {
    let shared: Vec<String> =
        name.shared_by_owner.iter().chain(&name.shared_by_admin).cloned().collect();
    let list = |users: &[String]| if users.is_empty() { "-".into() } else { users.join(",") };
    vec![
        name.name.clone(),
        name.owner.clone(),
        list(&name.served_by),
        list(&shared),
        list(&name.requested_by),
        name.reserved_until.map_or_else(|| "-".into(), |at| format!("until {}", moment(at))),
    ]
}

/// Shares a name with these users and groups; the list replaces the last one.
pub(crate) async fn share(client: &Client, name: &str, with: &[String]) -> anyhow::Result<()> {
    let path = format!("{}/share", path(name)?);
    let body = ShareName { with: with.to_vec() };
    let shared: NameInfo = client.json(client.request(Method::PUT, &path).json(&body)).await?;
    let with = shared.shared_by_admin.join(", ");
    if with.is_empty() {
        out::line(format_args!("{} is shared by its owner only.", shared.name));
    } else {
        out::line(format_args!("{} may be served by {} and {with}.", shared.name, shared.owner));
    }
    Ok(())
}

pub(crate) async fn free(client: &Client, name: &str) -> anyhow::Result<()> {
    client.send(client.request(Method::DELETE, &path(name)?)).await?;
    out::line(format_args!("{name} is free."));
    Ok(())
}

fn path(name: &str) -> anyhow::Result<String> {
    let name = wire::names::normalise(name).map_err(anyhow::Error::msg);
    Ok(format!("{NAMES}/{}", name.context("this is not a name")?))
}
