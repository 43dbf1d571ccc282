//! The application of a scenario: it knows which broadcasts there were, from rumours and from
//! push/pulls.

use core::hash::Hasher as _;
use std::collections::BTreeSet;

use rumormill::{Channel, Event, Fact};
use siphasher::sip::SipHasher13;

use super::NODES_DRAWN_MAX;
use crate::world::{App, Ctl};

pub(super) const CHANNEL: Channel = Channel(7);

/// Turns between two times that a listener saves what it knows.
const SYNC_EVERY: usize = 97;

/// What survives the end of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Disk {
    /// Nothing: it has no disk.
    #[default]
    None,
    /// What it saved last.
    Saved,
}

#[derive(Debug, Default)]
pub(super) struct Listener {
    pub(super) heard: BTreeSet<u64>,
    saved: BTreeSet<u64>,
    disk: Disk,
    is_changed: bool,
    turns: usize,
    /// How much it knew and had not saved when it ended, in all its lives.
    pub(super) lost: u64,
    /// How many messages it got that nobody can have told.
    pub(super) garbled: u64,
}

/// A broadcast: its number, and what shows that it arrived as it was sent.
pub(super) fn message(number: u64) -> [u8; 16] {
    let mut message = [0; 16];
    let (head, tail) = message.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    tail.copy_from_slice(&seal(number).to_be_bytes());
    message
}

/// A broadcast of `len` bytes, at least those of a [`message`].
pub(super) fn long_message(number: u64, len: usize) -> Vec<u8> {
    let head = message(number);
    let filler = (head.len()..len).map(|index| filler(number, index));
    head.into_iter().chain(filler).collect()
}

fn filler(number: u64, index: usize) -> u8 {
    let [.., low] = number.to_be_bytes();
    let [.., place] = index.to_be_bytes();
    low.wrapping_mul(7) ^ place
}

/// What others see about a node, in the form in which its own tag finds a place beside it.
pub(super) fn tags(seed: u64) -> Vec<u8> {
    let value = format!("{seed:016x}");
    let head = [0xff, 0x81, 0xa1, b'v', 0xa0 | 16];
    head.into_iter().chain(value.into_bytes()).collect()
}

fn seal(number: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(1, 2);
    hasher.write_u64(number.to_be());
    hasher.finish()
}

impl Listener {
    pub(super) fn new(disk: Disk) -> Self {
        Self { disk, ..Self::default() }
    }

    /// Whether it is time to look at the node's books. That takes longer the more members there
    /// are, so that a node of a large cluster is looked at every few turns.
    const fn is_audit_due(&self, members: usize) -> bool {
        self.turns.is_multiple_of(members.div_ceil(NODES_DRAWN_MAX))
    }

    /// One message, of whatever length.
    pub(super) fn hear_one(&mut self, bytes: &[u8]) {
        let number = bytes.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        if bytes == long_message(number, bytes.len()) {
            self.is_changed |= self.heard.insert(number);
        } else {
            self.garbled += 1;
        }
    }

    /// All messages that somebody knows, without what is behind their heads.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let (messages, rest) = bytes.as_chunks::<16>();
        self.garbled += u64::from(!rest.is_empty());
        for told in messages {
            let number = told.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
            if *told == message(number) {
                self.is_changed |= self.heard.insert(number);
            } else {
                self.garbled += 1;
            }
        }
    }
}

impl App for Listener {
    fn on_event(&mut self, _: &mut Ctl<'_>, event: Event) {
        match event.fact {
            Fact::Rumor { payload, .. } | Fact::Message { payload, .. } => self.hear_one(&payload),
            Fact::PeerState { channel: CHANNEL, bytes, .. } => self.hear(&bytes),
            _ => {}
        }
    }

    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        if core::mem::take(&mut self.is_changed) {
            let state = self.heard.iter().flat_map(|&number| message(number)).collect();
            ctl.act(|node, _| node.set_channel_state(CHANNEL, state));
        }
        self.turns += 1;
        if self.disk == Disk::Saved && self.turns.is_multiple_of(SYNC_EVERY) {
            self.saved.clone_from(&self.heard);
        }
        // Builds with debug assertions check at every drain.
        if !cfg!(debug_assertions) && self.is_audit_due(ctl.node().live_members()) {
            ctl.node().check_invariants();
        }
    }

    fn on_crash(&mut self) {
        if self.disk == Disk::Saved {
            self.lost += self.heard.difference(&self.saved).count() as u64;
        }
        self.heard.clone_from(&self.saved);
        self.is_changed = !self.heard.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::NODES_MAX;

    #[test]
    fn books_of_small_clusters_are_looked_at_in_every_turn_and_of_large_ones_less_often() {
        let due = |members| {
            let at = |turns| Listener { turns, ..Listener::default() }.is_audit_due(members);
            (1..=160).filter(|&turns| at(turns)).count()
        };
        assert_eq!([1, 2, NODES_DRAWN_MAX, NODES_MAX].map(due), [160, 160, 160, 10]);
    }

    #[test]
    fn what_was_not_told_is_not_heard() {
        let mut listener = Listener::default();
        let mut bytes = [message(1), message(2)].concat();
        bytes[17] ^= 1;
        bytes.push(9);
        listener.hear(&bytes);
        assert_eq!((listener.heard, listener.garbled), (BTreeSet::from([1]), 2));
    }

    #[test]
    fn a_long_message_is_heard_whole_or_not() {
        let mut listener = Listener::default();
        for len in [16, 17, 5_000] {
            let mut bytes = long_message(9, len);
            listener.hear_one(&bytes);
            bytes[len - 1] ^= 1;
            listener.hear_one(&bytes);
        }
        listener.hear_one(b"short");
        assert_eq!((listener.heard, listener.garbled), (BTreeSet::from([9]), 4));
    }

    #[test]
    fn a_crash_leaves_what_was_saved() {
        for (disk, left, lost) in [(Disk::None, 0, 0), (Disk::Saved, 1, 1)] {
            let mut listener = Listener::new(disk);
            listener.hear(&message(1));
            if disk == Disk::Saved {
                listener.saved.clone_from(&listener.heard);
            }
            listener.hear(&message(2));
            listener.on_crash();
            assert_eq!((listener.heard.len(), listener.lost), (left, lost));
        }
    }
}
