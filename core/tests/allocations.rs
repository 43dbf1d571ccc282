//! Packets that teach a node nothing new allocate nothing.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

use std::net::SocketAddr;
use std::time::Duration;

use rumormill::wire::envelope::{Data, Envelope};
use rumormill::wire::message::{Accusation, Alive, Message, MessageType, NodeAddr, Ping, Source};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::packet::{Checksum, PacketWriter};
use rumormill::{
    BootEpoch, Channel, Config, Identity, Incarnation, Instant, Node, NodeName, Output, Params,
    SeqNo,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A node in a world where time passes when the test says so.
struct World {
    node: Node,
    now: Instant,
    buf: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let identity = Identity {
            name: NodeName::new("me").unwrap(),
            addr: addr(100),
            incarnation: Incarnation(1),
            boot_epoch: BootEpoch(1),
        };
        // Nobody answers probes here, and the silent would be condemned.
        let config = Config { probe_interval: None, ..Config::lan() };
        let params = Params::try_from(config).unwrap();
        let node = Node::new(Instant::ZERO, identity, params, [1; 32]);
        Self { node, now: Instant::ZERO, buf: vec![0; 1_400] }
    }

    /// How many datagrams the node sends for a packet.
    fn receive(&mut self, packet: &[u8]) -> usize {
        self.now += Duration::from_micros(1);
        self.node.handle_packet(self.now, addr(1), packet).unwrap();
        self.drain()
    }

    fn drain(&mut self) -> usize {
        let mut datagrams = 0;
        loop {
            match self.node.poll_output(&mut self.buf) {
                Output::Send { .. } => datagrams += 1,
                Output::Timer(_) => return datagrams,
                _ => {}
            }
        }
    }

    /// Lets the queues of news run empty: what is left to send may be moved about.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.now += Duration::from_millis(200);
            self.node.handle_tick(self.now);
            self.drain();
        }
        assert_eq!((self.node.updates_waiting(), self.node.rumors_waiting()), (0, 0));
    }
}

fn addr(index: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, index], 7_946))
}

fn packet(messages: &[Message<'_>]) -> Vec<u8> {
    let mut buf = vec![0; 8_192];
    let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Present);
    for message in messages {
        writer.part(|out| message.encode(out)).unwrap();
    }
    let len = writer.finish();
    buf.truncate(len);
    buf
}

fn known_members(names: &[String]) -> Vec<u8> {
    let addrs: Vec<_> = (1..).map(|index| NodeAddr::from(addr(index))).take(names.len()).collect();
    let alive = |(name, addr): (&'static str, &'static NodeAddr)| {
        Message::Alive(Alive {
            incarnation: Incarnation(1),
            node: name.as_bytes().into(),
            addr: addr.ip_bytes().into(),
            port: addr.port,
            meta: Blob::Nil,
            vsn: (&[1, 5, 2, 0, 0, 0][..]).into(),
        })
    };
    let names: &'static [String] = names.to_vec().leak();
    let addrs: &'static [NodeAddr] = addrs.leak();
    let alives: Vec<_> = names.iter().map(String::as_str).zip(addrs).map(alive).collect();
    packet(&alives)
}

fn ping(names: &[String]) -> Vec<u8> {
    packet(&[Message::Ping(Ping {
        seq: SeqNo(7),
        node: Blob::Borrowed(b"me"),
        source: Source {
            addr: (&[10, 0, 0, 1][..]).into(),
            port: 7_946,
            node: names[0].as_bytes().into(),
        },
    })])
}

fn stale_accusation(names: &[String]) -> Vec<u8> {
    packet(&[Message::Suspect(Accusation {
        incarnation: Incarnation(0),
        node: names[1].as_bytes().into(),
        from: names[2].as_bytes().into(),
    })])
}

fn rumor(names: &[String]) -> Vec<u8> {
    let mut rumor = vec![MessageType::USER.0];
    let data = Data {
        channel: Channel(1),
        epoch: BootEpoch(1),
        sequence: 1,
        hop: 1,
        age_ms: 0,
        origin: names[3].as_bytes(),
        payload: b"news",
    };
    Envelope::Data(data).encode(&mut rumor).unwrap();
    rumor
}

/// Blocks that the heap handed out while `work` ran.
fn blocks(work: impl FnOnce()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}

#[test]
fn known_news_and_probes_allocate_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let names: Vec<String> = (0..30).map(|index| format!("node-{index}")).collect();
    let packets = [
        ("known members", known_members(&names), 0),
        ("a stale accusation", stale_accusation(&names), 0),
        ("a rumour", rumor(&names), 0),
        ("a bare rumour", b"\x08plain news".to_vec(), 0),
        ("a ping", ping(&names), 1),
    ];
    let mut world = World::new();
    // The first time each of them is news, or grows a buffer.
    for (_, packet, _) in &packets {
        world.receive(packet);
    }
    world.settle();
    assert_eq!(world.node.live_members(), 31, "the members are known");
    for (what, packet, answers) in &packets {
        let blocks = blocks(|| {
            for _ in 0..100 {
                assert_eq!(world.receive(packet), *answers, "{what}");
            }
        });
        assert_eq!(blocks, 0, "{what}");
    }
}
