//! All that this node knows about its overlay, in one place; `node` acts on it.

use alloc::collections::VecDeque;
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
use super::trees::Trees;
use crate::config::Params;
use crate::member::MemberId;
use crate::time::Instant;

/// Most rumours remembered that neighbours do not want before they came here.
const UNWANTED_MAX: usize = 256;

/// Bytes of payload that a node sends to those who ask within [`SERVED_SPAN`]; asking for more is
/// counted as unanswered.
const SERVED_BYTES_MAX: usize = 1 << 20;
const SERVED_SPAN: Duration = Duration::from_millis(200);

/// A digest whose answer tells what it was good for.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) to: SocketAddr,
    pub(crate) ids: Vec<ShortId>,
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
    /// Bytes of payload sent to those who asked, and since when they are counted.
    served: (usize, Instant),
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
            served: (0, Instant::ZERO),
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

    /// Whether one more payload of so many bytes may be sent to who asks; it counts then.
    pub(crate) fn may_serve(&mut self, now: Instant, len: usize) -> bool {
        if now.saturating_since(self.served.1) >= SERVED_SPAN {
            self.served = (0, now);
        }
        let bytes = self.served.0.saturating_add(len);
        // One that is larger goes out alone.
        let may = bytes <= SERVED_BYTES_MAX || self.served.0 == 0;
        if may {
            self.served.0 = bytes;
        }
        may
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
        let deadlines =
            [self.courses.deadline(), self.missing.deadline(), self.controls.deadline()];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn check(&self) {
        self.links.check();
        self.courses.check();
        self.missing.check();
        self.controls.check();
        self.proxies.check();
    }
}
