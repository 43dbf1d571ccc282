//! What runs beside the nodes on their thread.

use std::net::SocketAddr;

use mio::event::Source;
use mio::{Interest, Token};
use rumormill::{Datagram, Event, Instant, Node};

use crate::driver::Inner;

/// A node of a [`Runtime`](crate::Runtime).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub(crate) usize);

/// The application: called on the loop's thread, one call at a time, and expected to return soon.
/// While it works, the nodes of the loop answer nobody.
pub trait App {
    /// What other threads send through a [`Handle`](crate::Handle).
    type Command: Send + 'static;

    /// A node has something to tell.
    fn on_event(&mut self, ctl: &mut Ctl<'_>, node: NodeKey, event: Event);

    /// Another thread wants something.
    fn on_command(&mut self, ctl: &mut Ctl<'_>, command: Self::Command);

    /// A source that this application registered is ready. Readiness is edge-triggered and may be
    /// spurious: work until `WouldBlock`.
    fn on_source(&mut self, ctl: &mut Ctl<'_>, token: Token, event: &mio::event::Event) {
        let _ = (ctl, token, event);
    }

    /// A node sends a datagram of `len` bytes: for traces. Nothing can be changed here.
    fn on_datagram(&mut self, node: NodeKey, to: SocketAddr, len: usize, datagram: &Datagram) {
        let _ = (node, to, len, datagram);
    }

    /// A turn of the loop ends: the place for work that several events of one turn ask for once.
    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        let _ = ctl;
    }

    /// When the next turn must come at the latest, beside what nodes and sockets want.
    fn wake_at(&self) -> Option<Instant> {
        None
    }
}

/// The loop as the application sees it from inside a call.
#[derive(Debug)]
pub struct Ctl<'a>(pub(crate) &'a mut Inner);

impl Ctl<'_> {
    /// The time of this moment, on the loop's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// A node, to look at.
    ///
    /// # Panics
    ///
    /// If the key is of another runtime.
    #[must_use]
    pub fn node(&self, key: NodeKey) -> &Node {
        self.0.node(key)
    }

    /// Calls a node. What it wants done is done before the turn ends.
    ///
    /// # Panics
    ///
    /// If the key is of another runtime.
    pub fn act<R>(&mut self, key: NodeKey, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        self.0.act(key, call)
    }

    /// The address that a node is bound to.
    ///
    /// # Panics
    ///
    /// If the key is of another runtime.
    #[must_use]
    pub fn local_addr(&self, key: NodeKey) -> SocketAddr {
        self.0.local_addr(key)
    }

    /// Registers a source of the application's own on the loop's poll.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn register(
        &mut self,
        source: &mut impl Source,
        interest: Interest,
    ) -> std::io::Result<Token> {
        self.0.register_for_app(source, interest)
    }

    /// Takes a source off the loop's poll.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn deregister(&mut self, source: &mut impl Source, token: Token) -> std::io::Result<()> {
        self.0.deregister_for_app(source, token)
    }

    /// Ends the loop after this turn.
    pub fn stop(&mut self) {
        self.0.stop();
    }
}
