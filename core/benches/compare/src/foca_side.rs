//! foca, with the identity that its documentation suggests for IPv4: an address, and a number that
//! makes a restarted member another one.

use std::hint::black_box;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use foca::{
    Codec as _, Config, Foca, Header, Identity, Incarnation, Member, Message, NoCustomBroadcast,
    Notification, PostcardCodec, Runtime, State, Timer,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::crowd;
use crate::{Side, Work, count_allocations, heap_per_member, time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    addr: SocketAddrV4,
    renewed: u16,
}

impl Identity for Id {
    type Addr = SocketAddrV4;

    fn renew(&self) -> Option<Self> {
        Some(Self { renewed: self.renewed.wrapping_add(1), ..*self })
    }

    fn addr(&self) -> SocketAddrV4 {
        self.addr
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.renewed > adversary.renewed
    }
}

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Sink {
    sent: u32,
}

impl Runtime<Id> for Sink {
    fn notify(&mut self, notification: Notification<'_, Id>) {
        black_box(&notification);
    }

    fn send_to(&mut self, to: Id, data: &[u8]) {
        black_box((to, data));
        self.sent += 1;
    }

    fn submit_after(&mut self, event: Timer<Id>, after: Duration) {
        black_box((event, after));
    }
}

type Node = Foca<Id, PostcardCodec, StdRng, NoCustomBroadcast>;

pub struct FocaSide {
    node: Node,
    size: usize,
    /// From members all over its list, which it walks until it finds the sender.
    pings: Vec<Vec<u8>>,
    known: Vec<Vec<u8>>,
}

impl FocaSide {
    pub fn new(size: usize) -> Self {
        let mut node = alone();
        meet(&mut node, size);
        let members = crowd::known_members(size);
        let ping = |&sender: &usize| packet(sender, Message::Ping(7), &[]);
        let pings = members.iter().map(ping).collect();
        let known = vec![packet(1, Message::Gossip, &members)];
        Self { node, size, pings, known }
    }
}

impl Side for FocaSide {
    fn run(&mut self, work: Work, packets: u32) -> Duration {
        let (list, answers) = match work {
            Work::Ping => (&self.pings, packets),
            Work::Known => (&self.known, 0),
        };
        let mut sink = Sink::default();
        let elapsed = time(|| {
            for packet in list.iter().cycle().take(packets as usize) {
                self.node.handle_data(black_box(packet), &mut sink).expect("the packet is valid");
            }
        });
        assert_eq!(sink.sent, answers);
        elapsed
    }

    fn allocations(&mut self, work: Work, packets: u32) -> f64 {
        count_allocations(packets, || {
            self.run(work, packets);
        })
    }

    fn bytes_per_member(&mut self) -> f64 {
        let size = self.size;
        heap_per_member(size, alone, |node| meet(node, size))
    }
}

fn id(index: usize) -> Id {
    let SocketAddr::V4(addr) = crowd::addr(index) else { unreachable!("the crowd has IPv4") };
    Id { addr, renewed: 0 }
}

fn alone() -> Node {
    Foca::new(id(0), Config::simple(), StdRng::seed_from_u64(1), PostcardCodec)
}

fn meet(node: &mut Node, size: usize) {
    let mut sink = Sink::default();
    let members = (1..size).map(|index| Member::alive(id(index)));
    node.apply_many(members, true, &mut sink).expect("the members are valid");
    while node.updates_backlog() > 0 {
        node.gossip(&mut sink).expect("gossip has somebody to go to");
    }
    assert_eq!(node.num_members(), size - 1, "the members are known");
}

/// What a member sends: a header, and what it knows about others.
fn packet(sender: usize, message: Message<Id>, about: &[usize]) -> Vec<u8> {
    let (mut codec, mut bytes) = (PostcardCodec, Vec::new());
    let src_incarnation = Incarnation::default();
    let header = Header { src: id(sender), src_incarnation, dst: id(0), message };
    codec.encode_header(&header, &mut bytes).expect("a vector is never full");
    if !about.is_empty() {
        bytes.extend_from_slice(&(about.len() as u16).to_be_bytes());
    }
    for &index in about {
        let member = Member::new(id(index), Incarnation::default(), State::Alive);
        codec.encode_member(&member, &mut bytes).expect("a vector is never full");
    }
    bytes
}
