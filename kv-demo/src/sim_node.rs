//! A node of the store in the simulator: the same replica and trace as beside sockets, in virtual
//! time.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use bytes::Bytes;
use rumormill::{Datagram, Event, Fact, Instant, Node};
use rumormill_sim::{App, Ctl};

use crate::peer::{self, Arrival, Peer, Wall};
use crate::replica::{CHANNEL, WriteError};
use crate::store::Version;
use crate::trace::RumorTag;

/// The wall clock of every world starts here: 2023-11-14T22:13:20Z.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// A replica with its trace in memory.
#[derive(Debug)]
pub struct SimNode {
    peer: Peer<Vec<u8>>,
    rumors: BTreeSet<RumorTag>,
}

impl SimNode {
    /// A node around an empty replica.
    #[must_use]
    pub const fn new(peer: Peer<Vec<u8>>) -> Self {
        Self { peer, rumors: BTreeSet::new() }
    }

    /// Its replica.
    #[must_use]
    pub const fn peer(&self) -> &Peer<Vec<u8>> {
        &self.peer
    }

    /// Whether it started or received a rumour.
    #[must_use]
    pub fn has(&self, rumor: RumorTag) -> bool {
        self.rumors.contains(&rumor)
    }

    /// Writes down that the measuring begins.
    pub fn mark(&mut self, now: Instant, node: &Node) {
        self.peer.mark(wall(now), node);
    }

    /// Goes on with the trace in another life of the node; call it once, when that has started.
    pub fn adopt_again(&mut self, now: Instant, node: &Node) {
        self.peer.adopt_again(wall(now), node);
    }

    /// The rumour that [`write`](Self::write) started last.
    #[must_use]
    pub const fn created(&self) -> Option<RumorTag> {
        self.peer.created()
    }

    /// Begins the trace; call it once, when the node has started.
    pub fn adopt(&mut self, now: Instant, node: &Node, label: &str) {
        self.peer.adopt(wall(now), node, label);
    }

    /// Writes a key, or without a value deletes it, and tells everybody.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing changed.
    pub fn write(
        &mut self,
        ctl: &mut Ctl<'_>,
        key: &[u8],
        value: Option<Bytes>,
    ) -> Result<Version, WriteError> {
        let peer = &mut self.peer;
        let version = ctl.act(|node, now| peer.write(wall(now), node, now, key, value))?;
        self.rumors.extend(peer.created());
        Ok(version)
    }

    /// Ends the trace in good order.
    pub fn end(&mut self, now: Instant, node: &Node) {
        self.peer.end(wall(now), node);
    }

    /// The trace's bytes.
    #[must_use]
    pub fn into_trace(self) -> Option<Vec<u8>> {
        self.peer.into_trace()
    }
}

/// The wall clock of every world at a time.
#[must_use]
pub fn wall(now: Instant) -> Wall {
    Wall(EPOCH_NS + now.as_micros() * 1_000)
}

impl App for SimNode {
    fn on_event(&mut self, ctl: &mut Ctl<'_>, event: Event) {
        match event.fact {
            Fact::Rumor { id, channel, hop, from, payload } => {
                let arrival = Arrival { id: &id, channel, payload: &payload, from, hop };
                self.peer.receive(wall(ctl.now()), &arrival);
                self.rumors.insert(peer::tag(&id));
            }
            Fact::PeerState { from, channel: CHANNEL, bytes, .. } => {
                self.peer.merge_state(wall(ctl.now()), from, &bytes);
            }
            _ => {}
        }
    }

    fn on_datagram(&mut self, now: Instant, to: SocketAddr, len: usize, datagram: &Datagram) {
        self.peer.note_datagram(wall(now), to, len, datagram);
    }

    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        if self.peer.take_changed()
            && let Some(state) = self.peer.state()
        {
            ctl.act(|node, _| node.set_channel_state(CHANNEL, state));
        }
    }
}
