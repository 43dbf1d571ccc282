//! Which links carry payloads in which tree (Plumtree §3.2).
//!
//! A link is eager or lazy in each tree: eager links carry payloads, lazy ones ids. All links of the
//! list begin eager, so that the first rumour of a tree floods and finds the fastest ways; every
//! duplicate makes one link lazy, and what is left is a tree. The floor's links begin lazy: they are
//! there for when the list fails.
//!
//! Which tree a rumour takes follows from its origin, so that each origin's rumours take the
//! shortest ways from there. Origins share trees where there are more of them than trees.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::RumorId;
use super::links::{LinkId, LinkSet};
use crate::hash;
use crate::time::Instant;
use crate::wire::control::TREES;

/// How long a link that was pruned from a tree is not taken for a faster way there.
const BACK_OFF: Duration = Duration::from_secs(5);

/// Most links in back-off at a time; older ones end early.
const BACK_OFFS_MAX: usize = 256;

/// A link in a tree that is no better way until then.
#[derive(Clone, Copy, Debug)]
struct BackOff {
    until: Instant,
    tree: u8,
    link: LinkId,
}

/// The trees of this node.
#[derive(Debug)]
pub(crate) struct Trees {
    /// By tree; empty until the first one is used.
    eager: Vec<LinkSet>,
    back_offs: VecDeque<BackOff>,
    /// How often a link became eager or lazy.
    pub(crate) flips: u64,
}

impl Trees {
    pub(crate) const fn new() -> Self {
        Self { eager: Vec::new(), back_offs: VecDeque::new(), flips: 0 }
    }

    /// The tree of a rumour, out of `trees`. What came bare names no origin.
    pub(crate) fn of(id: &RumorId, trees: u8) -> u8 {
        let RumorId::Numbered { origin, .. } = id else { return 0 };
        Self::of_origin(origin.as_bytes(), trees)
    }

    fn of_origin(origin: &[u8], trees: u8) -> u8 {
        if trees <= 1 {
            return 0;
        }
        let hash = hash::agreed(&[b"tree", &[0], origin]);
        u8::try_from(hash % u128::from(trees)).expect("a remainder of a u8 fits one")
    }

    fn tree(&mut self, tree: u8, statics: LinkSet) -> &mut LinkSet {
        if self.eager.is_empty() {
            self.eager.resize(usize::from(TREES), statics);
        }
        &mut self.eager[usize::from(tree % TREES)]
    }

    /// The eager links of a tree; `statics` are those that begin so.
    pub(crate) fn eager(&mut self, tree: u8, statics: LinkSet) -> LinkSet {
        *self.tree(tree, statics)
    }

    /// Makes a link eager; `true` if it was not.
    pub(crate) fn graft(&mut self, tree: u8, link: LinkId, statics: LinkSet) -> bool {
        let eager = self.tree(tree, statics);
        let was = eager.contains(link);
        eager.insert(link);
        self.flips += u64::from(!was);
        !was
    }

    /// Makes a link lazy; `true` if it was not. It is no better way for a while.
    pub(crate) fn prune(&mut self, now: Instant, tree: u8, link: LinkId, statics: LinkSet) -> bool {
        let eager = self.tree(tree, statics);
        let was = eager.contains(link);
        eager.remove(link);
        self.flips += u64::from(was);
        if was {
            if self.back_offs.len() >= BACK_OFFS_MAX {
                self.back_offs.pop_front();
            }
            self.back_offs.push_back(BackOff { until: now + BACK_OFF, tree, link });
        }
        was
    }

    /// Whether a link may be taken for a better way in a tree.
    pub(crate) fn may_swap(&mut self, now: Instant, tree: u8, link: LinkId) -> bool {
        while self.back_offs.front().is_some_and(|back_off| back_off.until <= now) {
            self.back_offs.pop_front();
        }
        !self.back_offs.iter().any(|back_off| back_off.tree == tree && back_off.link == link)
    }

