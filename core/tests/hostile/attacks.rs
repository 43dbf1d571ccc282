//! Whole attacks, at the bars that this core is held to.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant as Clock};

use rumormill::{Config, MemberState, StreamInput};

use crate::util::{Accuse, Cluster, accusation, addr, alive, alive_message, name, still};

const SECOND: Duration = Duration::from_secs(1);

/// No input may keep a node busy for longer.
const BUSY_MAX: Duration = Duration::from_millis(10);

/// Attempts that an input has to stay below [`BUSY_MAX`]: others use this machine too.
const ATTEMPTS: usize = 10;

/// A node is replaced after so many inputs. Each one may be a rumour to it, and its invariants are
/// checked over all of them whenever it is drained.
const INPUTS_PER_NODE: usize = 64;

struct Victim {
    world: Cluster,
    inputs: usize,
}

impl Victim {
    fn new() -> Self {
        let mut world = Cluster::new(1, &still(Config::lan()));
        for index in 1..=3 {
            world.hear(0, index, &alive(index, |_| ()));
        }
        Self { world, inputs: 0 }
    }

    /// Handles one datagram, one stream and one user message with these bytes.
    fn suffer(&mut self, bytes: &[u8]) {
        self.inputs += 1;
        if self.inputs == INPUTS_PER_NODE {
            *self = Self::new();
        }
        let user = [&[8], bytes].concat();
        for packet in [bytes, &user] {
            let _ = self.world.act(0, |node, now| node.handle_packet(now, addr(1), packet));
        }
        let from = ([10, 9, 9, 9], 1).into();
        let stream = self.world.act(0, |node, now| node.handle_accept(now, from)).unwrap();
        for input in [StreamInput::Bytes(bytes), StreamInput::Failed] {
            let _ = self.world.act(0, |node, now| node.handle_stream(now, stream, input));
        }
    }

    /// The same, and fails if that takes too long however often it is tried.
    #[allow(clippy::disallowed_methods, reason = "it is the time that is looked at")]
    fn suffer_in_time(&mut self, bytes: &[u8]) {
        let is_quick = |_| {
            let start = Clock::now();
            self.suffer(bytes);
            start.elapsed() < BUSY_MAX
        };
        assert!((0..ATTEMPTS).any(is_quick), "more than {BUSY_MAX:?} for {bytes:?}");
    }
}

/// Attack 3: all prefixes of one and two bytes, as datagram, stream and user message, bare and
/// behind a checksum or inside a compound.
#[test]
fn all_prefixes_of_one_and_two_bytes_are_survived() {
    let mut victim = Victim::new();
    let one = (0..=255_u8).map(|byte| vec![byte]);
    let two = (0..=u16::MAX).map(|bytes| bytes.to_be_bytes().to_vec());
    for bytes in one.chain(two) {
        victim.suffer_in_time(&bytes);
        let crc = crc32fast::hash(&bytes).to_be_bytes();
        let checked = [&[0x0c], &crc[..], &bytes].concat();
        let part = [&[7, 1, 0, bytes.len() as u8], &bytes[..]].concat();
        for packet in [checked, part] {
            let _ = victim.world.act(0, |node, now| node.handle_packet(now, addr(1), &packet));
        }
    }
}

/// Attack 3: every bit of every input of the corpora flipped, and every input cut off everywhere.
#[test]
fn flipped_bits_and_cuts_of_the_corpora_are_survived() {
    for target in ["packet", "stream", "envelope"] {
        let folder: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "corpus", target].iter().collect();
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut inputs: Vec<_> = paths.map(|path| fs::read(path).unwrap()).collect();
        inputs.sort();
        let mut victim = Victim::new();
        for input in inputs {
            for bit in 0..8 * input.len() {
                let mut flipped = input.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                victim.suffer_in_time(&flipped);
            }
            for len in 0..input.len() {
                victim.suffer(&input[..len]);
            }
        }
    }
}

/// Attack 4 in small steps: each statement lies as far above the last as is believed.
#[test]
fn many_small_steps_lead_no_higher_than_the_window() {
    let mut cluster = Cluster::joined(3, &Config::lan());
    for step in 1..200_u32 {
        let incarnation = step * 60_000;
        let forged = alive_message(1, addr(1), incarnation);
        cluster.hear(0, 99, &forged);
    }
    let known = cluster.node(0).member(name(1).as_bytes()).unwrap().incarnation.0;
    assert!(known < 1 << 17, "{known}");
    assert!(cluster.node(0).stats().implausible_incarnations > 190);
}

/// Attack 4: accusations with incarnations near the highest.
#[test]
fn accusations_of_high_incarnations_evict_nobody_for_good() {
    for incarnation in [u32::MAX, u32::MAX - 1, u32::MAX / 2, 1 << 16, 1 << 15, 5] {
        for (accuse, from) in [(Accuse::Suspect, 2), (Accuse::Dead, 2), (Accuse::Dead, 1)] {
            let mut cluster = Cluster::joined(8, &Config::lan());
            cluster.run_for(5 * SECOND);
            let forged = accusation(accuse, 1, from, incarnation);
            for index in [0, 3, 5] {
                cluster.hear(index, 99, &forged);
            }
            cluster.run_for(SECOND);
            let is_alive = |cluster: &Cluster, at: usize| {
                let member = cluster.node(at).member(name(1).as_bytes());
                member.is_some_and(|member| member.state == MemberState::Alive)
            };
            let back = cluster
                .run_until(29 * SECOND, |cluster| (0..8).all(|index| is_alive(cluster, index)));
            assert!(back, "{accuse:?} by {from} at {incarnation}");
        }
    }
}
