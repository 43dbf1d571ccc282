//! Nodes through whatever may happen to them.

use std::time::Duration;

use bytes::Bytes;

use rumormill::wire::keyring::Version;
use rumormill::wire::message::PushPullHeader;
use rumormill::wire::packet::put_label;
use rumormill::wire::stream::put_user_message;
use rumormill::{
    Channel, Config, Delivery, Instant, Key, Keyring, Mode, NodeName, Params, StreamInput, Verdict,
};

use super::cluster::{Cluster, Datagram, home, push_bounded};
use super::draw::{Draw, NAMES};
use super::world::{bytes_of, datagram, sealed, sealed_stream};
use super::{encoded, hash};

/// Fewest inputs of one life: when the fuzzer's chance runs out, other chance, made of its hash,
/// goes on.
const INPUTS_MIN: usize = 64;
const OTHER_CHANCE_LEN: usize = 4_096;

/// Most steps of one life.
const STEPS_MAX: usize = 400;

/// One to three nodes through packets real and forged, streams, time, and all that their users may
/// do. Returns how many inputs they got.
pub fn node(chance: &[u8]) -> usize {
    let mut tape = chance.to_vec();
    tape.extend(xorshift(chance).take(OTHER_CHANCE_LEN));
    let mut draw = Draw::new(&tape);
    let base = config(&mut draw);
    let configs: Vec<Config> = (0..1 + draw.below(3)).map(|_| similar(&mut draw, &base)).collect();
    let mut life = Life { cluster: Cluster::new(&configs), base };
    for at in 1..configs.len() {
        life.cluster.tell(at, |node, now| node.join(now, &[home(0)]));
    }
    for _ in 0..STEPS_MAX {
        let is_own = draw.left() > OTHER_CHANCE_LEN;
        if draw.left() == 0 || (!is_own && life.cluster.inputs >= INPUTS_MIN) {
            break;
        }
        life.step(&mut draw);
    }
    (0..configs.len()).for_each(|at| life.cluster.drain(at));
    life.cluster.inputs
}

fn xorshift(seed: &[u8]) -> impl Iterator<Item = u8> {
    let mut state = u64::from(hash(seed)) << 8 | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[7]
    })
}

fn config(draw: &mut Draw<'_>) -> Config {
    const MODES: [Mode; 4] =
        [Mode::Classic, Mode::Matching, Mode::ThesisClassic, Mode::ThesisMatching];
    let keyring = if draw.once_in(2) { ring(draw.below(2)) } else { Keyring::new() };
    Config {
        rumor_mode: draw.pick(&MODES),
        label: if draw.once_in(2) { b"blue".to_vec() } else { Vec::new() },
        keyring,
        neighbors: vec![home(0), home(1), home(2)],
        // Small limits, so that short lives reach them.
        members_max: 6,
        events_max: 8,
        streams_max: 4,
        streams_per_peer_max: 2,
        stream_message_max: 1 << 12,
        stream_buffers_max: 1 << 13,
        seen_max: 16,
        rumor_queue_bytes_max: 1 << 16,
        payload_cache_bytes_max: 1 << 10,
        ..Config::lan()
    }
}

/// What may differ between the members of a cluster, and change.
fn similar(draw: &mut Draw<'_>, base: &Config) -> Config {
    let bits = draw.u16();
    let bit = |index: u16| bits & 1 << index != 0;
    let seconds = |is: bool, seconds| is.then(|| Duration::from_secs(seconds));
    Config {
        ask_joins: bit(0),
        ask_merges: bit(1),
        compression: bit(2),
        protocol_version: if bit(3) { 1 } else { 5 },
        serf_intents: bit(4),
        advertise: !bit(5),
        verify_incoming: !bit(6),
        verify_outgoing: !bit(7),
        reclaim_after: seconds(bit(8), 5),
        probe_interval: seconds(!bit(9), 1),
        push_pull_interval: seconds(!bit(10), 3),
        heal_interval: seconds(!bit(11), 2),
        probe_events: bit(12),
        rumor_piggyback: !bit(13),
        packet_size_max: if bit(14) { 1_200 } else { 9_000 },
        gossip_interval: (!bit(15)).then_some(Duration::from_millis(200)),
        ..base.clone()
    }
}

/// The first key is the one with which what is forged is sealed.
fn key(index: usize) -> Key {
    let first = super::world::keyring().primary().expect("the ring has a key").clone();
    let second = || Key::new(&[7; 32]).expect("32 bytes are a key");
    if index == 0 { first } else { second() }
}

