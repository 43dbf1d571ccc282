//! Which incarnations are believed.
//!
//! An incarnation counts up to 2^32 and never back, so that whoever may state any number can state
//! one that its owner cannot exceed, and silence it for good (memberlist #358). A number that is
//! heard must therefore lie within a window above what a clock could have made of it; what lies beyond
//! is believed only of the node itself.

use core::net::SocketAddr;
use core::time::Duration;

use super::Node;
use crate::identity::Incarnation;
use crate::member::MemberId;
use crate::time::Instant;

/// How far an incarnation may lie above our own start value and the seconds since. A node refutes
/// at most a few times per second. What is known does not move the window: whoever made us believe a
/// number at its edge could make us believe the next.
const WINDOW: u32 = 1 << 16;

/// How far it may lie above one that is known and lies beyond the window: of a member that counts
/// calendar seconds while we count from one. Some refutations between two probes.
const STEP: u32 = 64;

/// Highest incarnation of a member that we did not know. Wall-clock seconds reach it in 2105; what
/// lies above is kept for refutations.
const UNKNOWN_MAX: u32 = u32::MAX - (1 << 24);

/// Implausible statements about others make us ask this often at most: each time costs an exchange
/// of the whole state.
const ASK_PAUSE: Duration = Duration::from_secs(10);

/// And those about ourselves this often: we are taken for dead, perhaps, since we forgot what we
/// counted up to.
const ASK_PAUSE_SELF: Duration = Duration::from_secs(2);

/// When implausible statements last made us ask: questions about others must not keep us from asking
/// about ourselves.
#[derive(Debug, Default)]
pub(super) struct Questions {
    about_us: Option<Instant>,
    about_others: Option<Instant>,
}

/// How a statement came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Anybody may have made it up; it came in a datagram from there, or in a peer's list.
    Hearsay(Option<SocketAddr>),
    /// In an exchange that we began: from the member that it is about, at its address, or, about
    /// ourselves, from somebody whom we chose.
    FirstHand,
}

impl Node {
    /// Whether a statement about a member is too far off to be believed; then we ask.
    pub(super) fn is_implausible(
        &mut self,
        name: &[u8],
        stated: Incarnation,
        hearing: Hearing,
    ) -> bool {
        let known = self.table.find(name);
        let known = known.and_then(|id| Some((id, self.table.get(id)?)));
        // Whoever comes back from a grave may have learnt to count otherwise.
        let Some((id, record)) = known.filter(|(_, record)| !record.is_buried()) else {
            let too_high = stated.0 > UNKNOWN_MAX;
            self.stats.implausible_incarnations += u64::from(too_high);
            return too_high;
        };
        let window = self.clock_incarnation().0.saturating_add(WINDOW);
        let horizon = window.max(record.incarnation.0.saturating_add(STEP));
        let told_by = match hearing {
            Hearing::Hearsay(from) if stated.0 > horizon => from,
            Hearing::Hearsay(_) | Hearing::FirstHand => return false,
        };
        self.stats.implausible_incarnations += 1;
        self.ask_about(id, told_by.and_then(|from| self.table.find_addr(from)));
        true
    }

    /// What our own incarnation would be if it had counted seconds.
    fn clock_incarnation(&self) -> Incarnation {
        let seconds = self.now.saturating_since(self.started_at).as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Incarnation(self.first_incarnation.0.saturating_add(seconds))
    }

    /// Lets the member speak for itself, or, about ourselves, somebody tell how others see us: whoever
    /// said it, if that is a member.
    fn ask_about(&mut self, id: MemberId, told_by: Option<MemberId>) {
        let (asked_at, pause) = if id == self.me {
            (&mut self.questions.about_us, ASK_PAUSE_SELF)
        } else {
            (&mut self.questions.about_others, ASK_PAUSE)
        };
        if asked_at.is_some_and(|at| self.now < at + pause) {
            return;
        }
        *asked_at = Some(self.now);
        let to_ask = if id == self.me { told_by.filter(|&teller| teller != id) } else { Some(id) };
        match to_ask {
            Some(member) => self.ask_in_person(member),
            None => self.push_pull_with_random_member(),
        }
    }
}
