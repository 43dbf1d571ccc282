//! What other threads of the process ask of the node's loop.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rumormill::Keyring;
use tokio::sync::oneshot;

use super::changes::Change;
use super::control::Order;
use super::joins::Reached;
use super::view::MembersView;
use crate::replica::WriteError;
use crate::store::Version;

/// A question or an order. Whoever gave up waiting has dropped the reply's other end, which does
/// no harm.
#[derive(Debug)]
pub(crate) enum Command {
    /// Store a value, or without one delete the key, and tell everybody.
    Write {
        /// The key.
        key: Bytes,
        /// The value.
        value: Option<Bytes>,
        /// The version that the write got.
        reply: oneshot::Sender<Result<Version, WriteError>>,
    },
    /// Look a key up.
    Get {
        /// The key.
        key: Bytes,
        /// Its value and version, if it has a value.
        reply: oneshot::Sender<Option<(Bytes, Version)>>,
    },
    /// List the members.
    Members {
        /// The list.
        reply: oneshot::Sender<MembersView>,
    },
    /// List changes, or wait for the next one.
    Changes {
        /// The number of the last change known.
        after: u64,
        /// What came after it; never empty unless the node stops.
        reply: oneshot::Sender<Vec<Change>>,
    },
    /// What the names among the seeds resolve to now, in their order.
    Join(Vec<Vec<SocketAddr>>),
    /// Join members now, try each address once, and tell what became of it.
    Reach {
        /// Their addresses, each once.
        seeds: Vec<SocketAddr>,
        /// How long to wait for all of them.
        within: Duration,
        /// What became of each; `None` if too many wait already.
        reply: oneshot::Sender<Option<Vec<(SocketAddr, Reached)>>>,
    },
    /// Leave the cluster in good order and end; said twice, end at once.
    Leave,
    /// Leave the cluster in good order and end.
    LeaveAndTell {
        /// Sent when the goodbye has been said.
        reply: oneshot::Sender<()>,
    },
    /// List the keys.
    Keys {
        /// The keys in force.
        reply: oneshot::Sender<Keyring>,
    },
    /// Take these keys.
    SetKeys {
        /// All of them.
        ring: Keyring,
        /// Sent when they are in force.
        reply: oneshot::Sender<()>,
    },
    /// The coordinator of an experiment wants something.
    Order(Order),
    /// The coordinator of an experiment is gone: end at once.
    Abandoned,
}
