//! `get llm` and `describe llm`.

use crate::Output;
use crate::client::Client;
use crate::out;
use crate::table::{add, age, moment, print, table};
use comfy_table::Table;
use reqwest::Method;
use std::time::Duration;
use wire::catalogue::{Catalogue, LlmInfo};
use wire::paths;

/// Between looks while watching.
const WATCH_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn get(
    client: &Client,
    name: Option<&str>,
    output: Output,
    watch: bool,
) -> anyhow::Result<()> {
    let mut shown: Option<Vec<LlmInfo>> = None;
    loop {
        let llms = fetch(client, name).await?;
        if shown.as_ref() != Some(&llms) {
            show(&llms, output)?;
        }
        if !watch {
            return Ok(());
        }
        shown = Some(llms);
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn fetch(client: &Client, name: Option<&str>) -> anyhow::Result<Vec<LlmInfo>> {
    match name {
        Some(name) => Ok(vec![one(client, name).await?]),
        None => {
            let list: Catalogue = client.json(client.request(Method::GET, paths::LLMS)).await?;
            Ok(list.llms)
        }
    }
}

async fn one(client: &Client, name: &str) -> anyhow::Result<LlmInfo> {
    let path = format!("{}/{name}", paths::LLMS);
    client.json(client.request(Method::GET, &path)).await
}

fn show(llms: &[LlmInfo], output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => out::json(&llms)?,
        Output::Yaml => out::yaml(&llms)?,
        Output::Table | Output::Wide if llms.is_empty() => {
            out::note("No models: none is published, or your token allows none.");
        }
        Output::Table => print(&narrow(llms)),
        Output::Wide => print(&wide(llms)),
    }
    Ok(())
}

fn narrow(llms: &[LlmInfo]) -> Table {
    let mut table = table(&["NAME", "KIND", "STATUS", "MODEL", "OWNER", "AGE"]);
    for llm in llms {
        add(&mut table, &common(llm));
    }
    table
}

fn wide(llms: &[LlmInfo]) -> Table {
    let mut table = table(&[
        "NAME",
        "KIND",
        "STATUS",
        "MODEL",
        "OWNER",
        "AGE",
        "TYPE",
        "IN-FLIGHT",
        "QUEUED",
        "POOL",
        "INSTANCE",
        "SINCE",
        "REASON",
    ]);
    for llm in llms {
        let mut row = common(llm);
        row.extend([
            or_dash(Some(&llm.backend)),
            format!("{}/{}", llm.in_flight, llm.max_concurrency),
            llm.queued.to_string(),
            or_dash(llm.pool.as_deref()),
            or_dash(llm.instance.as_deref()),
            age(llm.since),
            or_dash(llm.reason.as_deref()),
        ]);
        add(&mut table, &row);
    }
    table
}

fn common(llm: &LlmInfo) -> Vec<String> {
    vec![
        llm.name.clone(),
        llm.kind.clone(),
        status(llm),
        or_dash(llm.model.as_deref()),
        or_dash(Some(&llm.owner)),
        age(llm.created),
    ]
}

/// Two facts in one word: the backend's state, and whether its publisher is there.
fn status(llm: &LlmInfo) -> String {
    let word = if llm.waking { "waking" } else { llm.status.as_str() };
    if llm.connected || word == "inactive" { word.to_owned() } else { format!("{word}, away") }
}

fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

pub(crate) async fn describe(client: &Client, name: &str) -> anyhow::Result<()> {
    let llm = one(client, name).await?;
    let mut lines = vec![
        ("Name", llm.name.clone()),
        ("Kind", llm.kind.clone()),
        ("Status", format!("{} since {}", status(&llm), moment(llm.since))),
        ("Reason", or_dash(llm.reason.as_deref())),
        ("Model", or_dash(llm.model.as_deref())),
        ("Backend", or_dash(Some(&llm.backend))),
        ("Description", or_dash(llm.description.as_deref())),
        ("Tier", or_dash(llm.tier.as_deref())),
        ("Pool", or_dash(llm.pool.as_deref())),
        ("Owner", or_dash(Some(&llm.owner))),
        ("Instance", or_dash(llm.instance.as_deref())),
        ("Created", moment(llm.created)),
        ("In flight", format!("{} of {}", llm.in_flight, llm.max_concurrency)),
        ("Queued", llm.queued.to_string()),
    ];
    lines.extend(llm.context_length.map(|tokens| ("Context", format!("{tokens} tokens"))));
    lines.extend(llm.wake_ms.map(|ms| ("Wakes in", format!("about {:.1} s", ms as f64 / 1000.0))));
    for (label, value) in lines {
        out::line(format_args!("{label:12} {value}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{narrow, status};
    use wire::catalogue::{LlmInfo, LlmStatus};

    fn llm() -> LlmInfo {
        LlmInfo {
            name: "qwen3-8b".into(),
            kind: "virtual".into(),
            status: LlmStatus::Hibernating,
            connected: true,
            model: Some("q4".into()),
            owner: "mia".into(),
            created: u64::MAX,
            ..LlmInfo::default()
        }
    }

    #[test]
    fn the_table_has_the_columns_that_scripts_know() {
        let lines: Vec<String> = narrow(&[llm()]).lines().map(|l| l.trim_end().into()).collect();
        assert_eq!(
            lines,
            [
                "NAME      KIND     STATUS       MODEL  OWNER  AGE",
                "qwen3-8b  virtual  hibernating  q4     mia    0s",
            ]
        );
    }

    #[test]
    fn a_model_whose_publisher_is_away_says_so() {
        assert_eq!(status(&LlmInfo { connected: false, ..llm() }), "hibernating, away");
        assert_eq!(status(&LlmInfo { waking: true, ..llm() }), "waking");
    }
}
