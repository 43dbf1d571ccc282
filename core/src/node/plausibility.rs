//! Which incarnations are believed.
//!
//! An incarnation counts up to 2^32 and never back, so that whoever may state any number can state
//! one that its owner cannot exceed, and silence it for good (memberlist #358). A number that is
//! heard must therefore lie within a window above what is known or what a clock could have made of
//! it; what lies beyond is believed only of the node itself.

use core::time::Duration;

use super::Node;
use crate::identity::Incarnation;
use crate::member::MemberId;

/// How far an incarnation may lie above the known one, or above our own start value and the
/// seconds since, whichever is higher. A node refutes at most a few times per second.
const WINDOW: u32 = 1 << 16;

/// Highest incarnation of a member that we did not know. Wall-clock seconds reach it in 2105; what
/// lies above is kept for refutations.
const UNKNOWN_MAX: u32 = u32::MAX - (1 << 24);

/// An implausible statement makes us ask this often at most.
const ASK_PAUSE: Duration = Duration::from_secs(2);

/// How a statement came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Anybody may have made it up.
    Hearsay,
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
        let Some((id, record)) = known.and_then(|id| Some((id, self.table.get(id)?))) else {
            let too_high = stated.0 > UNKNOWN_MAX;
            self.stats.implausible_incarnations += u64::from(too_high);
            return too_high;
        };
        let horizon = record.incarnation.max(self.clock_incarnation()).0.saturating_add(WINDOW);
        if stated.0 <= horizon || hearing == Hearing::FirstHand {
            return false;
        }
        self.stats.implausible_incarnations += 1;
        self.ask_about(id);
        true
    }

    /// What our own incarnation would be if it had counted seconds.
    fn clock_incarnation(&self) -> Incarnation {
        let seconds = self.now.saturating_since(self.started_at).as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Incarnation(self.first_incarnation.0.saturating_add(seconds))
    }

    /// Lets the member speak for itself, or, about ourselves, somebody tell how others see us.
    fn ask_about(&mut self, id: MemberId) {
        if self.asked_about_at.is_some_and(|at| self.now < at + ASK_PAUSE) {
            return;
        }
        self.asked_about_at = Some(self.now);
        if id == self.me {
            self.push_pull_with_random_member();
        } else {
            self.ask_in_person(id);
        }
    }
}
