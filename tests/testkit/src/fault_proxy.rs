//! A TCP proxy that behaves like a bad network on command: it adds latency, limits reads or bandwidth,
//! holds data back, resets or closes connections.

use parking_lot::Mutex;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Fault that the proxy applies to all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
    None,
    /// Delays each read by this time.
    Latency(Duration),
    /// Forwards at most this many bytes at a time.
    Slice(usize),
    /// Forwards this many bytes per second.
    Bandwidth(usize),
    /// Holds everything back until the fault changes.
    Held,
    /// Resets all connections, and new ones too.
    Reset,
    /// Closes all connections, and new ones too.
    Down,
}

/// Cuts of all open connections.
struct Cuts {
    /// Bytes that still pass before the next one, in both directions together.
    left: Mutex<Option<usize>>,
    /// Number of cuts so far: a connection that was opened before the latest one is reset.
    done: watch::Sender<usize>,
}

impl Cuts {
    /// The part of this many bytes that passes before a cut, and true if the cut is behind it.
    fn pass(&self, bytes: usize) -> (usize, bool) {
        let mut left = self.left.lock();
        let Some(before) = *left else { return (bytes, false) };
        *left = before.checked_sub(bytes).filter(|after| *after > 0);
        (before.min(bytes), left.is_none())
    }
}

/// A running proxy.
pub struct FaultProxy {
    /// `http://127.0.0.1:…`
    pub url: String,
    fault: Arc<watch::Sender<Fault>>,
    /// True if data on its way upstream is held back.
    held: Arc<watch::Sender<bool>>,
    cuts: Arc<Cuts>,
    _serving: AbortOnDropHandle<()>,
}

impl FaultProxy {
    /// Starts one in front of `upstream`, a URL such as `http://127.0.0.1:…`.
    pub async fn in_front_of(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fault = Arc::new(watch::Sender::new(Fault::None));
        let held = Arc::new(watch::Sender::new(false));
        let cuts = Arc::new(Cuts { left: Mutex::new(None), done: watch::Sender::new(0) });
        let (faults, holds) = (Arc::clone(&fault), Arc::clone(&held));
        let all_cuts = Arc::clone(&cuts);
        let serving = tokio::spawn(async move {
            let connections = Mutex::new(Vec::new());
            while let Ok((near, _)) = listener.accept().await {
                let (faults, holds) = (faults.subscribe(), Arc::clone(&holds));
                let cuts = Arc::clone(&all_cuts);
                let connection = connect(near, upstream.clone(), faults, holds, cuts);
                let connection = tokio::spawn(connection);
                connections.lock().push(AbortOnDropHandle::new(connection));
            }
        });
        Self { url, fault, held, cuts, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Applies this fault from now on.
    pub fn set(&self, fault: Fault) {
        self.held.send_replace(false);
        self.fault.send_replace(fault);
    }

    /// Resets all open connections once this many more bytes have passed, in the middle of whatever
    /// they carry then. New connections work.
    pub fn cut_after(&self, bytes: usize) {
        *self.cuts.left.lock() = Some(bytes);
    }

    /// Number of cuts so far.
    #[must_use]
    pub fn cuts(&self) -> usize {
        *self.cuts.done.borrow()
    }

    /// Waits until data on its way upstream is held back.
    pub async fn until_held(&self) {
        let is_held = async || self.held.borrow().then_some(());
        crate::until("the proxy holds data back", is_held).await;
    }
}

async fn connect(
    near: TcpStream,
    upstream: String,
    mut faults: watch::Receiver<Fault>,
    held: Arc<watch::Sender<bool>>,
    cuts: Arc<Cuts>,
) {
    let fault = *faults.borrow_and_update();
    let mut cut = cuts.done.subscribe();
    let Ok(far) = TcpStream::connect(upstream).await else { return };
    for socket in [&near, &far] {
        socket.set_nodelay(true).unwrap();
    }
    // The halves below cannot reset their connection: these descriptors can.
    let spare = [&near, &far].map(|socket| socket.as_fd().try_clone_to_owned().unwrap());
    // Nothing of a new connection may pass before the fault is noticed below.
    match fault {
        Fault::Reset => return reset(&spare),
        Fault::Down => return,
        Fault::None | Fault::Latency(_) | Fault::Slice(_) | Fault::Bandwidth(_) | Fault::Held => {}
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let up = forward(near_in, far_out, faults.clone(), Some(&held), &cuts);
    let down = forward(far_in, near_out, faults.clone(), None, &cuts);
    let mut ends = faults.clone();
    let broken = async {
        let over = |fault: &Fault| matches!(fault, Fault::Reset | Fault::Down);
        // Fails only when the proxy is dropped, which ends the connection too.
        let _ = ends.wait_for(over).await;
    };
    tokio::select! {
        _both_halves = async { tokio::join!(up, down) } => {}
        () = broken => {
            if *faults.borrow() == Fault::Reset {
                reset(&spare);
            }
        }
        _ = cut.changed() => reset(&spare),
    }
}

fn reset(sockets: &[OwnedFd]) {
    for socket in sockets {
        // With a linger time of zero, close sends a reset.
        let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}

/// Forwards one direction until it ends.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    held: Option<&watch::Sender<bool>>,
    cuts: &Cuts,
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
        let (passing, is_cut) = cuts.pass(read);
        if to.write_all(&buffer[..passing]).await.is_err() {
            break;
        }
        if is_cut {
            cuts.done.send_modify(|done| *done += 1);
        }
    }
    let _ = to.shutdown().await;
    (from, to)
}
