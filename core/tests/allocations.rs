//! Packets that teach a node nothing new allocate nothing, however many members it knows.

#![allow(clippy::unwrap_used, reason = "this is test code")]

#[path = "util/crowd.rs"]
mod crowd;

use crowd::{Crowd, SIZES};
use rumormill::wire::envelope::{Data, Envelope};
use rumormill::wire::message::{Accusation, Message, MessageType};
use rumormill::{BootEpoch, Channel, Incarnation};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn stale_accusation() -> Vec<u8> {
    crowd::packet(&[Message::Suspect(Accusation {
        incarnation: Incarnation(0),
        node: crowd::name(1).as_bytes().into(),
        from: crowd::name(2).as_bytes().into(),
    })])
}

fn rumor() -> Vec<u8> {
    let (origin, mut rumor) = (crowd::name(3), vec![MessageType::USER.0]);
    let data = Data {
        channel: Channel(1),
        epoch: BootEpoch(1),
        sequence: 1,
        hop: 1,
        age_ms: 0,
        off_tree: false,
        origin: origin.as_bytes(),
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
    for size in SIZES {
        let packets = [
            ("20 known updates", crowd::known_updates(size), 0),
            ("a stale accusation", stale_accusation(), 0),
            ("a rumour", rumor(), 0),
            ("a bare rumour", b"\x08plain news".to_vec(), 0),
            ("a ping", crowd::ping(), 1),
        ];
        let mut crowd = Crowd::new(size, b"");
        // The first time each of them is news, or grows a buffer.
        for (_, packet, _) in &packets {
            crowd.receive(packet);
        }
        crowd.settle();
        for (what, packet, answers) in &packets {
            let blocks = blocks(|| {
                for _ in 0..20 {
                    assert_eq!(crowd.receive(packet), *answers, "{what}");
                }
            });
            assert_eq!(blocks, 0, "{what} at {size} members");
        }
    }
}
