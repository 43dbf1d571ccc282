//! All that this node knows about its overlay, in one place; `node` acts on it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use smallvec::SmallVec;

use super::ShortId;
use super::controls::Controls;
use super::course::Courses;
use super::links::{LinkSet, Links};
use super::missing::{MissingRumors, Patience};
use super::proxies::Proxies;
use super::requests::Requests;
use super::shares::{Room, room};
use super::trees::Trees;
use crate::config::Params;
use crate::member::MemberId;
use crate::time::Instant;

/// Most rumours remembered that neighbours do not want before they came here.
const UNWANTED_MAX: usize = 256;

/// Bytes of payload that a node sends to those who ask within [`SERVED_SPAN`], of which each has a share.
/// Who asks for more waits.
const SERVED_BYTES_MAX: usize = 1 << 20;
const SERVED_SPAN: Duration = Duration::from_millis(200);

/// A digest whose answer tells what it was good for.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) to: SocketAddr,
    pub(crate) ids: Vec<ShortId>,
}

/// Bytes of payload sent to those who asked.
#[derive(Debug, Default)]
struct Served {
    since: Instant,
    bytes: usize,
    /// By who asked.
    to: BTreeMap<SocketAddr, usize>,
}

/// Links, trees, what is awaited, missed and to be told.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) links: Links,
    pub(crate) trees: Trees,
    pub(crate) courses: Courses,
    pub(crate) missing: MissingRumors,
    pub(crate) patience: Patience,
    pub(crate) controls: Controls,
    pub(crate) proxies: Proxies,
    /// The plain members that this node brings rumours to.
    pub(crate) clients: Vec<MemberId>,
    /// The table that `links` and `clients` follow.
    pub(crate) follows: Option<u64>,
    /// Rings of the floor.
    pub(crate) rings: usize,
    /// The digests of the last tick.
    pub(crate) told: SmallVec<[Told; 2]>,
    /// Ticks so far, of those that repair.
    pub(crate) ticks: u32,
    /// While a whole digest is due: who was sent one, the last first.
    pub(crate) whole: Option<SmallVec<[SocketAddr; 4]>>,
    /// When the last datagram came, of whatever kind.
    pub(crate) datagram_at: Instant,
    /// Nothing came for longer than usual, and no whole digest was answered since.
    pub(crate) was_deaf: bool,
    served: Served,
    pub(crate) requests: Requests,
    pub(crate) degraded_at: Option<Instant>,
    pub(crate) is_isolated: bool,
    unwanted: VecDeque<(ShortId, LinkSet)>,
    /// Trees that are still taking shape, a bit each.
    stirred: u64,
}

impl Overlay {
    pub(crate) fn new(params: &Params) -> Self {
        Self {
            links: Links::new(&params.neighbors),
            trees: Trees::new(),
            courses: Courses::default(),
            missing: MissingRumors::default(),
            patience: Patience::default(),
            controls: Controls::default(),
            proxies: Proxies::default(),
            clients: Vec::new(),
            follows: None,
            rings: 0,
            told: SmallVec::new(),
            ticks: 0,
            whole: None,
            datagram_at: Instant::ZERO,
            was_deaf: false,
            served: Served::default(),
            requests: Requests::default(),
            degraded_at: None,
            is_isolated: false,
            unwanted: VecDeque::new(),
            stirred: u64::MAX,
        }
    }

    /// Gives the floor's places other ends.
    pub(crate) fn set_floor(&mut self, addrs: &[SocketAddr]) {
        let changed = self.links.set_floor(addrs);
        if changed.is_empty() {
            return;
        }
        self.trees.forget(changed);
        self.courses.forget_links(changed);
        for (_, links) in &mut self.unwanted {
            *links = links.minus(changed);
        }
    }

    /// The links along which a tree's payloads go.
    pub(crate) fn eager(&mut self, tree: u8) -> LinkSet {
        let statics = self.links.statics();
        self.trees.eager(tree, statics).and(self.links.answering())
    }

