//! What other threads of the process ask of the node's loop.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::changes::Change;
use super::control::Order;
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
    /// What the host names among the seeds resolve to now, in their order.
    Join(Vec<Vec<SocketAddr>>),
    /// Leave the cluster in good order and end.
    Leave,
    /// The coordinator of an experiment wants something.
    Order(Order),
    /// The coordinator of an experiment is gone: end at once.
    Abandoned,
}
