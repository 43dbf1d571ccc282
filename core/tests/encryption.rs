//! Clusters with keys, and with compression.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use std::time::Duration;

use bytes::Bytes;
use rumormill::wire::keyring::SealError;
use rumormill::wire::stream::StreamError;
use rumormill::{Channel, Config, Delivery, Fact, Key, Keyring, PacketError, StreamFailure};
use util::{Cluster, accusation, addr, name};

const SECOND: Duration = Duration::from_secs(1);

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).unwrap()
}

fn ring(keys: &[Key]) -> Keyring {
    let mut ring = Keyring::new();
    for key in keys {
        ring.install(key.clone()).unwrap();
    }
    ring
}

fn with_keys(keys: &[Key]) -> Config {
    Config { keyring: ring(keys), label: b"blue".to_vec(), ..Config::lan() }
}

fn all_see(cluster: &Cluster, size: usize) -> bool {
    (0..size).all(|index| cluster.node(index).live_members() == size)
}

#[test]
fn a_cluster_with_a_key_does_all_that_one_without_does() {
    for protocol_version in [1, 2, 5] {
        let config = Config { protocol_version, ..with_keys(&[key(1)]) };
        let mut cluster = Cluster::joined(5, &config);
        cluster.act(0, |node, now| node.broadcast(now, Channel(7), b"rumour")).unwrap();
        let to = name(1);
        for delivery in [Delivery::BestEffort, Delivery::Reliable] {
            cluster
                .act(2, |node, now| node.send(now, &to, Channel(7), b"message", delivery))
                .unwrap();
        }
        cluster.act(3, |node, _| node.set_channel_state(Channel(7), Bytes::from_static(b"state")));
        cluster.run_for(60 * SECOND);
        let told: Vec<_> = (0..5).map(|index| cluster.facts(index)).collect();
        for (index, told) in told.iter().enumerate() {
            let count = |wanted: fn(&Fact) -> bool| told.iter().filter(|fact| wanted(fact)).count();
            assert_eq!(count(|fact| matches!(fact, Fact::Rumor { .. })), usize::from(index != 0));
            let messages = count(|fact| matches!(fact, Fact::Message { .. }));
            assert_eq!(messages, if index == 1 { 2 } else { 0 });
            assert_eq!(count(|fact| matches!(fact, Fact::Suspected { .. })), 0, "{told:?}");
        }
        let is_state =
            |fact: &Fact| matches!(fact, Fact::PeerState { bytes, .. } if *bytes == "state");
        assert!(told.iter().flatten().any(is_state));
        for sent in &cluster.sent {
            let version = if protocol_version == 1 { 0 } else { 1 };
            assert!(sent.bytes.starts_with(b"\xf4\x04blue"));
            assert_eq!(sent.bytes[6], version);
            assert!(sent.bytes.len() <= config.packet_size_max);
            assert!(!sent.bytes.windows(6).any(|window| window == b"node-1"));
        }
    }
}

#[test]
fn no_nonce_comes_twice() {
    let mut cluster = Cluster::joined(3, &Config { label: Vec::new(), ..with_keys(&[key(1)]) });
    cluster.run_for(20 * SECOND);
    for node in 0..3 {
        let mut nonces: Vec<_> =
            cluster.sent.iter().filter(|sent| sent.from == node).map(|s| &s.bytes[1..13]).collect();
        let count = nonces.len();
        nonces.sort_unstable();
        nonces.dedup();
        assert!(count > 40 && nonces.len() == count);
    }
}