    /// Makes a link lazy in every tree: nobody answers there.
    pub(crate) fn silence(&mut self, link: LinkId) {
        for eager in &mut self.eager {
            self.flips += u64::from(eager.contains(link));
            eager.remove(link);
        }
    }

    /// Makes a link eager in every tree: somebody is there who has no trees yet.
    pub(crate) fn welcome(&mut self, link: LinkId) {
        for eager in &mut self.eager {
            self.flips += u64::from(!eager.contains(link));
            eager.insert(link);
        }
    }

    /// Forgets what was known about places in the list of links that have other ends now.
    pub(crate) fn forget(&mut self, links: LinkSet) {
        for eager in &mut self.eager {
            *eager = eager.minus(links);
        }
        self.back_offs.retain(|back_off| !links.contains(back_off.link));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{BootEpoch, NodeName};

    fn links(count: usize) -> (LinkSet, Vec<LinkId>) {
        let addrs: Vec<_> = (0..count)
            .map(|port| core::net::SocketAddr::from(([10, 0, 0, 1], port as u16 + 1)))
            .collect();
        let links = super::super::links::Links::new(&addrs);
        (links.statics(), links.iter().map(|(id, _)| id).collect())
    }

    #[test]
    fn links_of_the_list_begin_eager_and_each_tree_is_its_own() {
        let (statics, ids) = links(3);
        let mut trees = Trees::new();
        assert_eq!(trees.eager(5, statics), statics);
        assert!(trees.prune(Instant::ZERO, 5, ids[1], statics));
        assert!(!trees.prune(Instant::ZERO, 5, ids[1], statics), "it was lazy already");
        assert_eq!(trees.eager(5, statics), statics.without(Some(ids[1])));
        assert_eq!(trees.eager(6, statics), statics);
        assert!(trees.graft(5, ids[1], statics));
        assert_eq!((trees.eager(5, statics), trees.flips), (statics, 2));
    }

    #[test]
    fn a_pruned_link_is_no_better_way_for_five_seconds_in_its_tree() {
        let (statics, ids) = links(2);
        let mut trees = Trees::new();
        trees.prune(Instant::ZERO, 1, ids[0], statics);
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        assert!(!trees.may_swap(at(4_999), 1, ids[0]));
        assert!(trees.may_swap(at(4_999), 2, ids[0]) && trees.may_swap(at(4_999), 1, ids[1]));
        assert!(trees.may_swap(at(5_000), 1, ids[0]));
    }

    #[test]
    fn a_silent_link_is_lazy_everywhere_and_a_new_end_eager_everywhere() {
        let (statics, ids) = links(2);
        let mut trees = Trees::new();
        trees.eager(0, statics);
        trees.silence(ids[0]);
        assert!((0..TREES).all(|tree| !trees.eager(tree, statics).contains(ids[0])));
        trees.welcome(ids[0]);
        assert!((0..TREES).all(|tree| trees.eager(tree, statics) == statics));
    }

    #[test]
    fn an_origin_has_one_tree_and_origins_spread_over_all() {
        let of = |name: &str, trees| {
            let origin = NodeName::new(name).unwrap();
            let id = RumorId::Numbered { origin, epoch: BootEpoch(1), sequence: 1 };
            Trees::of(&id, trees)
        };
        assert_eq!(of("node-a", 64), of("node-a", 64));
        assert!((0..100).all(|n| of(&alloc::format!("{n}"), 1) == 0));
        let mut used: Vec<u8> = (0..1_000).map(|n| of(&alloc::format!("{n}"), TREES)).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), usize::from(TREES));
        assert_eq!(Trees::of(&RumorId::Content(9), TREES), 0);
    }

    #[test]
    fn the_tree_of_an_origin_is_pinned_because_all_must_agree() {
        let trees: Vec<u8> = [&b"Node1"[..], b"Node2", b"node-a"]
            .iter()
            .map(|origin| Trees::of_origin(origin, TREES))
            .collect();
        assert_eq!(trees, PINNED);
    }

    const PINNED: [u8; 3] = [20, 48, 46];
}
