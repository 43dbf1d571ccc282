//! Values out of chance: whatever bytes there are, something valid comes out, and more of the
//! likely than of the odd.

use arbitrary::Unstructured;

use rumormill::wire::message::{
    Accusation, Ack, Alive, IndirectPing, Message, Nack, NodeState, Ping, Source, WireState,
};
use rumormill::wire::msgpack::Blob;
use rumormill::{Incarnation, SeqNo};

use super::world::VSN;

/// The members of small worlds; what else is drawn is a stranger.
pub(super) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Where they live, and their port.
pub(super) const IPS: [[u8; 4]; 4] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3], [10, 0, 0, 4]];
pub(super) const PORT: u16 = 7_946;

/// What is few bytes.
const FEW: usize = 24;

/// Chance; when it runs out, zeros.
pub(super) struct Draw<'a>(Unstructured<'a>);

impl<'a> Draw<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// How many bytes of chance are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub(super) fn u16(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub(super) fn u32(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub(super) fn u64(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or_default()
    }

    /// True once in `times`; false when chance has run out.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// At most `max` bytes, mostly few, and fewer when chance runs out.
    pub(super) fn bytes(&mut self, max: usize) -> &'a [u8] {
        let max = if self.once_in(8) { max } else { max.min(FEW) };
        let len = self.below(max + 1).min(self.left());
        self.0.bytes(len).unwrap_or_default()
    }

    /// Mostly a number of those that members count with.
    fn number(&mut self) -> u32 {
        if self.once_in(8) { self.u32() } else { u32::from(self.byte() >> 4) }
    }

    fn name(&mut self) -> Blob<'a> {
        let name = if self.once_in(8) { self.bytes(300) } else { self.pick(&NAMES).as_bytes() };
        Blob::Borrowed(name)
    }

    fn ip(&mut self) -> &'a [u8] {
        let index = self.below(IPS.len());
        if self.once_in(8) { self.bytes(20) } else { &IPS[index] }
    }

    fn port(&mut self) -> u16 {
        if self.once_in(8) { self.u16() } else { PORT }
    }

    fn blob(&mut self, max: usize) -> Blob<'a> {
        if self.once_in(4) { Blob::Nil } else { Blob::Borrowed(self.bytes(max)) }
    }

    fn source(&mut self) -> Source<'a> {
        if self.once_in(4) {
            return Source::default();
        }
        let node = self.name();
        let node = if node.is_empty() { Blob::Nil } else { node };
        Source { addr: Blob::nil_if_empty(self.ip()), port: self.port(), node }
    }

    pub(super) fn ping(&mut self) -> Ping<'a> {
        Ping { seq: SeqNo(self.number()), node: self.name(), source: self.source() }
    }

    pub(super) fn ack(&mut self) -> Ack<'a> {
        Ack { seq: SeqNo(self.number()), payload: self.blob(600) }
    }

    fn indirect_ping(&mut self) -> IndirectPing<'a> {
        IndirectPing {
            seq: SeqNo(self.number()),
            target: self.ip().into(),
            port: self.port(),
            node: self.name(),
            nack: self.once_in(2),
            source: self.source(),
        }
    }

    fn accusation(&mut self) -> Accusation<'a> {
        Accusation { incarnation: Incarnation(self.number()), node: self.name(), from: self.name() }
    }

    fn alive(&mut self) -> Alive<'a> {
        Alive {
            incarnation: Incarnation(self.number()),
            node: self.name(),
            addr: if self.once_in(16) { Blob::Nil } else { self.ip().into() },
            port: self.port(),
            meta: self.blob(520),
            vsn: if self.once_in(8) { self.blob(8) } else { Blob::Borrowed(&VSN) },
        }
    }

    pub(super) fn node_state(&mut self) -> NodeState<'a> {
        let state = if self.once_in(16) { self.u32() } else { self.byte().into() };
        NodeState { alive: self.alive(), state: WireState(state % 5) }
    }

    /// Any message that a datagram may hold.
    pub(super) fn message(&mut self) -> Message<'a> {
        match self.below(8) {
            0 => Message::Ping(self.ping()),
            1 => Message::IndirectPing(self.indirect_ping()),
            2 => Message::Ack(self.ack()),
            3 => Message::Suspect(self.accusation()),
            4 => Message::Dead(self.accusation()),
            5 => Message::User(self.bytes(1_500)),
            6 => Message::Nack(Nack { seq: SeqNo(self.number()) }),
            _ => Message::Alive(self.alive()),
        }
    }
}
