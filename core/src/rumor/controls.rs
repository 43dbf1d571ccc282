//! What is to be told to whom about rumours, until it is composed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use smallvec::SmallVec;

use super::ShortId;
use super::shares::{Room, room};
use crate::time::Instant;

/// How long announcements wait for others to go along. It delays nothing but repair.
pub(crate) const HOLD: Duration = Duration::from_millis(20);

/// Most things that wait to be told, to all together, of which each recipient has a share. Repair
/// makes up for an announcement that is lost to it.
pub(crate) const CONTROLS_MAX: usize = 65_536;

/// An announcement that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: ShortId,
    pub(crate) tree: u8,
    pub(crate) since: Instant,
    pub(crate) urge: Urge,
}

/// What an announcement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urge {
    /// Whoever lacks it may ask for it, if it does not come by itself.
    Tell,
    /// It was received: not to be left out, although the recipient has it.
    Confirm,
    /// The recipient shall answer.
    Ask,
    /// The same, but others may go along.
    AskTogether,
    /// It will not come by itself.
    Fetch,
    /// The payload would go along here now, had it not come from elsewhere.
    Pass,
}

/// What is here, as it is told.
#[derive(Debug)]
pub(crate) struct Digest {
    pub(crate) answer: bool,
    pub(crate) whole: bool,
    pub(crate) entries: Vec<(u8, ShortId)>,
}

/// All that waits for one recipient.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) prunes: SmallVec<[u8; 4]>,
    /// With the payload.
    pub(crate) grafts: SmallVec<[(u8, ShortId); 2]>,
    /// Without.
    pub(crate) swaps: SmallVec<[(u8, ShortId); 2]>,
    pub(crate) unwanted: SmallVec<[ShortId; 2]>,
    pub(crate) pulls: Vec<ShortId>,
    /// An answer to a digest; empty is one too.
    pub(crate) lacking: Option<Vec<ShortId>>,
    pub(crate) digest: Option<Digest>,
    pub(crate) announced: Vec<Waiting>,
    /// It stands in the outbox.
    intended: bool,
}

impl Pending {
    /// A digest of all is not replaced by one of less.
    pub(crate) fn set_digest(&mut self, digest: Digest) {
        if digest.whole || !self.digest.as_ref().is_some_and(|waiting| waiting.whole) {
            self.digest = Some(digest);
        }
    }

    pub(crate) fn len(&self) -> usize {
        let digest = self.digest.as_ref().map_or(0, |digest| 1 + digest.entries.len());
        self.prunes.len()
            + self.grafts.len()
            + self.swaps.len()
            + self.unwanted.len()
            + self.pulls.len()
            + self.lacking.as_ref().map_or(0, |ids| 1 + ids.len())
            + digest
            + self.announced.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All that waits.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    pending: BTreeMap<SocketAddr, Pending>,
    len: usize,
    flush_at: Option<Instant>,
}

/// Whether a datagram must be composed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Yes.
    Now,
    /// One will be anyhow.
    Later,
    /// It was not taken: too much waits.
    Dropped,
    /// It was not taken: too much waits for its recipient.
    Spent,
}

impl Controls {
    /// Adds something that cannot wait.
    pub(crate) fn urgent(&mut self, to: SocketAddr, add: impl FnOnce(&mut Pending)) -> Due {
        if let Some(refused) = self.refusal(to) {
            return refused;
        }
        let pending = self.pending.entry(to).or_default();
        let before = pending.len();
        add(pending);
        self.len = self.len - before + pending.len();
        if core::mem::replace(&mut pending.intended, true) { Due::Later } else { Due::Now }
    }

    /// Adds an announcement, which waits for others unless it is urgent.
    pub(crate) fn announce(&mut self, to: SocketAddr, waiting: Waiting) -> Due {
        if matches!(waiting.urge, Urge::Ask | Urge::Fetch | Urge::Pass) {
            return self.urgent(to, |pending| pending.announced.push(waiting));
        }
        if let Some(refused) = self.refusal(to) {
            return refused;
        }
        self.len += 1;
        self.pending.entry(to).or_default().announced.push(waiting);
        self.flush_at.get_or_insert(waiting.since + HOLD);
        Due::Later
    }

