//! A node that knows many members, and what one of them sends it: for benches, for the counts of
//! allocations and bytes, and for the comparison with other implementations.

#![allow(dead_code, unreachable_pub, reason = "each user needs another part")]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]
#![allow(missing_docs, missing_debug_implementations, reason = "this is test code")]

use std::net::SocketAddr;
use std::time::Duration;

use rumormill::wire::message::{Alive, Message, NodeAddr, Ping, Source};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::packet::{Checksum, PacketWriter};
use rumormill::{
    BootEpoch, Config, Identity, Incarnation, Instant, Node, NodeName, Output, Params, SeqNo,
};

/// Cluster sizes that are measured, the node itself included.
pub const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// Members that a gossip packet tells about.
pub const UPDATES: usize = 20;

/// Largest packet that a node sends here, and the buffer that it is composed in.
pub const PACKET_LEN: usize = 1_400;

/// A node in a world where time passes when the test says so.
pub struct Crowd {
    pub node: Node,
    now: Instant,
    buf: Vec<u8>,
}

impl Crowd {
    /// A node alone: member 0.
    pub fn alone() -> Self {
        let identity = Identity {
            name: NodeName::new(name(0)).unwrap(),
            addr: addr(0),
            incarnation: Incarnation(1),
            boot_epoch: BootEpoch(1),
        };
        // Nobody answers probes here, and the silent would be condemned. News is told to many at
        // once, so that the queues run empty soon.
        let config =
            Config { probe_interval: None, retransmit_mult: 1, gossip_fanout: 40, ..Config::lan() };
        let params = Params::try_from(config).unwrap();
        let node = Node::new(Instant::ZERO, identity, params, [1; 32]);
        let mut crowd = Self { node, now: Instant::ZERO, buf: vec![0; PACKET_LEN] };
        crowd.drain();
        crowd
    }

    /// A node that knows `size` members, itself included, and has nothing left to tell.
    pub fn new(size: usize, meta: &[u8]) -> Self {
        let mut crowd = Self::alone();
        crowd.meet(size, meta);
        crowd
    }

    /// Makes the node know `size` members in all, and settle.
    pub fn meet(&mut self, size: usize, meta: &[u8]) {
        let indexes: Vec<usize> = (1..size).collect();
        for some in indexes.chunks(100) {
            self.receive(&alives(some, meta));
        }
        self.settle();
        assert_eq!(self.node.live_members(), size, "the members are known");
    }

    /// How many datagrams the node sends for a packet of member 1.
    pub fn receive(&mut self, packet: &[u8]) -> usize {
        self.now += Duration::from_micros(1);
        self.node.handle_packet(self.now, addr(1), packet).unwrap();
        self.drain()
    }

    /// Like [`receive`](Self::receive) for a packet that gets one answer, which it tells.
    pub fn answer(&mut self, packet: &[u8]) -> &[u8] {
        self.now += Duration::from_micros(1);
        self.node.handle_packet(self.now, addr(1), packet).unwrap();
        let Output::Send { len, .. } = self.node.poll_output(&mut self.buf) else {
            panic!("the packet was not answered");
        };
        &self.buf[..len]
    }

    pub fn drain(&mut self) -> usize {
        let mut datagrams = 0;
        loop {
            match self.node.poll_output(&mut self.buf) {
                Output::Send { .. } => datagrams += 1,
                Output::Timer(_) => return datagrams,
                _ => {}
            }
        }
    }

    /// Lets the queues of news run empty. Needs somebody to tell it to.
    pub fn settle(&mut self) {
        while self.node.updates_waiting() + self.node.rumors_waiting() > 0 {
            self.now += Duration::from_millis(200);
            self.node.handle_tick(self.now);
            self.drain();
        }
    }
}

/// 12 bytes for every member.
pub fn name(index: usize) -> String {
    format!("member-{index:05}")
}

pub fn addr(index: usize) -> SocketAddr {
    let [.., a, b] = (index as u32).to_be_bytes();
    SocketAddr::from(([10, 0, a, b], 7_946))
}

pub fn packet(messages: &[Message<'_>]) -> Vec<u8> {
    let mut buf = vec![0; 65_507];
    let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Present);
    for message in messages {
        writer.part(|out| message.encode(out)).unwrap();
    }
    let len = writer.finish();
    buf.truncate(len);
    buf
}

/// The members of these numbers are alive.
pub fn alives(indexes: &[usize], meta: &[u8]) -> Vec<u8> {
    let members: Vec<(String, NodeAddr)> =
        indexes.iter().map(|&index| (name(index), addr(index).into())).collect();
    let alive = |(name, addr): &'_ (String, NodeAddr)| Alive {
        incarnation: Incarnation(1),
        node: Blob::Collected(name.as_bytes().to_vec()),
        addr: Blob::Collected(addr.ip_bytes().to_vec()),
        port: addr.port,
        meta: Blob::nil_if_empty(meta),
        vsn: (&[1, 5, 2, 0, 0, 0][..]).into(),
    };
    packet(&members.iter().map(alive).map(Message::Alive).collect::<Vec<_>>())
}

/// [`UPDATES`] members from all over the table; where there are fewer, some of them twice.
pub fn known_members(size: usize) -> Vec<usize> {
    let others = size - 1;
    let nth_of_few = |nth| 1 + nth % others;
    let nth_of_many = |nth| 1 + nth * others / UPDATES;
    (0..UPDATES)
        .map(|nth| if others < UPDATES { nth_of_few(nth) } else { nth_of_many(nth) })
        .collect()
}

/// Gossip about [`known_members`].
pub fn known_updates(size: usize) -> Vec<u8> {
    alives(&known_members(size), b"")
}

/// Member 1 asks whether the node is there.
pub fn ping() -> Vec<u8> {
    let source = addr(1).into();
    packet(&[ping_from(&source, name(1).as_bytes())])
}

fn ping_from<'a>(addr: &'a NodeAddr, name: &'a [u8]) -> Message<'a> {
    Message::Ping(Ping {
        seq: SeqNo(7),
        node: Blob::Borrowed(b"member-00000"),
        source: Source { addr: addr.ip_bytes().into(), port: addr.port, node: name.into() },
    })
}