fn ring(index: usize) -> Keyring {
    let mut ring = Keyring::new();
    assert_eq!(ring.install(key(index)), Ok(true), "the first key is new");
    ring
}

struct Life {
    cluster: Cluster,
    base: Config,
}

impl Life {
    fn step(&mut self, draw: &mut Draw<'_>) {
        let at = draw.below(self.cluster.peers.len());
        match draw.below(32) {
            0..6 => self.network(draw),
            6..10 => self.forge(draw, at),
            10..14 => self.cluster.pass_to_next(),
            14 => self.cluster.pass(Duration::from_millis(draw.u16().into())),
            15..21 => self.stream(draw, at),
            21 => self.forge_stream(draw, at),
            22..24 => self.rumors(draw, at),
            24 => self.send(draw, at),
            25 => self.metas(draw, at),
            26 => self.seeds(draw, at),
            27 => self.answer(draw, at),
            28 => self.params(draw, at),
            29 => self.keys(draw, at),
            30 => self.cluster.tell(at, |node, _| node.handle_tick(Instant::ZERO)),
            _ if draw.once_in(4) => self.cluster.tell(at, rumormill::Node::leave),
            _ => self.cluster.tell(at, rumormill::Node::handle_tick),
        }
        // Inputs without draining are legal.
        if !draw.once_in(4) {
            self.cluster.drain(at);
        }
    }

    /// What a network does with the oldest datagram on its way.
    fn network(&mut self, draw: &mut Draw<'_>) {
        let Some(mut datagram) = self.cluster.flying.pop_front() else {
            return self.cluster.pass_to_next();
        };
        match draw.below(8) {
            0 => return,
            1 => self.cluster.hear(&datagram),
            2 => {
                let at = draw.below(datagram.bytes.len());
                datagram.bytes[at] ^= draw.byte();
            }
            3 => datagram.bytes.truncate(draw.below(datagram.bytes.len())),
            4 => datagram.from = home(draw.below(NAMES.len())),
            _ => {}
        }
        self.cluster.hear(&datagram);
        self.cluster.drain(datagram.to);
    }

    /// Somebody with the label and the first key makes up a datagram.
    fn forge(&mut self, draw: &mut Draw<'_>, to: usize) {
        let count = 1 + draw.below(3);
        let messages: Vec<Vec<u8>> = (0..count).map(|_| bytes_of(&draw.message())).collect();
        let mut bytes = datagram(&self.base.label, &messages);
        if !self.cluster.peers[to].node.keyring().is_empty() && !draw.once_in(8) {
            bytes = sealed(&bytes, draw.pick(&[Version::Padded, Version::Plain]));
        }
        self.cluster.hear(&Datagram { from: home(draw.below(NAMES.len())), to, bytes });
    }

    // ── Streams ─────────────────────────────────────────────────────────────────────────────────

    fn stream(&mut self, draw: &mut Draw<'_>, at: usize) {
        let ends = self.cluster.ends(at);
        if ends == 0 {
            return self.cluster.pass_to_next();
        }
        let end = draw.below(ends);
        match draw.below(16) {
            0 => self.cluster.happens(at, end, StreamInput::Closed),
            1 => self.cluster.happens(at, end, StreamInput::Failed),
            2 => self.cluster.happens(at, end, StreamInput::Bytes(draw.bytes(64))),
            _ => {
                let piece = draw.pick(&[1, 100, 10_000]);
                self.cluster.proceeds(at, end, piece);
            }
        }
    }

    /// Somebody with the label and the first key dials.
    fn forge_stream(&mut self, draw: &mut Draw<'_>, at: usize) {
        let from = home(draw.below(NAMES.len()));
        let Some(end) = self.cluster.accept(at, from) else { return };
        let mut bytes = encoded(|out| put_label(out, &self.base.label));
        bytes.extend(match draw.below(4) {
            0 => encoded(|out| put_user_message(out, draw.bytes(300))),
            1 => encoded(|out| draw.ping().encode(out)),
            _ => push_pull(draw),
        });
        if !self.cluster.peers[at].node.keyring().is_empty() && !draw.once_in(8) {
            bytes = sealed_stream(&bytes, Version::Plain);
        }
        if draw.once_in(8) {
            bytes.truncate(draw.below(bytes.len()));
        }
        self.cluster.happens(at, end, StreamInput::Bytes(&bytes));
    }

    // ── Users ───────────────────────────────────────────────────────────────────────────────────

