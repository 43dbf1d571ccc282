//! What each link did for a rumour: it carried the payload, or ids alone, or the payload to who asked.
//!
//! Traces do not hold the state of a link, and need not: a link over which the payload was pushed is
//! eager for this rumour, one over which only ids went is lazy. Links of the floor follow from the
//! members and stand in no list; they are those over which nodes speak that the list does not link.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::History;
use crate::trace::{CopyKind, Saying};

/// The names of what a link did, for the style sheet and the script, which get them by their place
/// here; below half of them those of the list, then those of the floor.
pub(super) const USES: [&str; 6] =
    ["eager", "asked", "lazy", "floor eager", "floor asked", "floor lazy"];
/// Numbers of a link in [`Used`].
#[cfg(test)]
pub(super) const LINK_LEN: usize = 3;

/// The links that were used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Used {
    /// For each: both ends by their places in the plan, and the place in [`USES`].
    pub(super) numbers: Vec<usize>,
    /// How many there were.
    pub(super) all: usize,
}

/// What went over a link, in either direction.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    is_listed: bool,
    pushed: bool,
    supplied: bool,
    /// Ids, or anything else that only the ends of a link say to each other.
    spoken: bool,
}

impl Traffic {
    /// The place in [`USES`]; `None` where no link is known to be.
    fn place(self) -> Option<usize> {
        let use_ = match self {
            Self { pushed: true, .. } => 0,
            Self { supplied: true, is_listed, spoken, .. } if is_listed || spoken => 1,
            Self { spoken: true, .. } => 2,
            _ => return None,
        };
        Some(use_ + if self.is_listed { 0 } else { USES.len() / 2 })
    }
}

/// The links that were used; of more than `max` those that carried payloads come first.
pub(super) fn used(
    history: &History,
    places: &[usize],
    listed: &[(usize, usize)],
    max: usize,
) -> Used {
    let mut links: BTreeMap<(usize, usize), Traffic> = BTreeMap::new();
    let mut between = |from: usize, to: Option<usize>, note: &dyn Fn(&mut Traffic)| {
        let Some(to) = to else { return };
        let (a, b) = (places[from], places[to]);
        note(links.entry((a.min(b), a.max(b))).or_default());
    };
    for sent in &history.sent {
        between(sent.from, sent.to, &|link| match sent.why.kind() {
            CopyKind::Tick | CopyKind::Immediate => link.pushed = true,
            CopyKind::Repair => link.supplied = true,
            CopyKind::Piggyback => {}
        });
    }
    for told in &history.told {
        // Anybody may be asked, wherever links lead.
        let is_of_a_link = told.saying != Saying::Pull;
        between(told.from, told.to, &|link| link.spoken |= is_of_a_link);
    }
    for link in listed {
        if let Some(traffic) = links.get_mut(link) {
            traffic.is_listed = true;
        }
    }
    let mut used: Vec<(usize, (usize, usize))> =
        links.into_iter().filter_map(|(ends, traffic)| Some((traffic.place()?, ends))).collect();
    used.sort_by_key(|&(place, ends)| (place % (USES.len() / 2), place, ends));
    let all = used.len();
    used.truncate(max);
    Used { numbers: used.into_iter().flat_map(|(place, (a, b))| [a, b, place]).collect(), all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Sent, Told};
    use crate::trace::Why;

    /// Four nodes in a row.
    const ROW: [(usize, usize); 3] = [(0, 1), (1, 2), (2, 3)];

    #[test]
    fn payloads_make_a_link_eager_and_ids_alone_make_it_lazy() {
        let history = History {
            sent: vec![sent(0, 1, Why::Now)],
            told: vec![told(1, 0, Saying::Prune), told(1, 2, Saying::IHave)],
            ..history()
        };
        assert_eq!(uses(&history), [(0, 1, "eager"), (1, 2, "lazy")]);
    }

    #[test]
    fn a_payload_that_was_asked_for_is_no_eager_one() {
        let history = History {
            sent: vec![sent(1, 2, Why::Repair)],
            told: vec![told(2, 1, Saying::Graft)],
            ..history()
        };
        assert_eq!(uses(&history), [(1, 2, "asked")]);
    }

    #[test]
    fn who_speaks_beside_the_list_has_a_link_of_the_floor() {
        let history = History {
            sent: vec![sent(0, 3, Why::Now), sent(3, 1, Why::Repair)],
            told: vec![told(0, 2, Saying::IHave), told(1, 3, Saying::Graft)],
            ..history()
        };
        let floor = [(0, 3, "floor eager"), (1, 3, "floor asked"), (0, 2, "floor lazy")];
        assert_eq!(uses(&history), floor);
    }

    #[test]
    fn who_is_asked_at_random_or_takes_a_ride_has_no_link_for_that() {
        let history = History {
            sent: vec![sent(0, 2, Why::Repair), sent(1, 3, Why::Ack), sent(0, 1, Why::Probe)],
            told: vec![told(2, 0, Saying::Pull)],
            ..history()
        };
        assert_eq!(uses(&history), []);
    }

    #[test]
    fn of_too_many_links_those_with_payloads_are_kept() {
        let history = History {
            sent: vec![sent(0, 3, Why::Now)],
            told: vec![told(0, 1, Saying::IHave), told(1, 2, Saying::IHave)],
            ..history()
        };
        let used = used(&history, &[0, 1, 2, 3], &ROW, 2);
        assert_eq!((used.numbers, used.all), (vec![0, 3, 3, 0, 1, 2], 3));
    }

    #[test]
    fn ends_are_told_by_their_places_in_the_plan() {
        let history = History { sent: vec![sent(0, 1, Why::Now)], ..history() };
        assert_eq!(used(&history, &[3, 2, 1, 0], &ROW, 9).numbers, [2, 3, 0]);
    }

    fn uses(history: &History) -> Vec<(usize, usize, &'static str)> {
        let used = used(history, &[0, 1, 2, 3], &ROW, 9).numbers;
        used.chunks(LINK_LEN).map(|link| (link[0], link[1], USES[link[2]])).collect()
    }

    fn history() -> History {
        History {
            names: vec![],
            creator: 0,
            receipts: vec![],
            sent: vec![],
            told: vec![],
            outages: vec![],
        }
    }

    fn sent(from: usize, to: usize, why: Why) -> Sent {
        Sent { t_ns: 0, from, to: Some(to), why, copies: 1 }
    }

    fn told(from: usize, to: usize, saying: Saying) -> Told {
        Told { t_ns: 0, from, to: Some(to), saying }
    }
}
