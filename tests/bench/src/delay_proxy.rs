//! A TCP proxy that delays all data in both directions.

use bytes::BytesMut;
use std::io;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use testkit::process::Process;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Delay in each direction.
const DELAY: Duration = Duration::from_millis(25);
/// Chunks in transit in each direction; enough for every stream here.
const CHUNKS: usize = 1024;
const CHUNK: usize = 64 * 1024;

/// The proxy as a separate process.
pub(crate) struct DelayProxy {
    /// Its address, `127.0.0.1:…`.
    pub(crate) address: String,
    _process: Process,
    _folder: TempDir,
}

impl DelayProxy {
    /// Starts a proxy for `upstream`, an address like `127.0.0.1:…`.
    pub(crate) async fn before(upstream: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["delay", upstream]);
        let process = Process::start("delay", &mut command, folder.path());
        let address = testkit::until("the delay proxy listens", async || {
            process.stdout().lines().next().map(str::to_owned)
        })
        .await;
        Self { address, _process: process, _folder: folder }
    }
}

/// Serves until the process is killed.
pub(crate) async fn serve(upstream: &str) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (near, _) = listener.accept().await?;
        let far = TcpStream::connect(upstream).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(carry(near_in, far_out));
        tokio::spawn(carry(far_in, near_out));
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (sender, mut receiver) = mpsc::channel(CHUNKS);
    let read = async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            if !matches!(from.read_buf(&mut chunk).await, Ok(1..))
                || sender.send((Instant::now() + DELAY, chunk)).await.is_err()
            {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        // Passes on a half-close; if it fails, dropping the socket closes both directions.
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