    fn rumors(&mut self, draw: &mut Draw<'_>, at: usize) {
        let (channel, kind) = (Channel(draw.byte().into()), draw.below(4));
        let key = u64::from(draw.byte() % 4);
        let payload = draw.bytes(1_400);
        if kind == 0 {
            let Some(id) = self.cluster.peers[at].rumors.pop_back() else { return };
            if self.cluster.tell(at, |node, _| node.withdraw(&id)) {
                let again = self.cluster.tell(at, |node, _| node.withdraw(&id));
                assert!(!again, "what was withdrawn does not wait");
            }
            return;
        }
        let before = self.cluster.peers[at].node.rumors_waiting();
        let fits = payload.len() <= self.cluster.peers[at].node.broadcast_len_max();
        let started = self.cluster.tell(at, |node, now| match kind {
            1 => node.broadcast_keyed(now, channel, key, payload),
            _ => node.broadcast(now, channel, payload),
        });
        match started {
            Ok(id) => {
                assert!(fits, "what is too long is refused");
                push_bounded(&mut self.cluster.peers[at].rumors, id);
            }
            Err(_) => assert_eq!(self.cluster.peers[at].node.rumors_waiting(), before),
        }
    }

    fn send(&mut self, draw: &mut Draw<'_>, at: usize) {
        let to = NodeName::new(draw.pick(&NAMES)).expect("the name is valid");
        let delivery = draw.pick(&[Delivery::BestEffort, Delivery::Reliable]);
        let (channel, payload) = (Channel(draw.byte().into()), draw.bytes(1_400));
        // It may be too long, to nobody, or more than the streams hold.
        let _ = self.cluster.tell(at, |node, now| node.send(now, &to, channel, payload, delivery));
    }

    fn metas(&mut self, draw: &mut Draw<'_>, at: usize) {
        let kind = draw.below(3);
        let bytes = draw.bytes(600);
        let owned = Bytes::copy_from_slice(bytes);
        match kind {
            0 => {
                let before = self.cluster.peers[at].node.local().meta.to_vec();
                let result = self.cluster.tell(at, |node, now| node.set_meta(now, bytes));
                let now = self.cluster.peers[at].node.local().meta;
                assert!(result.is_ok() || before == now, "a refused meta changes nothing");
            }
            1 => {
                let channel = Channel(draw.byte().into());
                self.cluster.tell(at, |node, _| node.set_channel_state(channel, owned));
            }
            _ => {
                let result = self.cluster.tell(at, |node, _| node.set_ack_payload(owned));
                assert_eq!(result.is_ok(), bytes.len() <= rumormill::ACK_PAYLOAD_MAX);
            }
        }
    }

    fn seeds(&mut self, draw: &mut Draw<'_>, at: usize) {
        let seed = home(draw.below(NAMES.len()));
        if draw.once_in(4) {
            self.cluster.tell(at, |node, _| node.forget_seeds(&[seed]));
        } else {
            self.cluster.tell(at, |node, now| node.join(now, &[seed]));
        }
    }

    fn answer(&mut self, draw: &mut Draw<'_>, at: usize) {
        let Some(ask) = self.cluster.peers[at].asks.pop_front() else { return };
        let verdict = draw.pick(&[Verdict::Accept, Verdict::Refuse]);
        self.cluster.tell(at, |node, now| node.answer(now, ask, verdict));
        let again = self.cluster.tell(at, |node, now| node.answer(now, ask, verdict));
        assert!(!again, "an answer counts once");
    }

    fn params(&mut self, draw: &mut Draw<'_>, at: usize) {
        let config = similar(draw, &self.base);
        let params = Params::try_from(config).expect("the parameters are valid");
        self.cluster.tell(at, |node, now| node.set_params(now, params));
    }

    fn keys(&mut self, draw: &mut Draw<'_>, at: usize) {
        let (kind, key) = (draw.below(3), key(draw.below(2)));
        self.cluster.tell(at, |node, _| {
            let ring = node.keyring_mut();
            // A ring refuses to be without its primary key, and to use one that it has not.
            match kind {
                0 => assert!(ring.install(key).is_ok()),
                1 => drop(ring.use_key(&key)),
                _ => drop(ring.remove(&key)),
            }
        });
    }
}

/// A list of members, in which the sender believes or not.
fn push_pull(draw: &mut Draw<'_>) -> Vec<u8> {
    let nodes = u32::from(draw.byte() % 8);
    let state = draw.bytes(64);
    let user_state_len = u32::try_from(state.len()).expect("it is short");
    let header = PushPullHeader { nodes, user_state_len, join: draw.once_in(2) };
    let mut bytes = encoded(|out| header.encode(out));
    for _ in 0..nodes {
        bytes.extend(encoded(|out| draw.node_state().encode(out)));
    }
    bytes.extend_from_slice(state);
    bytes
}
