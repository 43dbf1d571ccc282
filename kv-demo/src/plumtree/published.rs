//! The figures of Leitão, Pereira, Rodrigues (TR-07-14), and how ours are held against them.

use serde::Serialize;

use super::{Cycle, Deaths};
use crate::experiment::epidemic::{Printed, Verdict};

/// How many nodes the published study had.
pub(super) const NODES: usize = 10_000;
/// Broadcasts after which the last one is held against the published cycle 100: by then the published
/// trees stand, too.
pub(super) const SETTLED: usize = 4;
/// How far a mean share may be from the published one, in points of percent.
const POINTS: f64 = 10.0;
/// How far hops that were read off a figure may be, as a share of them.
const HOPS_SHARE: f64 = 0.2;

/// RMR of the first cycles, while the nodes still join: there a flood, of 3 on a whole graph, has the
/// first one, too.
pub(super) const RMR: [Printed; 4] =
    [Printed("2.05"), Printed("0.88"), Printed("0.04"), Printed("0.02")];

/// What one message costs in cycle 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Which variant of the protocol, with a single sender.
    pub variant: &'static str,
    /// Payloads.
    pub payload: Printed,
    /// Control messages.
    pub control: Printed,
    /// Most hops, at least and at most: read off a figure.
    pub last_hop: (u8, u8),
}

/// The variants with a single sender, as ours has.
pub(super) const COSTS: [Cost; 2] = [
    Cost {
        variant: "one sender",
        payload: Printed("9999.00"),
        control: Printed("29987.33"),
        last_hop: (10, 10),
    },
    Cost {
        variant: "one sender, optimised",
        payload: Printed("9999.00"),
        control: Printed("29989.33"),
        last_hop: (8, 9),
    },
];

/// What a share of deaths does, read off figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reliability {
    /// Share of the living that the first message reaches, in percent, with one sender.
    pub one_sender: Printed,
    /// The same of the variants that differ.
    pub others: &'static [Printed],
    /// RMR in the cycle after, where it was read.
    pub rmr: Option<Printed>,
    /// Cycles until the reliability is what it was before the deaths.
    pub heals: &'static str,
}

impl Reliability {
    /// What was published for this share of deaths, in percent.
    #[must_use]
    pub fn of(percent: u32) -> Option<Self> {
        let row = |one_sender, rmr| Self { one_sender, others: &[], rmr, heals: "1" };
        let whole = Printed("100");
        Some(match percent {
            10 | 20 => row(whole, None),
            30 => row(Printed("99.8"), None),
            40 => row(Printed("98.7"), Some(Printed("1.9"))),
            50 => row(Printed("95"), None),
            60 => Self { others: &[Printed("84")], ..row(Printed("56"), Some(Printed("2.3"))) },
            70 => Self { others: &[Printed("15"), Printed("0")], ..row(Printed("31"), None) },
            80 => Self { heals: "1-3", ..row(Printed("0"), Some(Printed("2.0"))) },
            _ => return None,
        })
    }
}

/// A broadcast beside a published variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// The variant.
    pub published: Cost,
    /// Our payloads.
    pub payload: u64,
    /// Beside the published ones.
    pub payload_is: Verdict,
    /// Our control messages.
    pub said: u64,
    /// Beside the published ones.
    pub said_is: Verdict,
    /// Our hops.
    pub last_hop: u8,
    /// Beside the published ones.
    pub last_hop_is: Verdict,
}

impl Beside {
    /// The last of so many broadcasts in a cluster of the published size, beside each variant.
    pub(super) fn all(nodes: usize, cycles: &[Cycle]) -> Vec<Self> {
        match cycles.last() {
            Some(last) if nodes == NODES && cycles.len() >= SETTLED => {
                COSTS.map(|published| Self::of(published, *last)).to_vec()
            }
            _ => Vec::new(),
        }
    }

