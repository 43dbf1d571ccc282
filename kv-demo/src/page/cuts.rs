//! Where the listed links fall apart because nodes are down, and which of them are to blame.

use serde::Serialize;

use crate::metrics::Down;
use crate::topology::Graph;

/// Numbers in all [`Cut`]s of a run, at most. It bounds the page where many die one after another;
/// later cuts are left out.
const NUMBERS_MAX: usize = 4_096;

/// From a time on, the links alone lead to some who live and to others not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Cut {
    /// Since when, in microseconds; it ends where the next one begins.
    pub(super) at: i64,
    /// Into how many parts the living fall.
    pub(super) parts: usize,
    /// Who lives in another part than the creator: first and last of each run of places.
    pub(super) off: Vec<usize>,
    /// Who is down between two parts.
    pub(super) by: Vec<usize>,
}

/// The cuts from the creation to the end, the earliest first; the first one is left out if it is none.
pub(super) fn cuts(graph: &Graph, creator: usize, outages: &[Down], end_us: i64) -> Vec<Cut> {
    let mut times: Vec<i64> = outages
        .iter()
        .flat_map(|down| [Some(micros(down.from_ns)), down.until_ns.map(micros)])
        .flatten()
        .filter(|at| *at <= end_us)
        .map(|at| at.max(0))
        .collect();
    times.sort_unstable();
    times.dedup();
    let mut cuts: Vec<Cut> = Vec::new();
    let mut numbers = 0;
    for at in times {
        let cut = cut_at(graph, creator, outages, at);
        let before = cuts.last().map_or((1, &[][..]), |before| (before.parts, &before.off));
        if (cut.parts, cut.off.as_slice()) == before {
            continue;
        }
        numbers += cut.off.len() + cut.by.len() + 2;
        if numbers > NUMBERS_MAX {
            break;
        }
        cuts.push(cut);
    }
    cuts
}

fn cut_at(graph: &Graph, creator: usize, outages: &[Down], at: i64) -> Cut {
    let mut lives = vec![true; graph.nodes()];
    for down in outages.iter().filter(|down| is_down(down, at)) {
        if let Some(lives) = lives.get_mut(down.place) {
            *lives = false;
        }
    }
    let parts = graph.parts(|node| lives[node]);
    let mut part_of = vec![None; graph.nodes()];
    for (part, nodes) in parts.iter().enumerate() {
        nodes.iter().for_each(|node| part_of[*node] = Some(part));
    }
    let is_off = |node: &usize| part_of[*node].is_some() && part_of[*node] != part_of[creator];
    let off: Vec<usize> = (0..graph.nodes()).filter(is_off).collect();
    let runs = off.chunk_by(|a, b| a + 1 == *b).flat_map(|run| [run[0], run[run.len() - 1]]);
    Cut { at, parts: parts.len(), off: runs.collect(), by: between(graph, &lives, &part_of) }
}

/// The dead between two parts: whoever is down in one piece of the links with others that are.
fn between(graph: &Graph, lives: &[bool], part_of: &[Option<usize>]) -> Vec<usize> {
    let mut between = Vec::new();
    for dead in graph.parts(|node| !lives[node]) {
        let ends = dead.iter().flat_map(|node| graph.neighbors(*node));
        let mut parts: Vec<usize> = ends.filter_map(|end| part_of[*end]).collect();
        parts.sort_unstable();
        parts.dedup();
        if parts.len() > 1 {
            between.extend(dead);
        }
    }
    between.sort_unstable();
    between
}

/// Whether a node is down at a time, in microseconds.
pub(super) fn is_down(down: &Down, at: i64) -> bool {
    micros(down.from_ns) <= at && down.until_ns.is_none_or(|until_ns| micros(until_ns) > at)
}

/// Nanoseconds as microseconds, rounded down.
pub(super) const fn micros(ns: i64) -> i64 {
    ns.div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    fn down(place: usize, from_us: i64, until_us: Option<i64>) -> Down {
        let until_ns = until_us.map(|us| us * 1_000);
        Down { place, from_ns: from_us * 1_000, until_ns }
    }

    fn cuts_of(topology: Topology, outages: &[Down]) -> Vec<Cut> {
        cuts(&Graph::of(topology, 8, 0).unwrap(), 0, outages, 1_000)
    }

    #[test]
    fn a_cut_vertex_of_a_bus_cuts_off_who_is_behind_it() {
        let cut = Cut { at: 0, parts: 2, off: vec![4, 7], by: vec![3] };
        assert_eq!(cuts_of(Topology::Bus, &[down(3, -50, None)]), [cut]);
        assert_eq!(cuts_of(Topology::Bus, &[down(7, -50, None)]), [], "nobody is behind the last");
    }

    #[test]
    fn a_ring_is_cut_by_two_and_mended_by_the_first_who_is_back() {
        let outages = [down(2, -9, Some(700)), down(5, 300, None), down(4, 800, None)];
        let expected = [
            Cut { at: 300, parts: 2, off: vec![3, 4], by: vec![2, 5] },
            Cut { at: 700, parts: 1, off: vec![], by: vec![] },
        ];
        assert_eq!(cuts_of(Topology::Ring, &outages), expected);
    }

    #[test]
    fn the_dead_side_by_side_cut_together_and_others_do_not() {
        let outages = [down(2, 0, None), down(3, 0, None), down(7, 0, None)];
        let cut = Cut { at: 0, parts: 2, off: vec![4, 6], by: vec![2, 3] };
        assert_eq!(cuts_of(Topology::Bus, &outages), [cut]);
    }

    #[test]
    fn what_happens_after_the_end_is_no_cut_and_the_numbers_are_bounded() {
        assert_eq!(cuts_of(Topology::Bus, &[down(3, 1_001, None)]), []);
        let graph = Graph::of(Topology::Bus, 1_024, 0).unwrap();
        let dying = |t: usize| down(2 * t + 1, i64::try_from(t).unwrap(), None);
        let outages: Vec<Down> = (0..500).map(dying).collect();
        let cuts = cuts(&graph, 0, &outages, 1_000);
        let numbers: usize = cuts.iter().map(|cut| cut.off.len() + cut.by.len() + 2).sum();
        assert!(numbers <= NUMBERS_MAX && cuts.len() > 20, "{numbers} in {}", cuts.len());
    }
}
