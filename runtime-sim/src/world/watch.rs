//! Where checkers look on: what travels, what nodes tell, and what anybody may ask a node.

use core::net::SocketAddr;

use rumormill::{Event, Instant, Node};

use super::ProcessId;

/// Somebody who looks on and changes nothing. Times are the world's.
pub trait Watch {
    /// A process has started, with this node.
    fn started(&mut self, at: Instant, id: ProcessId, node: &Node) {
        let _ = (at, id, node);
    }

    /// A process has ended without a word.
    fn ended(&mut self, at: Instant, id: ProcessId, node: &Node) {
        let _ = (at, id, node);
    }

    /// A node has sent a datagram, whatever becomes of it.
    fn sent(&mut self, at: Instant, id: ProcessId, node: &Node, to: SocketAddr, bytes: &[u8]) {
        let _ = (at, id, node, to, bytes);
    }

    /// A datagram is handed to a node.
    fn received(&mut self, at: Instant, id: ProcessId, from: SocketAddr, bytes: &[u8]) {
        let _ = (at, id, from, bytes);
    }

    /// A node has taken a call.
    fn called(&mut self, at: Instant, id: ProcessId, node: &Node, caller: SocketAddr) {
        let _ = (at, id, node, caller);
    }

    /// A node has told its application something.
    fn told(&mut self, at: Instant, id: ProcessId, node: &Node, event: &Event) {
        let _ = (at, id, node, event);
    }

    /// A node has done all that it wanted to do. It holds this many streams.
    fn turned(&mut self, at: Instant, id: ProcessId, node: &Node, streams: usize) {
        let _ = (at, id, node, streams);
    }
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}
