//! Faults that last may overlap: a link stays closed until nobody holds it any more, and a process
//! lags by all that holds it back. So masking one kind of fault leaves the others as they were.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::world::{Bandwidth, Link};

/// Whether a fault begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Begins,
    Ends,
}

/// What is held, by how many faults.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// For each way of being closed.
    links: BTreeMap<(usize, usize), [u32; 2]>,
    lags: BTreeMap<usize, Vec<Duration>>,
    bandwidths: BTreeMap<usize, Vec<Bandwidth>>,
}

impl Holds {
    /// What becomes of a link when a fault that closes it like this begins or ends. Where one cuts
    /// what another clogs, it is cut.
    pub(super) fn link(&mut self, ends: (usize, usize), closed: Link, turn: Turn) -> Link {
        let [cut, clogged] = self.links.entry(ends).or_default();
        let held = if closed == Link::Cut { &mut *cut } else { &mut *clogged };
        *held = match turn {
            Turn::Begins => *held + 1,
            Turn::Ends => held.saturating_sub(1),
        };
        match (*cut, *clogged) {
            (0, 0) => Link::Open,
            (0, _) => Link::Clogged,
            _ => Link::Cut,
        }
    }

    /// How much a process lags when a fault that makes it lag by so much begins or ends.
    pub(super) fn lag(&mut self, process: usize, lag: Duration, turn: Turn) -> Duration {
        let all = self.lags.entry(process).or_default();
        change(all, lag, turn);
        all.iter().sum()
    }

    /// How narrow a process' link is: the narrowest of all that hold it.
    pub(super) fn bandwidth(
        &mut self,
        process: usize,
        bandwidth: Bandwidth,
        turn: Turn,
    ) -> Option<Bandwidth> {
        let all = self.bandwidths.entry(process).or_default();
        change(all, bandwidth, turn);
        all.iter().min_by_key(|held| (held.bytes_per_second, held.queue_bytes_max)).copied()
    }
}

fn change<T: PartialEq>(all: &mut Vec<T>, one: T, turn: Turn) {
    match turn {
        Turn::Begins => all.push(one),
        Turn::Ends => {
            if let Some(index) = all.iter().position(|held| *held == one) {
                all.swap_remove(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Turn::{Begins, Ends};

    #[test]
    fn a_link_opens_when_the_last_fault_that_holds_it_ends() {
        let mut holds = Holds::default();
        let states: Vec<_> = [
            (Link::Clogged, Begins),
            (Link::Cut, Begins),
            (Link::Cut, Begins),
            (Link::Cut, Ends),
            (Link::Cut, Ends),
            (Link::Clogged, Ends),
        ]
        .map(|(link, turn)| holds.link((0, 1), link, turn))
        .into();
        let (cut, clogged) = (Link::Cut, Link::Clogged);
        assert_eq!(states, [clogged, cut, cut, cut, clogged, Link::Open]);
        assert_eq!(holds.link((1, 0), cut, Begins), cut, "the way back is another");
    }

    #[test]
    fn lags_add_up_and_the_narrowest_link_counts() {
        let (ms, mut holds) = (Duration::from_millis, Holds::default());
        let lags = [(50, Begins), (200, Begins), (50, Ends), (200, Ends)];
        let lags = lags.map(|(lag, turn)| holds.lag(3, ms(lag), turn));
        assert_eq!(lags, [50, 250, 200, 0].map(ms));
        let narrow = |speed| Bandwidth { bytes_per_second: speed, queue_bytes_max: 9 };
        let speeds = [(20, Begins), (10, Begins), (10, Ends), (20, Ends)]
            .map(|(speed, turn)| holds.bandwidth(3, narrow(speed), turn))
            .map(|held| held.map(|held| held.bytes_per_second));
        assert_eq!(speeds, [Some(20), Some(10), Some(20), None]);
    }
}
