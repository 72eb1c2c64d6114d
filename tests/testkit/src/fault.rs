//! A proxy that does what bad networks do, on command: it adds latency, takes little at a time, holds
//! everything back, resets, or is not there.

use parking_lot::Mutex;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What it does to everything that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Everything comes so much later.
    Latency(Duration),
    /// So many bytes at a time.
    Slice(usize),
    /// So many bytes a second.
    Bandwidth(usize),
    /// Nothing passes; what is under way waits.
    Held,
    /// Connections are reset, and new ones too.
    Reset,
    /// Connections are closed, and new ones too.
    Down,
}

/// The proxy.
pub struct Proxy {
    /// `http://127.0.0.1:…`
    pub url: String,
    fault: Arc<watch::Sender<Fault>>,
    /// Whether something that goes upstream waits.
    held: Arc<watch::Sender<bool>>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    /// In front of `upstream`, as `http://127.0.0.1:…`.
    pub async fn before(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fault = Arc::new(watch::Sender::new(Fault::None));
        let held = Arc::new(watch::Sender::new(false));
        let (faults, holds) = (Arc::clone(&fault), Arc::clone(&held));
        let serving = tokio::spawn(async move {
            let connections = Mutex::new(Vec::new());
            while let Ok((near, _)) = listener.accept().await {
                let (faults, holds) = (faults.subscribe(), Arc::clone(&holds));
                let connection = tokio::spawn(connect(near, upstream.clone(), faults, holds));
                connections.lock().push(AbortOnDropHandle::new(connection));
            }
        });
        Self { url, fault, held, _serving: AbortOnDropHandle::new(serving) }
    }

    /// From now on.
    pub fn set(&self, fault: Fault) {
        self.held.send_replace(false);
        self.fault.send_replace(fault);
    }

    /// Waits until something that goes upstream is held back.
    pub async fn until_held(&self) {
        let is_held = async || self.held.borrow().then_some(());
        crate::until("the proxy holds something back", is_held).await;
    }
}

async fn connect(
    near: TcpStream,
    upstream: String,
    mut faults: watch::Receiver<Fault>,
    held: Arc<watch::Sender<bool>>,
) {
    let fault = *faults.borrow_and_update();
    let Ok(far) = TcpStream::connect(upstream).await else { return };
    for socket in [&near, &far] {
        socket.set_nodelay(true).unwrap();
    }
    // For a reset, which the halves below cannot do.
    let spare = [&near, &far].map(|socket| socket.as_fd().try_clone_to_owned().unwrap());
    if fault == Fault::Reset {
        return reset(&spare);
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let up = carry(near_in, far_out, faults.clone(), Some(&held));
    let down = carry(far_in, near_out, faults.clone(), None);
    let mut ends = faults.clone();
    let broken = async {
        let over = |fault: &Fault| matches!(fault, Fault::Reset | Fault::Down);
        // The proxy's end ends this too.
        let _ = ends.wait_for(over).await;
    };
    tokio::select! {
        _both_halves = async { tokio::join!(up, down) } => {}
        () = broken => {
            if *faults.borrow() == Fault::Reset {
                reset(&spare);
            }
        }
    }
}

fn reset(sockets: &[OwnedFd]) {
    for socket in sockets {
        // Zero seconds to linger is what makes a close a reset.
        let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}

/// One direction, until it ends.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    held: Option<&watch::Sender<bool>>,
) -> (OwnedReadHalf, OwnedWriteHalf) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let fault = *faults.borrow_and_update();
        let most = match fault {
            Fault::Slice(bytes) => bytes,
            Fault::Bandwidth(bytes) => bytes / 10 + 1,
            Fault::None | Fault::Latency(_) | Fault::Held | Fault::Reset | Fault::Down => {
                buffer.len()
            }
        };
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else { break };
        let fault = *faults.borrow_and_update();
        match fault {
            Fault::Latency(time) => tokio::time::sleep(time).await,
            Fault::Bandwidth(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Fault::Held => {
                if let Some(held) = held {
                    held.send_replace(true);
                }
                let _ = faults.wait_for(|fault| *fault != Fault::Held).await;
            }
            Fault::None | Fault::Slice(_) | Fault::Reset | Fault::Down => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    (from, to)
}
