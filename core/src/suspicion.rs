//! How long a suspect has to refute (SWIM §4.2, Lifeguard §IV-B, protocol page §4.12).
//!
//! A suspicion starts long and shrinks as independent accusers confirm it: a member that only one
//! slow observer misses gets time, one that everybody misses does not.

use core::time::Duration;

use smallvec::SmallVec;

use crate::member::MemberId;
use crate::scale::confirmed_timeout;
use crate::time::Instant;

/// One running suspicion.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    started_at: Instant,
    min: Duration,
    max: Duration,
    /// How many confirmations shorten it to the minimum.
    expected: u32,
    /// The first accuser, if it is a member, and those who confirmed.
    accusers: SmallVec<[MemberId; 4]>,
    confirmations: u32,
}

/// The bounds of a suspicion in a cluster of a given size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    pub(crate) expected: u32,
}

impl Suspicion {
    pub(crate) fn start(now: Instant, bounds: Bounds, accuser: Option<MemberId>) -> Self {
        Self {
            started_at: now,
            min: bounds.min,
            max: bounds.max,
            expected: bounds.expected,
            accusers: accuser.into_iter().collect(),
            confirmations: 0,
        }
    }

    /// Another accuser. `true` if that is news: a new one, while further ones still count.
    pub(crate) fn confirm(&mut self, accuser: MemberId) -> bool {
        if self.confirmations >= self.expected || self.accusers.contains(&accuser) {
            return false;
        }
        self.accusers.push(accuser);
        self.confirmations += 1;
        true
    }

    /// Gives lost time back.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.started_at += by;
    }

    /// When the suspect will be condemned, as things stand.
    pub(crate) fn deadline(&self) -> Instant {
        let timeout = if self.expected == 0 {
            self.min
        } else {
            confirmed_timeout(self.min, self.max, self.confirmations, self.expected)
        };
        self.started_at + timeout
    }

    pub(crate) fn accusers(&self) -> &[MemberId] {
        &self.accusers
    }

    /// Whether it ran out with fewer confirmations than expected: the observer may be the one
    /// with the problem.
    pub(crate) fn is_lonely(&self) -> bool {
        self.confirmations < self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::member::Table;

    use alloc::vec::Vec;

    fn members() -> Vec<MemberId> {
        let (table, _) = Table::sample(6);
        table.iter().map(|(id, _)| id).collect()
    }

    fn millis(suspicion: &Suspicion) -> u64 {
        suspicion.deadline().as_micros() / 1_000
    }

    #[test]
    fn confirmations_bring_the_verdict_forward_and_repeats_do_not() {
        let members = members();
        let bounds =
            Bounds { min: Duration::from_millis(500), max: Duration::from_secs(2), expected: 3 };
        let mut suspicion = Suspicion::start(Instant::ZERO, bounds, Some(members[0]));
        assert_eq!(millis(&suspicion), 2_000);
        assert!(!suspicion.confirm(members[0]), "the first accuser never confirms itself");
        assert_eq!(millis(&suspicion), 2_000);
        assert!(suspicion.confirm(members[1]));
        assert!(!suspicion.confirm(members[1]));
        assert_eq!(millis(&suspicion), 1_250);
        assert!(suspicion.is_lonely());
        assert!(suspicion.confirm(members[2]));
        assert_eq!(millis(&suspicion), 811);
        assert!(suspicion.confirm(members[3]));
        assert_eq!(millis(&suspicion), 500);
        assert!(!suspicion.confirm(members[4]), "a fourth one is not expected");
        assert!(!suspicion.is_lonely());
        assert_eq!(suspicion.accusers(), &members[..4]);
    }

    #[test]
    fn without_expected_confirmations_the_minimum_holds_at_once() {
        let members = members();
        let bounds =
            Bounds { min: Duration::from_secs(1), max: Duration::from_secs(6), expected: 0 };
        let mut suspicion = Suspicion::start(Instant::ZERO, bounds, None);
        assert_eq!(millis(&suspicion), 1_000);
        assert!(!suspicion.confirm(members[1]));
    }
}
