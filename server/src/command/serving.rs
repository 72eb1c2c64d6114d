//! `mcpd serve`: the folder's lock, the database, the listener, signals.

use super::out;
use anyhow::Context as _;
use mcpd::clock::WallClock;
use mcpd::config::Config;
use mcpd::store::sqlite::SqliteStore;
use mcpd::store::{Store, TokenQuery};
use mcpd::{limits, lock};
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wire::token::CreateToken;

pub(crate) async fn serve(config: &Config) -> anyhow::Result<()> {
    config.make_folder()?;
    let _lock = lock::take(&config.data_dir)?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.database()).await?);
    if config.dev {
        dev_token(store.as_ref()).await?;
    } else if store.tokens(&TokenQuery { most: 1, ..TokenQuery::default() }).await?.is_empty() {
        let dir = config.data_dir.display();
        say(format_args!(
            "No token exists yet. Make the first one:\n  \
             mcpd --data-dir {dir} token create --user NAME --scope admin"
        ));
    }
    let listener = listen(config.listen)
        .with_context(|| format!("cannot listen on {}; is it taken?", config.listen))?;
    say(format_args!("mcpd listening on http://{}", listener.local_addr()?));
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(on_signals(shutdown.clone()));
    let served = mcpd::serve(listener, store, &config.serving, &shutdown).await;
    signals.abort();
    Ok(served?)
}

/// A token with every scope, for trying things out.
async fn dev_token(store: &dyn Store) -> anyhow::Result<()> {
    let scopes = ["infer", "publish", "admin"].map(str::to_owned).to_vec();
    let wish = CreateToken {
        user: "dev".into(),
        scopes,
        label: Some("--dev".into()),
        expires_in_seconds: Some(24 * 3600),
        ..CreateToken::default()
    };
    let made = mcpd::auth::create(store, &wish, WallClock::system().now()).await?;
    say(format_args!("mcpd dev token, for one day: {}", made.token));
    Ok(())
}

/// A server whose stdout is closed serves all the same.
fn say(text: impl std::fmt::Display) {
    if let Err(error) = out::line(text) {
        tracing::warn!(%error, "stdout takes nothing");
    }
}

/// As `TcpListener::bind`, with room for a crowd that comes back at once.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// The first SIGTERM or SIGINT drains, the second ends the process now. SIGHUP drains when a person
/// has closed the terminal that mcpd runs in; from a supervisor it asks for settings to be read
/// again, of which there are none.
async fn on_signals(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut int), Ok(mut hangup)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) else {
        return;
    };
    let in_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hangup.recv() => {
                if !in_terminal {
                    tracing::info!("SIGHUP: nothing is read again while mcpd runs; restart it for new settings");
                    continue;
                }
                if shutdown.is_cancelled() {
                    continue;
                }
            }
        }
        if shutdown.is_cancelled() {
            tracing::warn!("asked a second time: ending now");
            std::process::exit(1);
        }
        shutdown.cancel();
    }
}
