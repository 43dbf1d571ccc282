//! Why a node could not start. What goes wrong later becomes counters, not errors: a gossip node
//! outlives its network.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

/// A node could not start; each message names the fix.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process has the port.
    #[error("{protocol} port {addr} is taken by another process: stop it, or bind another port")]
    AddressInUse {
        /// The address asked for.
        addr: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
    },
    /// This host has no such address.
    #[error("this host has no address {}: bind one of its own, or 0.0.0.0 for all", addr.ip())]
    AddressNotLocal {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The port is reserved.
    #[error("no permission to bind {addr}: choose a port from 1024 on, or grant the right to bind")]
    PermissionDenied {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Some other failure to bind.
    #[error("{protocol} {addr} cannot be bound: {source}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system offers no port that is free for UDP and TCP alike.
    #[error("no port is free for both UDP and TCP on {}: name one", addr.ip())]
    NoFreePort {
        /// The address asked for, with port 0.
        addr: SocketAddr,
    },
    /// All addresses are bound and none can be told to others.
    #[error("cannot tell which address others reach this host at: set the advertise address")]
    NoAdvertiseAddress,
    /// The address to advertise makes no sense.
    #[error("{addr} cannot be advertised: others could not send to it")]
    BadAdvertiseAddress {
        /// The address given.
        addr: SocketAddr,
    },
    /// Something else that the system refused.
    #[error("the system refused to {what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn bind(protocol: &'static str, addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { addr, protocol },
            io::ErrorKind::AddrNotAvailable => Self::AddressNotLocal { addr },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { addr },
            _ => Self::Bind { addr, protocol, source },
        }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
