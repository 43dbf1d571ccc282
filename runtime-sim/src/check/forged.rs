//! What strangers who forge must not achieve.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rumormill::{Incarnation, Instant, Member, MemberState, Node, NodeName, Params};

use super::Seen;

/// How far what is known of a member may leap beyond what it ever said itself: twice what is believed
/// of anybody above a clock.
const LEAP_MAX: u32 = 1 << 17;

/// What the owners of names have said themselves, in all their lives.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<NodeName, Owner>);

#[derive(Debug, Default)]
struct Owner {
    highest: Incarnation,
    homes: BTreeSet<SocketAddr>,
}

impl Owners {
    /// A node as it is now.
    pub(super) fn note(&mut self, node: &Node) {
        let Member { name, addr, incarnation, .. } = node.local();
        let owner = match self.0.get_mut(name) {
            Some(owner) => owner,
            None => self.0.entry(name.clone()).or_default(),
        };
        if owner.highest < incarnation {
            owner.highest = incarnation;
        }
        if !owner.homes.contains(&addr) {
            owner.homes.insert(addr);
        }
    }

    /// Whether somebody who knew a member came to believe a number of it that it is nowhere near.
    pub(super) fn has_leapt(&self, before: &Seen, now: &Seen) -> bool {
        let is_stated = |owner: &Owner| now.incarnation <= owner.highest;
        before.state.is_live()
            && now.incarnation.0 > before.incarnation.0.saturating_add(LEAP_MAX)
            && self.0.get(&now.name).is_some_and(|owner| !is_stated(owner))
    }

    /// Whether a name went from where its owner is to where it never was, before anybody may take the
    /// name of one that is gone.
    pub(super) fn is_hijacked(
        &self,
        at: Instant,
        before: &Seen,
        now: &Seen,
        params: &Params,
    ) -> bool {
        let Some(owner) = self.0.get(&now.name) else { return false };
        let was_home = owner.homes.contains(&before.addr) && !owner.homes.contains(&now.addr);
        // Clocks run apart by a tenth at most.
        let is_bound =
            |gone: Instant| at.saturating_since(gone) < bound_for(before, params) * 9 / 10;
        was_home && before.gone_at.is_none_or(is_bound)
    }
}

/// How long a name stays with its owner: a goodbye may be forged, and takes the shortest suspicion to
/// contradict.
fn bound_for(gone: &Seen, params: &Params) -> Duration {
    match gone.state {
        MemberState::Left => params.probe_interval.unwrap_or_default() * params.suspicion_mult,
        _ => params.reclaim_after.unwrap_or(params.gossip_to_dead),
    }
}
