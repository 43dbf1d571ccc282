//! Peers that promise what they do not have, and strangers that speak in others' names.

use std::ops::Range;

use rumormill::wire::control::{Announced, Control, Entries, Entry, TREES};
use rumormill::wire::envelope::{Data, Envelope};
use rumormill::wire::message::MessageType;
use rumormill::{BootEpoch, RumorId};
use rumormill_sim::Link;

use crate::cast::{CHANNEL, Cast, MS, SECOND, addr, id, seeds};
use crate::graphs::cube;

/// Has a member get a datagram in another's name.
fn forge(cast: &mut Cast, from: usize, to: usize, envelope: &Envelope<'_>) {
    let mut bytes = vec![MessageType::USER.0];
    envelope.encode(&mut bytes).unwrap();
    cast.world.forge(addr(from), id(to), &bytes);
}

/// The payload was evicted at all neighbours that announce it: it is asked for elsewhere.
#[test]
fn a_payload_that_is_announced_and_not_kept_is_asked_for_elsewhere() {
    let victim = 31;
    for seed in seeds() {
        let mut cast = Cast::with(seed, cube(5), |index, config| {
            if cube(5)[victim].contains(&index) {
                config.payload_cache_bytes_max = 0;
            }
        });
        cast.warm(&[0]);
        let parent = cast.parent(cast.said.len() - 1, victim).unwrap();
        cast.world.set_link(id(parent), id(victim), Link::Cut);
        let said = cast.talk(&[0], 4 * SECOND, 200 * MS);
        cast.assert_repaired(said);
        assert!(cast.sum(|stats| stats.pulls_unanswered) > 0, "seed {seed}: somebody was");
        cast.world.open_links();
        cast.assert_whole(&[0]);
    }
}

/// Everybody is told to send the victim ids only, and the victim to send nothing else either, again and
/// again, in every tree. It is one more round trip to all that is said: whoever hears an id asks.
#[test]
fn a_member_all_of_whose_links_are_pruned_in_others_names() {
    let victim = 11;
    let trees: Vec<u8> = (0..TREES).collect();
    let prune = Envelope::Control(Control::Prune { trees: Entries::decode(&trees).unwrap() });
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        let origins = [0, victim];
        cast.warm(&origins);
        let said = cast.talk_while(&origins, 4 * SECOND, 100 * MS, |cast| {
            for peer in cast.graph[victim].clone() {
                forge(cast, peer, victim, &prune);
                forge(cast, victim, peer, &prune);
            }
        });
        cast.run(SECOND / 2);
        cast.assert_heard(said, "while links are pruned");
        cast.assert_whole(&origins);
    }
}

/// A member announces more than anybody may miss, none of which exists, all the time, and so it has used up
/// its share of what the victim asks for, and of what waits to be told. What the others announce is asked for
/// all the same: the tree's payloads do not come.
#[test]
fn a_member_that_announces_what_does_not_exist() {
    let (victim, flooder) = (31, 0b01110);
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let parent = cast.parent(cast.said.len() - 1, victim).unwrap();
        cast.world.set_link(id(parent), id(victim), Link::Cut);
        let mut invented = 0;
        let said = cast.talk_while(&[0], 4 * SECOND, 100 * MS, |cast| {
            for _ in 0..50 {
                let ids = invented..invented + 100;
                invented = ids.end;
                forge(cast, flooder, victim, &announcing(ids, &mut Vec::new()));
            }
        });
        cast.run(SECOND / 2);
        cast.assert_heard(said, "while others' announcements are drowned");
        let stats = cast.node(victim).stats();
        assert!(stats.shares_spent > 100_000, "seed {seed}: {}", stats.shares_spent);
        assert_eq!(stats.controls_dropped, 0, "seed {seed}: there is room for others");
        cast.world.open_links();
        // Until what it was asked for is given up.
        cast.run(2 * SECOND);
        cast.assert_whole(&[0]);
    }
}

/// Says that its sender has rumours of these ids.
fn announcing(ids: Range<u64>, bytes: &mut Vec<u8>) -> Envelope<'_> {
    for id in ids {
        Announced { id, tree: 0, hold_ms: 0 }.put(bytes).unwrap();
    }
    let (answer, fetch, passed) = (false, false, false);
    let entries = Entries::decode(bytes).unwrap();
    Envelope::Control(Control::IHave { answer, fetch, passed, entries })
}

/// Everybody around the victim is told in its name that it has what is yet to be said. No link brings it
/// then: digests do.
#[test]
fn a_member_that_is_said_not_to_want_what_comes() {
    let victim = 11;
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let first = cast.said.len() as u64;
        let ids: Vec<u8> = (first..first + 20)
            .flat_map(|sequence| numbered(&cast, sequence).short().0.to_be_bytes())
            .collect();
        let unwanted =
            Envelope::Control(Control::IDontWant { ids: Entries::decode(&ids).unwrap() });
        for peer in (0..32).filter(|&peer| peer != victim) {
            forge(&mut cast, victim, peer, &unwanted);
        }
        let first = cast.say(0);
        cast.run(150 * MS);
        assert_eq!(cast.missing(first), [victim], "seed {seed}: nobody sends it unasked");
        let said = cast.talk(&[0], 2 * SECOND, 100 * MS);
        cast.assert_repaired(first..said.end);
        cast.assert_whole(&[0]);
    }
}

/// The id of what node 0 says as its so-many-th.
fn numbered(cast: &Cast, sequence: u64) -> RumorId {
    RumorId::Numbered { origin: cast.world.name(id(0)).clone(), epoch: BootEpoch(1), sequence }
}

/// Somebody says something else under node 0's number.
fn usurp(cast: &mut Cast, from: usize, to: usize, number: usize) {
    let mut payload = (number as u64).to_be_bytes().to_vec();
    payload.extend_from_slice(b"something else");
    let origin = cast.world.name(id(0)).clone();
    let data = Data {
        channel: CHANNEL,
        epoch: BootEpoch(1),
        sequence: number as u64,
        hop: 1,
        age_ms: 0,
        off_tree: false,
        origin: origin.as_bytes(),
        payload: &payload,
    };
    forge(cast, from, to, &Envelope::Data(data));
}

#[test]
fn another_payload_under_a_known_id_is_not_told() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let number = cast.say(0);
        cast.run(SECOND);
        for to in 1..32 {
            usurp(&mut cast, to ^ 1, to, number);
        }
        cast.run(SECOND);
        let payloads = &cast.world.watch().payloads[&number];
        assert!(payloads.iter().eq([&cast.said[number].payload]), "seed {seed}");
        cast.assert_whole(&[0]);
    }
}

/// Whoever has an id first decides what it stands for, where nobody holds keys. Nobody is told both, and
/// what comes after it is not touched.
#[test]
fn another_payload_that_comes_before_its_id_is_told_instead_not_as_well() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let number = cast.said.len();
        usurp(&mut cast, 21, 20, number);
        cast.run(2 * MS);
        assert_eq!(cast.say(0), number);
        cast.assert_repaired(number..number + 1);
        assert_eq!(cast.world.watch().payloads[&number].len(), 2, "seed {seed}");
        cast.assert_whole(&[0]);
    }
}
