//! A node of the store in the simulator: the same replica and trace as beside sockets, in virtual
//! time.

use core::net::SocketAddr;

use bytes::Bytes;
use rumormill::{Datagram, Event, Fact, Instant, Node};
use rumormill_sim::{App, Ctl};

use crate::peer::{Arrival, Peer, Wall};
use crate::replica::{CHANNEL, WriteError};
use crate::store::Version;

/// The wall clock of every world starts here: 2023-11-14T22:13:20Z.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// A replica with its trace in memory.
#[derive(Debug)]
pub struct SimNode {
    peer: Peer<Vec<u8>>,
    has_rumor: bool,
}

impl SimNode {
    /// A node around an empty replica.
    #[must_use]
    pub const fn new(peer: Peer<Vec<u8>>) -> Self {
        Self { peer, has_rumor: false }
    }

    /// Its replica.
    #[must_use]
    pub const fn peer(&self) -> &Peer<Vec<u8>> {
        &self.peer
    }

    /// Whether it started or received any rumour.
    #[must_use]
    pub const fn has_rumor(&self) -> bool {
        self.has_rumor
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
        self.has_rumor = true;
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

fn wall(now: Instant) -> Wall {
    Wall(EPOCH_NS + now.as_micros() * 1_000)
}

impl App for SimNode {
    fn on_event(&mut self, ctl: &mut Ctl<'_>, event: Event) {
        match event.fact {
            Fact::Rumor { id, channel, hop, from, payload } => {
                let arrival = Arrival { id: &id, channel, payload: &payload, from, hop };
                self.peer.receive(wall(ctl.now()), &arrival);
                self.has_rumor = true;
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
