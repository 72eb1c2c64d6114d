//! `chat`: sends one prompt and prints the response as it streams. Tokens go to stdout, everything
//! else to stderr.

use crate::api::{Api, shown_message};
use crate::limits;
use anyhow::{Context as _, bail};
use clap::Args;
use client::terminal;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;
use tokio::time::Instant;
use wire::sse::{Decoder, Item};

/// Data of the event that ends a complete stream.
const DONE: &str = "[DONE]";

/// Arguments of `chat`.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// Model name, as listed by `mcpctl get llm`
    name: String,
    /// Prompt; read from stdin if it is missing
    prompt: Vec<String>,
    /// System prompt
    #[arg(long)]
    system: Option<String>,
    /// Maximum length of the response, in tokens
    #[arg(long)]
    max_tokens: Option<u32>,
    /// Sampling temperature; 0 gives the same response each time
    #[arg(long)]
    temperature: Option<f64>,
    /// Random seed
    #[arg(long)]
    seed: Option<i64>,
    /// Print time to first token and tokens per second to stderr at the end
    #[arg(long)]
    stats: bool,
}

pub(crate) async fn chat(api: &Api, arguments: &Chat) -> anyhow::Result<()> {
    let body = request_body(arguments, prompt(arguments)?);
    let sent = Instant::now();
    let request = api.request(Method::POST, "/v1/chat/completions").json(&body);
    let mut response = api.send(request).await?;
    let mut printer = Printer::new(sent);
    let mut decoder = Decoder::new(limits::EVENT, limits::EVENT);
    let (mut items, mut done) = (Vec::new(), false);
    while let Some(bytes) = response.chunk().await.context("the connection broke")? {
        decoder.feed(&bytes, &mut items);
        for item in items.drain(..) {
            match item {
                Item::Event(event) => match event?.data.as_str() {
                    DONE => done = true,
                    data => printer.print_chunk(data)?,
                },
                Item::Comment(text) => printer.print_notice(&text),
            }
        }
    }
    terminal::line("");
    if !done {
        bail!("the response is incomplete: the server closed the connection");
    }
    if arguments.stats {
        printer.print_stats();
    }
    Ok(())
}

fn prompt(arguments: &Chat) -> anyhow::Result<String> {
    if !arguments.prompt.is_empty() {
        return Ok(arguments.prompt.join(" "));
    }
    if std::io::stdin().is_terminal() {
        terminal::note("Type the prompt; end with Ctrl-D.");
    }
    let mut text = String::new();
    std::io::stdin().take(limits::PROMPT).read_to_string(&mut text)?;
    if text.trim().is_empty() {
        bail!("there is no prompt: pass it as an argument or on stdin");
    }
    Ok(text)
}

fn request_body(arguments: &Chat, prompt: String) -> Value {
    let mut messages = Vec::new();
    let system = arguments.system.as_ref();
    messages.extend(system.map(|text| json!({"role": "system", "content": text})));
    messages.push(json!({"role": "user", "content": prompt}));
    let mut body = json!({
        "model": arguments.name,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let options = [
        ("max_tokens", arguments.max_tokens.map(Value::from)),
        ("temperature", arguments.temperature.map(Value::from)),
        ("seed", arguments.seed.map(Value::from)),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

/// Prints a response as it arrives and counts its tokens.
struct Printer {
    sent: Instant,
    first_token: Option<Instant>,
    /// Chunks with text: about the number of tokens, used if the backend reports none.
    chunks: u64,
    reported_tokens: Option<u64>,
    /// True while a notice occupies the current line of the terminal.
    notice_shown: bool,
}

impl Printer {
    fn new(sent: Instant) -> Self {
        Self { sent, first_token: None, chunks: 0, reported_tokens: None, notice_shown: false }
    }

    fn print_chunk(&mut self, data: &str) -> anyhow::Result<()> {
        let chunk: Value =
            serde_json::from_str(data).context("a part of the response is not JSON")?;
        if chunk.get("error").is_some() {
            terminal::line("");
            let message = shown_message(data.as_bytes());
            bail!("{}", message.unwrap_or_else(|| "the request failed".into()));
        }
        if let Some(tokens) = chunk.pointer("/usage/completion_tokens").and_then(Value::as_u64) {
            self.reported_tokens = Some(tokens);
        }
        let text = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str);
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        if std::mem::take(&mut self.notice_shown) {
            terminal::replace_note("");
        }
        self.first_token.get_or_insert_with(Instant::now);
        self.chunks += 1;
        terminal::text(text);
        Ok(())
    }

    /// Prints a notice such as "waking 3s of ~5s"; on a terminal, each replaces the one before.
    fn print_notice(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if terminal::replace_note(text) {
            self.notice_shown = true;
        } else {
            terminal::note(text);
        }
    }

    fn print_stats(&self) {
        let first_token = self.first_token.unwrap_or(self.sent);
        let tokens = self.reported_tokens.unwrap_or(self.chunks);
        let wait = first_token - self.sent;
        let writing = first_token.elapsed().max(Duration::from_millis(1));
        // The first token ends the wait and is not part of the writing time.
        let speed = tokens.saturating_sub(1) as f64 / writing.as_secs_f64();
        terminal::note(format_args!(
            "first token after {:.2} s, {tokens} tokens, {speed:.1} tokens/s",
            wait.as_secs_f64()
        ));
    }
}
