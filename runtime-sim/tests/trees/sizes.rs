//! Payloads of all sizes, bursts, clusters of one to three.

use rumormill::NEIGHBORS_MAX;
use rumormill_sim::{Bandwidth, Ratio};

use crate::cast::{CHANNEL, Cast, MS, REPAIR, SECOND, id, seeds};
use crate::graphs::{bus, cube, full, regular, ring};

/// Ids in a digest.
const DIGEST_IDS: u32 = 128;

/// Payloads of one size while a twentieth of the datagrams is lost.
fn payloads(len: usize, count: usize) -> Cast {
    let mut last = None;
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(4));
        cast.warm(&[0]);
        cast.world.network_mut().loss = Ratio::percent(5);
        let first = cast.said.len();
        for _ in 0..count {
            cast.say_long(0, CHANNEL, len);
            cast.run(400 * MS);
        }
        cast.world.network_mut().loss = Ratio::ZERO;
        cast.assert_repaired(first..first + count);
        let pieces = &cast.world.watch().payloads;
        assert!((first..first + count).all(|number| pieces[&number].len() == 1));
        cast.assert_whole(&[0]);
        last = Some(cast);
    }
    last.unwrap()
}

#[test]
fn payloads_that_fill_a_datagram() {
    let cast = payloads(1_340, 20);
    assert!(cast.sum(|stats| stats.rumor_copies_forwarded) >= 20 * 15, "by datagram");
}

#[test]
fn payloads_of_64_kb() {
    let cast = payloads(65_536, 10);
    // Whoever is asked in vain for two seconds is too slow, and sends it all the same.
    let fetched = cast.sum(|stats| stats.rumor_copies_grafted);
    assert!((150..=160).contains(&fetched), "over streams, once each: {fetched}");
}

/// While a tree takes shape, payloads over a thousand bytes are declined before they are sent: where
/// uplinks are narrow, words about them overtake them.
#[test]
fn whoever_has_a_large_payload_is_not_sent_it_again() {
    for seed in seeds() {
        let flood = |len| {
            let mut cast = Cast::new(seed, full(12));
            let narrow = Bandwidth { bytes_per_second: 100_000, queue_bytes_max: 100_000 };
            (0..12).for_each(|index| cast.world.set_bandwidth(id(index), Some(narrow)));
            let number = cast.say_long(0, CHANNEL, len);
            cast.run(2 * SECOND);
            cast.assert_heard(number..number + 1, "through narrow uplinks");
            (cast.copies(number), cast.sum(|stats| stats.payloads_declined))
        };
        let ((small, nobody), (large, declined)) = (flood(1_000), flood(1_001));
        assert!(nobody == 0 && declined > 0, "seed {seed}: {nobody}, {declined}");
        assert!(
            large * 4 <= small * 3,
            "seed {seed}: {large} copies, {small} where nobody declines"
        );
    }
}

/// So much at one instant that digests take turns.
#[test]
fn a_burst_of_500_under_loss() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, regular(32, seed));
        let origins = [0, 1];
        cast.warm(&origins);
        cast.world.network_mut().loss = Ratio::percent(5);
        let first = cast.said.len();
        for number in 0..500 {
            cast.say(origins[number % 2]);
        }
        cast.run(SECOND);
        cast.world.network_mut().loss = Ratio::ZERO;
        cast.assert_repaired_within(REPAIR * 500_u32.div_ceil(DIGEST_IDS), first..first + 500);
        cast.assert_whole(&origins);
    }
}

/// The origin's uplink holds a tenth of what it wants to send at once.
#[test]
fn a_burst_of_500_through_a_narrow_uplink() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, regular(32, seed));
        cast.warm(&[0]);
        let narrow = Bandwidth { bytes_per_second: 250_000, queue_bytes_max: 16_000 };
        cast.world.set_bandwidth(id(0), Some(narrow));
        let first = cast.said.len();
        for _ in 0..500 {
            cast.say(0);
        }
        cast.run(SECOND);
        assert!(cast.world.stats().overflowed > 250, "most of it is lost");
        cast.assert_repaired_within(REPAIR * 500_u32.div_ceil(DIGEST_IDS), first..first + 500);
        cast.world.set_bandwidth(id(0), None);
        cast.assert_whole(&[0]);
    }
}

#[test]
fn ids_of_a_burst_share_datagrams() {
    let mut cast = Cast::new(0, cube(5));
    cast.warm(&[0]);
    let before = cast.sum(|stats| stats.control_sent);
    let first = cast.said.len();
    for _ in 0..100 {
        cast.say(0);
    }
    cast.run(100 * MS);
    // Each of 80 links carries 100 ids or payloads, both ways.
    let datagrams = cast.sum(|stats| stats.control_sent) - before;
    assert!(datagrams < 2 * 80 * 100 / 10, "{datagrams}");
    cast.assert_repaired(first..first + 100);
}

#[test]
fn one_member_alone() {
    let mut cast = Cast::new(0, bus(1));
    let said = cast.talk(&[0], 5 * SECOND, 100 * MS);
    cast.assert_heard(said.clone(), "by itself");
    assert_eq!(said.map(|number| cast.copies(number)).sum::<usize>(), 0);
    assert!(cast.world.watch().along_links.is_empty());
    cast.assert_sound();
}

#[test]
fn two_and_three_members_of_which_one_dies() {
    for (seed, size) in seeds().flat_map(|seed| [(seed, 2), (seed, 3)]) {
        let mut cast = Cast::new(seed, if size == 2 { bus(2) } else { ring(3) });
        cast.warm(&[0]);
        cast.world.network_mut().loss = Ratio::percent(20);
        let said = cast.talk(&[0, size - 1], 4 * SECOND, 100 * MS);
        cast.world.network_mut().loss = Ratio::ZERO;
        cast.assert_repaired(said);
        cast.assert_whole(&[0]);
        cast.crash(size - 1);
        let said = cast.talk(&[0], 2 * SECOND, 100 * MS);
        cast.assert_repaired(said);
        assert!(cast.meet(60 * SECOND));
        let said = cast.talk(&[0], 2 * SECOND, 100 * MS);
        cast.assert_repaired(said);
        cast.assert_sound();
    }
}

/// Everybody lists as many neighbours as a configuration may, all others.
#[test]
fn as_many_links_as_may_be() {
    let mut cast = Cast::new(0, full(NEIGHBORS_MAX + 1));
    cast.warm(&[0]);
    cast.world.network_mut().loss = Ratio::percent(5);
    let said = cast.talk(&[0], 2 * SECOND, 200 * MS);
    cast.world.network_mut().loss = Ratio::ZERO;
    cast.assert_repaired(said);
    cast.assert_whole(&[0]);
}