    fn refusal(&self, to: SocketAddr) -> Option<Due> {
        // Looked at only where it can matter: most of the time nothing waits.
        let own = || self.pending.get(&to).map_or(0, Pending::len);
        let own = if self.len < CONTROLS_MAX / 2 { 0 } else { own() };
        match room(self.len, own, CONTROLS_MAX) {
            Room::Free => None,
            Room::Spent => Some(Due::Spent),
            Room::Full => Some(Due::Dropped),
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.flush_at
    }

    /// To whom something waits for which no datagram was asked yet.
    pub(crate) fn flush(&mut self) -> Vec<SocketAddr> {
        self.flush_at = None;
        let waiting = self.pending.iter_mut().filter(|(_, pending)| !pending.intended);
        let flushed = waiting.map(|(&to, pending)| {
            pending.intended = true;
            to
        });
        flushed.collect()
    }

    /// The outbox had no room for a datagram: what waits for it is tried again soon.
    pub(crate) fn postpone(&mut self, to: SocketAddr, now: Instant) {
        let Some(pending) = self.pending.get_mut(&to) else { return };
        pending.intended = false;
        self.flush_at.get_or_insert(now + HOLD);
    }

    /// Takes out all that waits for one recipient.
    pub(crate) fn take(&mut self, to: SocketAddr) -> Option<Pending> {
        let pending = self.pending.remove(&to)?;
        self.len -= pending.len();
        Some(pending)
    }

    /// Puts back what did not fit; it stands in the outbox again.
    pub(crate) fn put_back(&mut self, to: SocketAddr, mut rest: Pending) {
        rest.intended = true;
        self.len += rest.len();
        let before = self.pending.insert(to, rest);
        debug_assert!(before.is_none(), "nothing was added while it was composed");
    }

    pub(crate) fn check(&self) {
        let len: usize = self.pending.values().map(Pending::len).sum();
        assert_eq!(len, self.len, "what waits to be told is counted");
        let late = self.pending.values().any(|p| !p.intended && !p.is_empty());
        assert!(!late || self.flush_at.is_some(), "what waits has a deadline");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn waiting(urge: Urge) -> Waiting {
        Waiting { id: ShortId(1), tree: 0, since: Instant::ZERO, urge }
    }

    #[test]
    fn announcements_wait_for_each_other_and_wishes_take_them_along() {
        let mut controls = Controls::default();
        assert_eq!(controls.announce(addr(1), waiting(Urge::Tell)), Due::Later);
        assert_eq!(controls.announce(addr(2), waiting(Urge::Tell)), Due::Later);
        assert_eq!(controls.deadline(), Some(Instant::ZERO + HOLD));
        assert_eq!(controls.urgent(addr(1), |pending| pending.prunes.push(3)), Due::Now);
        assert_eq!(controls.urgent(addr(1), |pending| pending.prunes.push(4)), Due::Later);
        controls.check();
        let taken = controls.take(addr(1)).unwrap();
        assert_eq!((taken.prunes.len(), taken.announced.len()), (2, 1));
        assert_eq!(controls.flush(), [addr(2)]);
        assert_eq!(controls.deadline(), None);
        controls.put_back(addr(1), taken);
        controls.check();
        assert!(controls.flush().is_empty(), "both stand in the outbox");
    }

    #[test]
    fn what_found_no_room_in_the_outbox_is_tried_again_soon() {
        let mut controls = Controls::default();
        let now = Instant::from_micros(5_000);
        assert_eq!(controls.urgent(addr(1), |pending| pending.prunes.push(3)), Due::Now);
        controls.postpone(addr(1), now);
        controls.check();
        assert_eq!(controls.deadline(), Some(now + HOLD));
        assert_eq!(controls.flush(), [addr(1)]);
        assert!(controls.flush().is_empty());
    }

    #[test]
    fn a_digest_of_all_is_not_replaced_by_one_of_less() {
        let mut pending = Pending::default();
        let digest =
            |whole, id| Digest { answer: true, whole, entries: alloc::vec![(0, ShortId(id))] };
        for (whole, id) in [(false, 1), (true, 2), (false, 3)] {
            pending.set_digest(digest(whole, id));
        }
        assert!(pending.digest.is_some_and(|digest| digest.entries == [(0, ShortId(2))]));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut controls = Controls::default();
        let fill = |controls: &mut Controls, port| {
            let mut taken = 0;
            loop {
                match controls.announce(addr(port), waiting(Urge::Tell)) {
                    Due::Spent | Due::Dropped => break taken,
                    Due::Now | Due::Later => taken += 1,
                }
            }
        };
        assert_eq!(fill(&mut controls, 1), CONTROLS_MAX / 2);
        assert_eq!(controls.urgent(addr(1), |pending| pending.prunes.push(3)), Due::Spent);
        for port in 2..6 {
            assert_eq!(controls.urgent(addr(port), |pending| pending.prunes.push(3)), Due::Now);
            assert_eq!(fill(&mut controls, port), CONTROLS_MAX / 8 - 1);
        }
        assert_eq!(controls.urgent(addr(6), |pending| pending.prunes.push(3)), Due::Dropped);
        controls.check();
    }
}
