//! Whom to probe next, and whom to draw at random.

use smallvec::SmallVec;

use super::{MemberId, Order, Record, Table};
use crate::rng::Rng;

/// A handful of members: a fan-out, the relays of a probe.
pub(crate) type Draw = SmallVec<[MemberId; 8]>;

/// SWIM's round-robin: every live member once per round, the order shuffled between rounds.
#[derive(Debug, Default)]
pub(crate) struct Round {
    next: usize,
}

/// What the round found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Probe this one.
    Target(MemberId),
    /// The round is over: reap and shuffle, then ask again.
    Wrap,
    /// There is nobody to probe.
    Nobody,
}

impl Round {
    /// The next live member but `me`. At most one walk over the table: `checked` counts across
    /// the calls of one search.
    pub(crate) fn next(&mut self, table: &Table, me: MemberId, checked: &mut usize) -> Next {
        loop {
            if *checked >= table.len() {
                return Next::Nobody;
            }
            let Some(id) = table.order().get(self.next) else {
                self.next = 0;
                *checked += 1;
                return Next::Wrap;
            };
            self.next += 1;
            if id != me && table.get(id).is_some_and(|record| record.state.is_live()) {
                return Next::Target(id);
            }
            *checked += 1;
        }
    }
}

/// How to draw from a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sampling {
    /// Finds `k` if there are `k`.
    Exhaustive,
    /// `3n` draws with replacement, as memberlist up to 0.5.4 and the thesis do: in a list of two
    /// it misses a given one in 1/64 of the cases.
    Draws,
}

/// What can be drawn from.
pub(crate) trait Pool: Copy {
    fn len(self) -> usize;

    /// The member at a place below `len`.
    fn at(self, place: usize) -> MemberId;
}

impl Pool for &[MemberId] {
    fn len(self) -> usize {
        <[MemberId]>::len(self)
    }

    fn at(self, place: usize) -> MemberId {
        self[place]
    }
}

impl Pool for Order<'_> {
    fn len(self) -> usize {
        Order::len(self)
    }

    fn at(self, place: usize) -> MemberId {
        self.get(place).expect("a place below the length is taken")
    }
}

/// Up to `k` distinct members of `list` that pass `eligible`, in random order.
pub(crate) fn sample(
    k: usize,
    list: impl Pool,
    table: &Table,
    sampling: Sampling,
    rng: &mut Rng,
    eligible: impl Fn(MemberId, &Record) -> bool,
) -> Draw {
    let passes = |id: MemberId| table.get(id).is_some_and(|record| eligible(id, record));
    if sampling == Sampling::Exhaustive && list.len() < 3 * k.max(1) {
        return sample_all(k, list, rng, passes);
    }
    let mut draw = Draw::new();
    for _ in 0..3 * list.len() {
        if draw.len() == k {
            break;
        }
        let id = list.at(rng.below(list.len()));
        if passes(id) && !draw.contains(&id) {
            draw.push(id);
        }
    }
    draw
}

/// A shuffle walked to its end, for lists so short that random draws often miss somebody.
fn sample_all(k: usize, list: impl Pool, rng: &mut Rng, passes: impl Fn(MemberId) -> bool) -> Draw {
    let mut shuffled: SmallVec<[MemberId; 64]> =
        (0..list.len()).map(|place| list.at(place)).collect();
    rng.shuffle(&mut shuffled);
    shuffled.into_iter().filter(|&id| passes(id)).take(k).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::member::MemberState;

    use crate::time::Instant;

    use alloc::vec::Vec;

    #[test]
    fn a_round_probes_every_other_member_once() {
        let (table, _) = Table::sample(20);
        let me = table.find(b"3").unwrap();
        let mut round = Round::default();
        let mut targets = Vec::new();
        loop {
            match round.next(&table, me, &mut 0) {
                Next::Target(id) => targets.push(id),
                Next::Wrap => break,
                Next::Nobody => panic!("there are 19 others"),
            }
        }
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), 19);
        assert!(!targets.contains(&me));
    }

    #[test]
    fn a_search_ends_when_there_is_nobody_to_probe() {
        let (mut table, _) = Table::sample(3);
        let me = table.find(b"0").unwrap();
        for name in [b"1", b"2"] {
            let id = table.find(name).unwrap();
            table.set_state(id, MemberState::Dead, Instant::ZERO);
        }
        let (mut round, mut checked) = (Round::default(), 0);
        let outcome =
            (0..10).map(|_| round.next(&table, me, &mut checked)).find(|next| *next != Next::Wrap);
        assert_eq!(outcome, Some(Next::Nobody));
    }

    #[test]
    fn an_exhaustive_draw_finds_the_few_that_are_eligible() {
        let (table, mut rng) = Table::sample(8);
        let (a, b) = (table.find(b"1").unwrap(), table.find(b"6").unwrap());
        for _ in 0..100 {
            let draw = sample(3, table.order(), &table, Sampling::Exhaustive, &mut rng, |id, _| {
                id == a || id == b
            });
            assert_eq!(draw.len(), 2);
        }
    }

    #[test]
    fn draws_are_distinct_and_differ() {
        let (table, mut rng) = Table::sample(90);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut draw =
                sample(3, table.order(), &table, Sampling::Exhaustive, &mut rng, |_, _| true);
            draw.sort_unstable();
            draw.dedup();
            assert_eq!(draw.len(), 3);
            seen.push(draw);
        }
        assert!(seen[0] != seen[1] || seen[1] != seen[2]);
    }

    #[test]
    fn draws_with_replacement_miss_one_of_two_in_a_64th_of_the_cases() {
        let (table, mut rng) = Table::sample(2);
        let missed = (0..64_000)
            .filter(|_| {
                sample(3, table.order(), &table, Sampling::Draws, &mut rng, |_, _| true).len() < 2
            })
            .count();
        // One given member is missed in 1/64 of the cases, and there are two.
        assert!((1_800..2_200).contains(&missed), "{missed} of 64000, expected 2000");
    }

    #[test]
    fn drawing_from_nobody_gives_nobody() {
        let (table, mut rng) = Table::sample(1);
        for sampling in [Sampling::Exhaustive, Sampling::Draws] {
            let nobody = &[][..];
            assert!(sample(3, nobody, &table, sampling, &mut rng, |_, _| true).is_empty());
        }
    }

    #[test]
    fn draws_leave_out_whoever_is_not_eligible() {
        let (mut table, mut rng) = Table::sample(90);
        let not_me = table.find(b"0").unwrap();
        for index in 0..90 {
            let state = [MemberState::Alive, MemberState::Suspect, MemberState::Dead][index % 3];
            let id = table.find(alloc::format!("{index}").as_bytes()).unwrap();
            table.put_in_state(id, state, Instant::ZERO);
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            let draw =
                sample(3, table.order(), &table, Sampling::Exhaustive, &mut rng, |id, record| {
                    id != not_me && record.state == MemberState::Alive
                });
            let fits =
                |&id: &MemberId| id != not_me && table.get(id).unwrap().state == MemberState::Alive;
            assert!(draw.len() == 3 && draw.iter().all(fits));
            seen.push(draw);
        }
        assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    }
}
