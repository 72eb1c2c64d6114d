//! `chat`: one question, the answer as it comes. Tokens go to stdout, all else to stderr.

use crate::client::{Client, message};
use crate::out;
use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;
use tokio::time::Instant;
use wire::sse::{Decoder, Item};

/// The longest prompt that is read from a pipe.
const MAX_PROMPT: u64 = 32 * 1024 * 1024;
/// Longest line and longest event of a streamed response, in bytes.
const MAX_EVENT: usize = 1024 * 1024;

/// A question.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// The model, as `mcpctl get llm` shows it
    name: String,
    /// The question; read from stdin when it is not here
    prompt: Vec<String>,
    /// What the model is told first
    #[arg(long)]
    system: Option<String>,
    /// The longest answer
    #[arg(long)]
    max_tokens: Option<u32>,
    /// 0 for the same answer each time
    #[arg(long)]
    temperature: Option<f64>,
    /// Where chance begins
    #[arg(long)]
    seed: Option<i64>,
    /// End with a line of figures on stderr
    #[arg(long)]
    stats: bool,
}

pub(crate) async fn chat(client: &Client, chat: &Chat) -> anyhow::Result<()> {
    let body = body(chat, prompt(chat)?);
    let began = Instant::now();
    let request = client.request(Method::POST, "/v1/chat/completions").json(&body);
    let mut response = client.send(request).await?;
    let mut answer = Answer { began, first: None, tokens: 0, reported: None, noted: false };
    let mut decoder = Decoder::new(MAX_EVENT, MAX_EVENT);
    let mut items = Vec::new();
    let mut done = false;
    while let Some(bytes) = response.chunk().await.context("the answer broke off")? {
        decoder.feed(&bytes, &mut items);
        for item in items.drain(..) {
            match item {
                Item::Event(event) => match event?.data.as_str() {
                    "[DONE]" => done = true,
                    data => answer.take(data)?,
                },
                Item::Comment(text) => answer.note(&text),
            }
        }
    }
    out::line("");
    if !done {
        bail!("the answer ended before its end");
    }
    if chat.stats {
        answer.figures();
    }
    Ok(())
}

fn prompt(chat: &Chat) -> anyhow::Result<String> {
    if !chat.prompt.is_empty() {
        return Ok(chat.prompt.join(" "));
    }
    if std::io::stdin().is_terminal() {
        out::note("Type the question; end with Ctrl-D.");
    }
    let mut text = String::new();
    std::io::stdin().take(MAX_PROMPT).read_to_string(&mut text)?;
    if text.trim().is_empty() {
        bail!("there is no question: give it as an argument or on stdin");
    }
    Ok(text)
}

fn body(chat: &Chat, prompt: String) -> Value {
    let mut messages = Vec::new();
    messages.extend(chat.system.as_ref().map(|text| json!({"role": "system", "content": text})));
    messages.push(json!({"role": "user", "content": prompt}));
    let mut body = json!({
        "model": chat.name,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let options = [
        ("max_tokens", chat.max_tokens.map(Value::from)),
        ("temperature", chat.temperature.map(Value::from)),
        ("seed", chat.seed.map(Value::from)),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

/// What is known of the answer so far.
struct Answer {
    began: Instant,
    first: Option<Instant>,
    /// Pieces with text; close to tokens, and what is shown when the backend counts none.
    tokens: u64,
    /// The backend's own count.
    reported: Option<u64>,
    /// A note stands on the line.
    noted: bool,
}

impl Answer {
    fn take(&mut self, data: &str) -> anyhow::Result<()> {
        let piece: Value =
            serde_json::from_str(data).context("a piece of the answer is no JSON")?;
        if piece.get("error").is_some() {
            out::line("");
            bail!("{}", message(data).unwrap_or_else(|| "the answer failed".into()));
        }
        if let Some(counted) = piece.pointer("/usage/completion_tokens").and_then(Value::as_u64) {
            self.reported = Some(counted);
        }
        let text = piece.pointer("/choices/0/delta/content").and_then(Value::as_str);
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        self.clear_note();
        self.first.get_or_insert_with(Instant::now);
        self.tokens += 1;
        out::answer(text);
        Ok(())
    }

    /// "waking 3s of ~5s": on a terminal in one line that is rewritten.
    fn note(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if out::rewrite(text) {
            self.noted = true;
        } else {
            out::note(text);
        }
    }

    fn clear_note(&mut self) {
        if std::mem::take(&mut self.noted) {
            out::rewrite("");
        }
    }

    fn figures(&self) {
        let first = self.first.unwrap_or(self.began);
        let tokens = self.reported.unwrap_or(self.tokens);
        let wait = first - self.began;
        let writing = first.elapsed().max(Duration::from_millis(1));
        // The first token came at the end of the wait.
        let speed = tokens.saturating_sub(1) as f64 / writing.as_secs_f64();
        out::note(format_args!(
            "first token after {:.2} s, {tokens} tokens, {speed:.1} tokens/s",
            wait.as_secs_f64()
        ));
    }
}
