//! `mcpd serve`: the folder's lock, the database, the listener, signals.

use super::out;
use anyhow::Context as _;
use mcpd::clock::WallClock;
use mcpd::config::Config;
use mcpd::store::{self, Store, TokenQuery};
use mcpd::tls::Tls;
use mcpd::{Listener, limits, lock};
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wire::token::CreateToken;

pub(crate) async fn serve(config: &Config) -> anyhow::Result<()> {
    let tls = config.tls.as_ref().map(Tls::load).transpose()?;
    config.make_folder()?;
    let _lock = lock::take(&config.data_dir)?;
    let store = store::open(&config.database()).await?;
    if config.dev {
        dev_token(store.as_ref()).await?;
    } else if store.tokens(&TokenQuery { most: 1, ..TokenQuery::default() }).await?.is_empty() {
        let dir = config.data_dir.display();
        say(format_args!(
            "No token exists yet. Create the first one:\n  \
             mcpd --data-dir {dir} token create --user NAME --scope admin"
        ));
    }
    let socket = listen(config.listen)
        .with_context(|| format!("cannot listen on {}; is it taken?", config.listen))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    say(format_args!("mcpd listening on {scheme}://{}", socket.local_addr()?));
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(on_signals(shutdown.clone()));
    let listener = Listener { socket, tls };
    let served = mcpd::serve(listener, store, &config.serving, &shutdown).await;
    signals.abort();
    Ok(served?)
}

/// Creates a token with every scope, for trials.
async fn dev_token(store: &dyn Store) -> anyhow::Result<()> {
    let scopes = ["infer", "publish", "admin"].map(str::to_owned).to_vec();
    let request = CreateToken {
        user: "dev".into(),
        scopes,
        label: Some("--dev".into()),
        expires_in_seconds: Some(24 * 3600),
        ..CreateToken::default()
    };
    let made = mcpd::auth::create(store, &request, WallClock::system().now()).await?;
    say(format_args!("mcpd dev token, for one day: {}", made.token));
    Ok(())
}

/// Prints a line; a server whose stdout is closed goes on.
fn say(text: impl std::fmt::Display) {
    if let Err(error) = out::line(text) {
        tracing::warn!(%error, "cannot write to stdout");
    }
}

/// As `TcpListener::bind`, with a longer accept queue for many clients that connect at once.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// Drains on the first SIGTERM or SIGINT and ends the process on the second. SIGHUP drains if mcpd
/// runs in a terminal, which was closed then; from a supervisor it means a reload, which does not
/// exist.
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
                    let why = "settings are read at start only; restart mcpd to change them";
                    tracing::info!("SIGHUP is ignored: {why}");
                    continue;
                }
                if shutdown.is_cancelled() {
                    continue;
                }
            }
        }
        if shutdown.is_cancelled() {
            tracing::warn!("second signal: ending now");
            std::process::exit(1);
        }
        shutdown.cancel();
    }
}
