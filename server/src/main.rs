//! The `mcpd` binary: flags, logging, the listener, signals; and token administration on the
//! database file itself.
#![expect(clippy::print_stdout, reason = "a command line prints")]

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand, ValueEnum};
use mcpd::config::{Config, Flags};
use mcpd::limits;
use mcpd::store::{Store, sqlite::SqliteStore};
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use wire::token::{CreateToken, TokenInfo};

/// A crowd that comes back at once takes ten times the memory that it needs a moment later: this
/// allocator gives it back to the system, the usual one keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Lists the language models that people publish from their own machines, and relays calls to them.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// How log lines look
    #[arg(long, env = "MCPD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Administer tokens on this machine's database
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, once
    Create {
        /// Whom it acts for; published models belong to the user, not to the token
        #[arg(long)]
        user: String,
        /// infer, infer:<name>, publish or admin; may be given more than once
        #[arg(long = "scope", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        /// For people
        #[arg(long)]
        label: Option<String>,
        /// Days until it expires; never when absent
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List tokens, newest first; never their text
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token by its id; a running server notices within a second
    Revoke {
        /// The id that `list` shows
        id: String,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(worker_threads()).enable_all().build()?;
    let config = cli.flags.resolve()?;
    match cli.command {
        None | Some(Command::Serve) => runtime.block_on(serve(&config)),
        Some(Command::Token(command)) => {
            // `mcpd token list | head` ends as other programs do.
            sigpipe::reset();
            runtime.block_on(token(&config, command))
        }
    }
}

/// Half of the cores: the kernel moves most of the bytes, and a worker for each core only wakes the
/// others for what it could do itself.
fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// Other people's code may print headers, statements or bytes at DEBUG and TRACE: whatever RUST_LOG
/// says, it is heard from INFO up only. A token or a prompt must not reach a log.
fn log_to_stderr(format: LogFormat) {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ours = filter_fn(|line| {
        let own =
            ["mcpd", "relay", "wire"].contains(&line.target().split(':').next().unwrap_or(""));
        own || *line.level() <= tracing::Level::INFO
    });
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let log = tracing_subscriber::registry().with(wanted).with(ours);
    match format {
        LogFormat::Text => log.with(lines).init(),
        LogFormat::Json => log.with(lines.json()).init(),
    }
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let store: Arc<dyn Store> = open(config).await?;
    if config.dev {
        let scopes = ["infer", "publish", "admin"].map(str::to_owned).to_vec();
        let wish = CreateToken {
            user: "dev".into(),
            scopes,
            label: Some("--dev".into()),
            expires_in_seconds: Some(24 * 3600),
            ..CreateToken::default()
        };
        let made = mcpd::auth::create(store.as_ref(), &wish, unix_ms()).await?;
        println!("mcpd dev token, for one day: {}", made.token);
    } else if store.tokens().await?.is_empty() {
        let dir = config.data_dir.display();
        println!(
            "No token exists yet. Make the first one:\n  \
             mcpd --data-dir {dir} token create --user NAME --scope admin"
        );
    }
    let listener = listen(config.listen)
        .with_context(|| format!("cannot listen on {}; is it taken?", config.listen))?;
    println!("mcpd listening on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(on_signals(shutdown.clone()));
    mcpd::serve(listener, store, &config.serving, &shutdown).await?;
    signals.abort();
    Ok(())
}

/// As `TcpListener::bind`, with room for a crowd that comes back at once.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// The first SIGTERM or SIGINT drains, the second ends the process now.
async fn on_signals(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        if shutdown.is_cancelled() {
            tracing::warn!("asked a second time: ending now");
            std::process::exit(1);
        }
        shutdown.cancel();
    }
}

async fn open(config: &Config) -> anyhow::Result<Arc<SqliteStore>> {
    let file = config.database()?;
    let store = SqliteStore::open(&file).await;
    Ok(Arc::new(store.with_context(|| format!("cannot open {}", file.display()))?))
}

async fn token(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let store = open(config).await?;
    match command {
        TokenCommand::Create { user, scopes, label, expires_in_days, json } => {
            let expires_in_seconds = expires_in_days.map(|days| days.saturating_mul(86_400));
            let wish =
                CreateToken { user, scopes, label, expires_in_seconds, ..CreateToken::default() };
            let made = mcpd::auth::create(store.as_ref(), &wish, unix_ms()).await;
            let made = made.map_err(|error| anyhow::anyhow!(error.message))?;
            if json {
                println!("{}", serde_json::to_string_pretty(&made)?);
            } else {
                println!("{}", made.token);
            }
        }
        TokenCommand::List { json } => {
            let tokens = store.tokens().await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&wire::token::TokenList { tokens })?);
            } else {
                tokens.iter().for_each(|token| println!("{}", line(token)));
            }
        }
        TokenCommand::Revoke { id } => {
            if !store.revoke_token(&id, unix_ms()).await? {
                bail!("no token has the id {id}; see `mcpd token list`");
            }
            println!("revoked {id}");
        }
    }
    Ok(())
}

fn line(token: &TokenInfo) -> String {
    let state = match (token.revoked, token.expires) {
        (Some(_), _) => "revoked",
        (None, Some(at)) if at <= unix_ms() => "expired",
        (None, _) => "valid",
    };
    format!(
        "{}  {:8} {:16} {:24} {}",
        token.id,
        state,
        token.user,
        token.scopes.join(","),
        token.label
    )
}

fn unix_ms() -> u64 {
    let unix: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}
