//! Notices that this machine reaches the server from another address than before: connections from the
//! old one are dead, which TCP would find out only after a while.

use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, SocketAddr};

/// The way to the server, or to the proxy before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NetworkPath {
    peer: SocketAddr,
    /// The address from which the connection was made.
    local: IpAddr,
}

impl NetworkPath {
    /// The way to this peer; `None` if there is none now.
    pub(super) fn to(peer: SocketAddr) -> Option<Self> {
        Some(Self { peer, local: local_address(peer)? })
    }

    /// True if the peer is reached from another address now. A network that is gone is no change: it
    /// may come back with the same address.
    pub(super) fn has_changed(self) -> bool {
        Self::to(self.peer).is_some_and(|now| now != self)
    }
}

/// The address that the system would use towards this peer. Nothing is sent, and nothing can be
/// received.
fn local_address(peer: SocketAddr) -> Option<IpAddr> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.connect(&peer.into()).ok()?;
    Some(socket.local_addr().ok()?.as_socket()?.ip())
}

#[cfg(test)]
mod tests {
    use super::NetworkPath;

    #[test]
    fn a_peer_on_this_machine_is_always_reached_from_the_same_address() {
        let path = NetworkPath::to("127.0.0.1:80".parse().unwrap()).unwrap();
        assert_eq!(path.local.to_string(), "127.0.0.1");
        assert!(!path.has_changed());
        let elsewhere = NetworkPath { local: "192.0.2.1".parse().unwrap(), ..path };
        assert!(elsewhere.has_changed());
    }
}
