//! The gossip port. A datagram that meets a full socket buffer is retained and sent first when
//! there is room again; until then the node is not asked for more, so that nothing it has to say
//! is composed and lost.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;

use crate::socket::{canonical, for_family};

/// What a UDP socket does, so that a test can be a network that is full.
pub(crate) trait Datagrams {
    fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;
    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
}

impl Datagrams for UdpSocket {
    fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(bytes, to)
    }

    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buf)
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The system took it.
    Taken,
    /// It waits for room in the socket buffer.
    Retained,
    /// The system refused it, as a network may.
    Refused,
}

/// A UDP socket with the one datagram that may wait.
#[derive(Debug)]
pub(crate) struct UdpPort<S> {
    socket: S,
    local: SocketAddr,
    retained: Option<(SocketAddr, Vec<u8>)>,
    /// Readiness is edge-triggered: whoever stops reading early must remember that there is more.
    is_readable: bool,
}

impl<S: Datagrams> UdpPort<S> {
    pub(crate) const fn new(socket: S, local: SocketAddr) -> Self {
        Self { socket, local, retained: None, is_readable: false }
    }

    #[cfg(test)]
    pub(crate) const fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) const fn is_blocked(&self) -> bool {
        self.retained.is_some()
    }

    pub(crate) const fn is_readable(&self) -> bool {
        self.is_readable
    }

    pub(crate) const fn set_readable(&mut self) {
        self.is_readable = true;
    }

    /// Sends a datagram; it must not be called while one is retained.
    pub(crate) fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Sent {
        debug_assert!(!self.is_blocked(), "one datagram is retained at most");
        let outcome = self.try_send(to, bytes);
        if outcome == Sent::Retained {
            self.retained = Some((to, bytes.to_vec()));
        }
        outcome
    }

    /// Tries the retained datagram again; `None` if there is none.
    pub(crate) fn retry(&mut self) -> Option<Sent> {
        let (to, bytes) = self.retained.take()?;
        let outcome = self.try_send(to, &bytes);
        if outcome == Sent::Retained {
            self.retained = Some((to, bytes));
        }
        Some(outcome)
    }

    fn try_send(&self, to: SocketAddr, bytes: &[u8]) -> Sent {
        loop {
            return match self.socket.send(bytes, for_family(to, self.local)) {
                Ok(_) => Sent::Taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Retained,
                Err(error) => {
                    tracing::trace!(%to, %error, "a datagram was refused");
                    Sent::Refused
                }
            };
        }
    }

    /// The next datagram; `None` when there is none, or the socket had an error to report that
    /// belongs to an earlier datagram.
    pub(crate) fn receive(&mut self, buf: &mut [u8]) -> Option<Received> {
        match self.socket.receive(buf) {
            Ok((len, from)) => Some(Received::Datagram { len, from: canonical(from) }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_readable = false;
                None
            }
            Err(error) => {
                tracing::trace!(%error, "receiving failed");
                Some(Received::Error)
            }
        }
    }
}

/// What reading a socket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Datagram { len: usize, from: SocketAddr },
    Error,
}