    /// Whether one more payload of so many bytes may be sent, to who asks or unasked; it counts then.
    pub(crate) fn may_serve(&mut self, now: Instant, to: Option<SocketAddr>, len: usize) -> Room {
        if now.saturating_since(self.served.since) >= SERVED_SPAN {
            self.served = Served { since: now, ..Served::default() };
        }
        let own = to.and_then(|to| self.served.to.get(&to)).copied().unwrap_or_default();
        let bytes = self.served.bytes.saturating_add(len);
        let room = match room(bytes.saturating_sub(1), own.saturating_add(len), SERVED_BYTES_MAX) {
            // Everybody gets one, and one that is larger than the whole goes out alone.
            Room::Spent if own == 0 => Room::Free,
            Room::Full if self.served.bytes == 0 => Room::Free,
            room => room,
        };
        if room == Room::Free {
            self.served.bytes = bytes;
            if let Some(to) = to {
                self.served.to.insert(to, own.saturating_add(len));
            }
        }
        room
    }

    /// When those who asked for more than may be sent at a time are served, if there are any.
    pub(crate) fn serves_again_at(&self) -> Option<Instant> {
        (!self.requests.is_empty()).then(|| self.served.since + SERVED_SPAN)
    }

    /// A tree changed here.
    pub(crate) const fn stir(&mut self, tree: u8) {
        self.stirred |= 1 << (tree % 64);
    }

    /// Whether a tree changed here since this was asked last.
    pub(crate) const fn take_stirred(&mut self, tree: u8) -> bool {
        let bit = 1 << (tree % 64);
        let was = self.stirred & bit != 0;
        self.stirred &= !bit;
        was
    }

    /// Notes that a neighbour does not want a rumour that has not come yet.
    pub(crate) fn note_unwanted(&mut self, id: ShortId, by: super::links::LinkId) {
        if let Some((_, links)) = self.unwanted.iter_mut().find(|(other, _)| *other == id) {
            links.insert(by);
            return;
        }
        if self.unwanted.len() >= UNWANTED_MAX {
            self.unwanted.pop_front();
        }
        let mut links = LinkSet::EMPTY;
        links.insert(by);
        self.unwanted.push_back((id, links));
    }

    /// Who does not want a rumour that has come now.
    pub(crate) fn take_unwanted(&mut self, id: ShortId) -> LinkSet {
        let place = self.unwanted.iter().position(|&(other, _)| other == id);
        place.and_then(|place| self.unwanted.remove(place)).map_or(LinkSet::EMPTY, |(_, by)| by)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.courses.deadline(),
            self.missing.deadline(),
            self.controls.deadline(),
            self.serves_again_at(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn check(&self) {
        self.links.check();
        self.courses.check();
        self.missing.check();
        self.controls.check();
        self.proxies.check();
        self.requests.check();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn overlay() -> Overlay {
        Overlay::new(&Params::try_from(Config::lan()).unwrap())
    }

    fn addr(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([10, 0, 0, 1], port)))
    }

    #[test]
    fn who_asks_for_all_that_may_be_sent_leaves_enough_for_others() {
        let mut overlay = overlay();
        let mut serve = |at, port| overlay.may_serve(Instant::from_micros(at), addr(port), 1 << 10);
        let mut greedy = 0;
        while serve(0, 1) == Room::Free {
            greedy += 1;
        }
        assert_eq!((greedy, serve(0, 1)), (512, Room::Spent));
        assert!((0..127).all(|_| serve(0, 2) == Room::Free));
        assert_eq!(serve(0, 2), Room::Spent, "an eighth");
        assert_eq!(serve(199_999, 1), Room::Spent);
        assert_eq!(serve(200_000, 1), Room::Free, "another fifth of a second");
    }

    #[test]
    fn a_payload_larger_than_all_that_may_be_sent_goes_out_alone() {
        let mut overlay = overlay();
        let mut serve = |port, len| overlay.may_serve(Instant::ZERO, addr(port), len);
        assert_eq!(serve(1, SERVED_BYTES_MAX + 1), Room::Free);
        assert_eq!(serve(2, 1), Room::Full);
    }

    #[test]
    fn everybody_gets_one_payload_that_is_larger_than_a_share() {
        let mut overlay = overlay();
        let mut serve = |port| overlay.may_serve(Instant::ZERO, addr(port), SERVED_BYTES_MAX / 4);
        assert!((1..=4).all(|port| serve(port) == Room::Free));
        assert_eq!(serve(5), Room::Full);
    }
}
