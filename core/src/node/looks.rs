//! What anyone may look at.

use super::{Datagram, Node, Stats};
use crate::config::Params;
use crate::identity::NodeName;
use crate::member::Member;

impl Node {
    /// All members that this node knows, dead ones included, itself included, in the order in
    /// which it learned of them.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> + '_ {
        self.table.iter().map(|(id, record)| self.view(id, record))
    }

    /// How many members are alive or suspect, this node included.
    #[must_use]
    pub fn live_members(&self) -> usize {
        self.table.live()
    }

    /// A member by name.
    #[must_use]
    pub fn member(&self, name: &[u8]) -> Option<Member<'_>> {
        let id = self.table.find(name)?;
        self.table.get(id).map(|record| self.view(id, record))
    }

    /// This node as others see it.
    #[must_use]
    pub fn local(&self) -> Member<'_> {
        self.my_record().view()
    }

    /// The local health score: 0 is healthy, up to `awareness_max - 1`. It stretches the probe
    /// interval.
    #[must_use]
    pub fn health(&self) -> u32 {
        self.awareness.score()
    }

    /// What the node has counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The parameters in force.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// How many rumours wait to be sent again.
    #[must_use]
    pub fn rumors_waiting(&self) -> usize {
        self.rumors.waiting()
    }

    /// How many membership updates wait to be sent.
    #[must_use]
    pub fn updates_waiting(&self) -> usize {
        self.updates.len()
    }

    /// Bytes of the rumours that wait to be sent or rest before they are repeated: at most twice
    /// [`Config::rumor_queue_bytes_max`](crate::Config::rumor_queue_bytes_max).
    #[must_use]
    pub fn rumor_bytes_waiting(&self) -> usize {
        self.rumors.bytes_waiting()
    }

    /// Bytes of the payloads that are kept for whoever asks for them.
    #[must_use]
    pub fn payload_bytes_kept(&self) -> usize {
        self.rumors.bytes_kept()
    }

    /// How many rumours are remembered, so that they are not told twice: at most twice
    /// [`Config::seen_max`](crate::Config::seen_max).
    #[must_use]
    pub fn rumors_remembered(&self) -> usize {
        self.rumors.remembered()
    }

    /// Bytes in the buffers of all streams.
    #[must_use]
    pub fn stream_bytes(&self) -> usize {
        self.streams.buffered()
    }

    /// How many events wait to be polled, [`Fact::Resync`](crate::Fact::Resync) apart.
    #[must_use]
    pub fn events_waiting(&self) -> usize {
        self.events.len()
    }

    /// How many seeds have not answered yet.
    #[must_use]
    pub fn seeds_waiting(&self) -> usize {
        self.seeds.len()
    }

    /// How many streams are open, in both directions.
    #[must_use]
    pub fn streams_open(&self) -> usize {
        self.streams.len()
    }

    /// Bytes of the largest payload that [`broadcast`](Self::broadcast) takes.
    #[must_use]
    pub fn broadcast_len_max(&self) -> usize {
        self.rumor_payload_max()
    }

    /// The plain memberlist members that this node brings rumours of channel 0 to, in the mode
    /// `matching`, as of its last gossip tick: each has two such proxies, where there are two of ours.
    pub fn stands_in_for(&self) -> impl Iterator<Item = &NodeName> {
        let records = self.overlay.clients.iter().filter_map(|&client| self.table.get(client));
        records.map(|record| &record.name)
    }

    /// What the last [`Output::Send`](super::Output::Send) carried and why: for traces.
    #[must_use]
    pub fn last_datagram(&self) -> &Datagram {
        &self.datagram
    }
}