    fn of(published: Cost, cycle: Cycle) -> Self {
        let Cycle { payload, said, last_hop, .. } = cycle;
        let count = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        Self {
            published,
            payload,
            payload_is: Verdict::of(published.payload, count(payload)),
            said,
            said_is: Verdict::of(published.control, count(said)),
            last_hop,
            last_hop_is: of_hops(published.last_hop, last_hop),
        }
    }

    pub(super) fn verdicts(&self) -> [Verdict; 3] {
        [self.payload_is, self.said_is, self.last_hop_is]
    }
}

fn of_hops((least, most): (u8, u8), found: u8) -> Verdict {
    let (least, most, found) = (f64::from(least), f64::from(most), f64::from(found));
    verdict(found >= least * (1.0 - HOPS_SHARE) && found <= most * (1.0 + HOPS_SHARE))
}

/// A mean share in percent beside the published one.
pub(super) fn of_share(published: Printed, found: f64) -> Verdict {
    verdict((found - published.value()).abs() <= POINTS)
}

pub(super) const fn verdict(is_within: bool) -> Verdict {
    if is_within { Verdict::Within } else { Verdict::Outside }
}

/// How many thirds of our own share, in percent, come nearest to a published one.
pub(super) fn thirds(published: Printed, own: f64) -> u8 {
    let far = |k: &u8| (own * f64::from(*k) / 3.0 - published.value()).abs();
    (0..=3).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or_default()
}

impl Deaths {
    /// With the published figures, if there are some for so many nodes.
    pub(super) fn beside_published(self, nodes: usize) -> Self {
        let published = Reliability::of(self.percent).filter(|_| nodes == NODES);
        let one_sender = published.map(|published| published.one_sender);
        Self {
            published,
            any_is: one_sender.map(|printed| of_share(printed, self.any_percent)),
            thirds: one_sender.map(|printed| thirds(printed, self.own_percent)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_points_are_near_and_more_are_not() {
        for (published, found, is) in [
            ("31", 21.0, Verdict::Within),
            ("31", 41.0, Verdict::Within),
            ("31", 20.9, Verdict::Outside),
            ("56", 70.9, Verdict::Outside),
        ] {
            assert_eq!(of_share(Printed(published), found), is, "{published} {found}");
        }
    }

    #[test]
    fn hops_are_near_within_a_fifth_of_what_was_read() {
        let near = |hops, found| of_hops(hops, found) == Verdict::Within;
        assert!(near((10, 10), 8) && near((10, 10), 12) && near((8, 9), 7));
        assert!(!near((10, 10), 7) && !near((10, 10), 13) && !near((8, 9), 11));
    }

    #[test]
    fn published_shares_after_deaths_are_thirds_of_what_one_sender_in_the_large_part_reaches() {
        // The limits of percolation on 5-regular graphs, see DESIGN.md.
        for (percent, own, k) in [(40, 98.7, 3), (50, 95.2, 3), (60, 84.2, 2), (70, 47.4, 2)] {
            let Reliability { one_sender, others, .. } = Reliability::of(percent).unwrap();
            assert_eq!(thirds(one_sender, own), k, "{percent}");
            for printed in others.iter().chain([&one_sender]) {
                let k = f64::from(thirds(*printed, own));
                assert!((own * k / 3.0 - printed.value()).abs() < 1.0, "{percent} {printed:?}");
            }
        }
    }

    #[test]
    fn every_figure_is_a_number() {
        for percent in (10..=80).step_by(10) {
            let row = Reliability::of(percent).unwrap();
            let read = row.others.iter().copied().chain([row.one_sender]).chain(row.rmr);
            assert!(read.into_iter().all(|printed| printed.value() >= 0.0));
        }
        assert!(Reliability::of(90).is_none() && Reliability::of(15).is_none());
        assert!(RMR.into_iter().all(|printed| printed.value() > 0.0));
        assert!(COSTS.iter().all(|cost| cost.control.value() > cost.payload.value()));
    }
}