#[test]
fn another_key_is_refused_on_both_sides_and_the_reason_is_told() {
    let mut cluster = Cluster::with(2, |index| with_keys(&[key(u8::try_from(index).unwrap())]));
    cluster.act(1, |node, now| node.join(now, &[addr(0)]));
    cluster.run_for(SECOND);
    assert!(!all_see(&cluster, 2));
    let reasons: Vec<_> = cluster
        .facts(1)
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::SeedFailed { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    let no_key = StreamFailure::Answer(StreamError::Sealed(SealError::NoKey));
    assert_eq!(reasons[0], no_key, "the answer is encrypted with their key");
    assert!(cluster.node(0).stats().undecryptable > 0);
    assert!(cluster.node(1).stats().undecryptable > 0);
}

#[test]
fn plaintext_and_ciphertext_do_not_meet() {
    let plain = Config { label: b"blue".to_vec(), ..Config::lan() };
    for (first, second) in
        [(plain.clone(), with_keys(&[key(1)])), (with_keys(&[key(1)]), plain.clone())]
    {
        let configs = [first, second];
        let mut cluster = Cluster::with(2, |index| configs[index].clone());
        cluster.act(1, |node, now| node.join(now, &[addr(0)]));
        cluster.run_for(SECOND);
        assert!(!all_see(&cluster, 2));
        let told = cluster.facts(1);
        assert!(told.iter().any(|fact| matches!(fact, Fact::SeedFailed { .. })), "{told:?}");
    }
}

#[test]
fn a_forged_datagram_without_the_key_changes_nothing() {
    let mut cluster = Cluster::joined(3, &with_keys(&[key(1)]));
    let dead = [&b"\xf4\x04blue"[..], &accusation(util::Accuse::Dead, 1, 2, 9)].concat();
    let heard = cluster.act(0, |node, now| node.handle_packet(now, addr(2), &dead));
    assert!(matches!(heard, Err(PacketError::Sealed(_))), "{heard:?}");
    assert!(all_see(&cluster, 3));
}

#[test]
fn keys_rotate_under_traffic_and_nobody_is_suspected() {
    const SIZE: usize = 6;
    let (old, new) = (key(1), key(2));
    let mut cluster = Cluster::joined(SIZE, &with_keys(std::slice::from_ref(&old)));
    let mut sent = 0_u32;
    let mut one_by_one = |cluster: &mut Cluster, change: &dyn Fn(&mut Keyring)| {
        for index in 0..SIZE {
            cluster.act(index, |node, _| change(node.keyring_mut()));
            let payload = sent.to_be_bytes();
            sent += 1;
            cluster.act(index, |node, now| node.broadcast(now, Channel(1), &payload)).unwrap();
            cluster.run_for(SECOND);
        }
    };
    one_by_one(&mut cluster, &|ring| assert_eq!(ring.install(key(2)), Ok(true)));
    one_by_one(&mut cluster, &|ring| ring.use_key(&key(2)).unwrap());
    one_by_one(&mut cluster, &|ring| assert_eq!(ring.remove(&key(1)), Ok(true)));
    cluster.run_for(40 * SECOND);
    assert!(all_see(&cluster, SIZE));
    for index in 0..SIZE {
        let told = cluster.facts(index);
        assert!(!told.iter().any(|fact| matches!(fact, Fact::Suspected { .. })), "{told:?}");
        let rumors = told.iter().filter(|fact| matches!(fact, Fact::Rumor { .. })).count();
        assert_eq!(rumors, 2 * SIZE + SIZE - 3, "all but its own three");
        assert_eq!(cluster.node(index).stats().undecryptable, 0);
        assert_eq!(cluster.node(index).keyring().keys().collect::<Vec<_>>(), [&new]);
    }
    // Whoever has only the old key is out.
    cluster.start(0, with_keys(&[old]));
    cluster.act(0, |node, now| node.join(now, &[addr(1)]));
    cluster.run_for(SECOND);
    assert_eq!(cluster.node(0).live_members(), 1);
}

/// Protocol page §4.16: keys first, then encrypting, then insisting; one node at a time.
#[test]
fn a_running_cluster_changes_from_plaintext_to_encryption() {
    let plain = Config::lan();
    let stage = |verify_outgoing, verify_incoming| Config {
        keyring: ring(&[key(1)]),
        verify_outgoing,
        verify_incoming,
        ..plain.clone()
    };
    let mut cluster = Cluster::joined(2, &plain);
    for config in [stage(false, false), stage(true, false), stage(true, true)] {
        for index in 0..2 {
            cluster.act(index, rumormill::Node::leave);
            cluster.run_for(5 * SECOND);
            cluster.start(index, config.clone());
            cluster.act(index, |node, now| node.join(now, &[addr(1 - index)]));
            let together = cluster.run_until(20 * SECOND, |cluster| all_see(cluster, 2));
            assert!(together, "node {index} with {config:?}");
        }
    }
}

#[test]
fn compression_is_understood_by_all_and_used_by_those_who_want_it() {
    let packs = |index: usize| index.is_multiple_of(2);
    let mut cluster =
        Cluster::with(4, |index| Config { compression: packs(index), ..Config::lan() });
    cluster.join_all();
    let payload = [b'x'; 800];
    cluster.act(0, |node, now| node.broadcast(now, Channel(7), &payload)).unwrap();
    cluster.act(1, |node, now| node.broadcast(now, Channel(7), &payload)).unwrap();
    cluster.run_for(40 * SECOND);
    for index in 0..4 {
        let told = cluster.facts(index);
        let rumors = told.iter().filter(|fact| matches!(fact, Fact::Rumor { .. })).count();
        assert_eq!(rumors, if index < 2 { 1 } else { 2 });
    }
    assert!(
        cluster.sent.iter().any(|sent| sent.bytes.get(5) == Some(&9) && sent.bytes.len() < 300)
    );
    let is_long = |sent: &&util::Sent| sent.bytes.len() > 800;
    assert!(cluster.sent.iter().filter(is_long).all(|sent| !packs(sent.from)));
}
