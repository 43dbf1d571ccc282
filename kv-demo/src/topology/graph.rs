//! A graph: who is linked with whom, and what follows from it.

use core::time::Duration;
use std::collections::BTreeSet;

use rumormill_sim::chance::{Chance, Part, named_seed};

use super::{DEGREE_MAX, DIM_MAX, NODES_MAX, Topology, dim_of, drawn, rules, stem};

/// Nodes that are tried as the first of a [`Cut`] of two.
const CUT_TRIES_MAX: usize = 256;

/// A graph: connected, symmetric, without loops and double links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    topology: Topology,
    neighbors: Vec<Vec<usize>>,
}

/// Why there is no such graph. Every case is the caller's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// The dimension is outside 1..=[`DIM_MAX`].
    #[error("dimension {dim} is out of range: use 1 to {DIM_MAX}")]
    DimOutOfRange {
        /// What was asked for.
        dim: u32,
    },
    /// The number of nodes is outside 2..=[`NODES_MAX`].
    #[error("{nodes} nodes are out of range: use 2 to {NODES_MAX}")]
    NodesOutOfRange {
        /// What was asked for.
        nodes: usize,
    },
    /// A hypercube has a power of two.
    #[error("a hypercube has no {nodes} nodes: use a power of two, or another topology")]
    NoCube {
        /// What was asked for.
        nodes: usize,
    },
    /// There is no connected graph with so many links of each node.
    #[error(
        "{nodes} nodes cannot have {degree} links each and hang together: use 2 to {DEGREE_MAX} links, \
         fewer than nodes, and one of the two even"
    )]
    NoRegular {
        /// How many nodes.
        nodes: usize,
        /// How many links each.
        degree: u32,
    },
    /// More links of a node than the core takes.
    #[error("Node{number} would have {degree} links: {DEGREE_MAX} are the most that a node takes")]
    DegreeTooHigh {
        /// The node, from 1.
        number: usize,
        /// Its links.
        degree: usize,
    },
    /// The lot has fallen badly, many times.
    #[error("no {topology} of {nodes} nodes was found: try another --seed or other numbers")]
    NotDrawn {
        /// The rule.
        topology: Topology,
        /// How many nodes.
        nodes: usize,
    },
    /// Graphs in files are read, not made.
    #[error("{topology}: give the file's path, as in file:links.txt")]
    InFile {
        /// What was asked for.
        topology: Topology,
    },
}

/// Nodes whose death parts the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut(pub Vec<usize>);

impl Graph {
    /// The graph of a rule. `seed` decides about those that are drawn; the same seed, rule and size
    /// give the same graph.
    ///
    /// ```
    /// use kv_demo::topology::{Graph, Topology};
    ///
    /// let cube = Graph::of(Topology::Hypercube, 8, 0).unwrap();
    /// assert_eq!(cube.neighbors(0), [1, 2, 6]);
    /// ```
    ///
    /// # Errors
    ///
    /// [`GraphError`] when there is none.
    pub fn of(topology: Topology, nodes: usize, seed: u64) -> Result<Self, GraphError> {
        if !(2..=NODES_MAX).contains(&nodes) {
            return Err(GraphError::NodesOutOfRange { nodes });
        }
        let mut chance = Chance::child(named_seed(seed, &stem(topology, nodes)), Part::Scenario);
        let neighbors = match topology {
            Topology::Hypercube if !nodes.is_power_of_two() => {
                return Err(GraphError::NoCube { nodes });
            }
            Topology::Full if nodes > DEGREE_MAX + 1 => {
                return Err(GraphError::DegreeTooHigh { number: 1, degree: nodes - 1 });
            }
            Topology::RandomRegular(degree) => {
                let links = degree as usize;
                let is_possible = (2..=DEGREE_MAX).contains(&links)
                    && links < nodes
                    && (links * nodes).is_multiple_of(2);
                if !is_possible {
                    return Err(GraphError::NoRegular { nodes, degree });
                }
                drawn::random_regular(nodes, links, &mut chance)
            }
            Topology::Geometric => drawn::geometric(nodes, &mut chance),
            Topology::File(_) => return Err(GraphError::InFile { topology }),
            Topology::Bus | Topology::Ring | Topology::Hypercube | Topology::Full => {
                (0..nodes).map(|index| rules::neighbors(topology, nodes, index)).collect()
            }
        };
        let neighbors = neighbors.ok_or(GraphError::NotDrawn { topology, nodes })?;
        Ok(Self { topology, neighbors })
    }

    /// The graph of a rule and a dimension.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn of_dim(topology: Topology, dim: u32, seed: u64) -> Result<Self, GraphError> {
        if !(1..=DIM_MAX).contains(&dim) {
            return Err(GraphError::DimOutOfRange { dim });
        }
        Self::of(topology, 1 << dim, seed)
    }

    /// A graph whose lists the caller has checked.
    pub(super) const fn from_parts(topology: Topology, neighbors: Vec<Vec<usize>>) -> Self {
        Self { topology, neighbors }
    }

    /// What it is.
    #[must_use]
    pub const fn topology(&self) -> Topology {
        self.topology
    }

    /// How many nodes it has; at least 2.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.neighbors.len()
    }

    /// See [`dim_of`].
    #[must_use]
    pub const fn dim(&self) -> u32 {
        dim_of(self.nodes())
    }

    /// The nodes that a node is linked with.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[must_use]
    pub fn neighbors(&self, index: usize) -> &[usize] {
        &self.neighbors[index]
    }

    /// Every link once, as (lower, higher) index, in ascending order.
    #[must_use]
    pub fn edges(&self) -> Vec<(usize, usize)> {
        let ends = |(a, ends): (usize, &Vec<usize>)| {
            ends.iter().filter(|&&b| a < b).map(|&b| (a, b)).collect::<Vec<_>>()
        };
        let mut edges: Vec<(usize, usize)> =
            self.neighbors.iter().enumerate().flat_map(ends).collect();
        edges.sort_unstable();
        edges
    }

    /// How long something takes at least from one node to each other one, along links between nodes
    /// that live; `None` where no way leads.
    #[must_use]
    pub fn times_from(
        &self,
        origin: usize,
        delay: impl Fn(usize, usize) -> Duration,
        lives: impl Fn(usize) -> bool,
    ) -> Vec<Option<Duration>> {
        let mut reached: Vec<Option<Duration>> = vec![None; self.nodes()];
        let mut on_the_way = BTreeSet::from([(Duration::ZERO, origin)]);
        while let Some((after, index)) = on_the_way.pop_first() {
            if reached[index].is_none() {
                reached[index] = Some(after);
                let ends = self.neighbors[index].iter().copied();
                let ends = ends.filter(|&end| lives(end) && reached[end].is_none());
                on_the_way.extend(ends.map(|end| (after + delay(index, end), end)));
            }
        }
        reached
    }

    /// The floor: the longest of the shortest ways from `origin` among all nodes.
    #[must_use]
    pub fn floor(&self, origin: usize, delay: impl Fn(usize, usize) -> Duration) -> Duration {
        let times = self.times_from(origin, delay, |_| true);
        times.into_iter().flatten().max().unwrap_or_default()
    }

    /// The parts into which the graph falls when only some nodes live, each ascending, in the order of
    /// their first nodes.
    #[must_use]
    pub fn parts(&self, lives: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
        let mut is_placed = vec![false; self.nodes()];
        let mut parts = Vec::new();
        for first in 0..self.nodes() {
            if is_placed[first] || !lives(first) {
                continue;
            }
            is_placed[first] = true;
            let mut part = vec![first];
            let mut next = 0;
            while let Some(&node) = part.get(next) {
                next += 1;
                for &end in &self.neighbors[node] {
                    if lives(end) && !is_placed[end] {
                        is_placed[end] = true;
                        part.push(end);
                    }
                }
            }
            part.sort_unstable();
            parts.push(part);
        }
        parts
    }

    /// Nodes other than `origin` whose death cuts others off from it: one, if one can do that, else two;
    /// which one or two is drawn. `None` if two cannot, or were not found among a few hundred.
    #[must_use]
    pub fn cut(&self, origin: usize, chance: &mut Chance) -> Option<Cut> {
        let single = self.cut_vertices(origin, None);
        if !single.is_empty() {
            return Some(Cut(vec![*chance.pick(&single)]));
        }
        let mut firsts: Vec<usize> = (0..self.nodes()).filter(|&node| node != origin).collect();
        chance.shuffle(&mut firsts);
        firsts.into_iter().take(CUT_TRIES_MAX).find_map(|first| {
            let seconds = self.cut_vertices(origin, Some(first));
            (!seconds.is_empty()).then(|| {
                let mut pair = vec![first, *chance.pick(&seconds)];
                pair.sort_unstable();
                Cut(pair)
            })
        })
    }

    /// Nodes without which others cannot be reached from `origin`, itself left out, when `dead` is not
    /// there: those with a child in a depth-first tree from which no way leads above them (Tarjan
    /// 1972).
    fn cut_vertices(&self, origin: usize, dead: Option<usize>) -> Vec<usize> {
        const UNSEEN: usize = usize::MAX;
        let mut order = vec![UNSEEN; self.nodes()];
        let mut low = vec![UNSEEN; self.nodes()];
        let mut is_cut = vec![false; self.nodes()];
        // The node, its parent, and how many of its links were looked at.
        let mut stack = vec![(origin, origin, 0)];
        let mut count = 0;
        (order[origin], low[origin]) = (0, 0);
        while let Some((node, parent, looked_at)) = stack.last_mut() {
            let (node, parent) = (*node, *parent);
            match self.neighbors[node].get(*looked_at) {
                Some(&end) => {
                    *looked_at += 1;
                    if end == parent || Some(end) == dead {
                        continue;
                    }
                    if order[end] == UNSEEN {
                        count += 1;
                        (order[end], low[end]) = (count, count);
                        stack.push((end, node, 0));
                    } else {
                        low[node] = low[node].min(order[end]);
                    }
                }
                None => {
                    stack.pop();
                    low[parent] = low[parent].min(low[node]);
                    if parent != origin && node != origin {
                        is_cut[parent] |= low[node] >= order[parent];
                    }
                }
            }
        }
        (0..self.nodes()).filter(|&node| is_cut[node]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn graph(topology: Topology, nodes: usize) -> Graph {
        Graph::of(topology, nodes, 7).unwrap()
    }

    fn chance() -> Chance {
        Chance::child(1, Part::Scenario)
    }

    /// Whether these deaths leave somebody alive whom `origin` cannot reach.
    fn parts_others(graph: &Graph, dead: &[usize]) -> bool {
        graph.parts(|node| !dead.contains(&node)).len() > 1
    }

    #[test]
    fn any_number_of_nodes_but_for_the_hypercube() {
        assert_eq!(graph(Topology::Bus, 10).edges().len(), 9);
        assert_eq!(graph(Topology::Ring, 10).edges().len(), 10);
        assert_eq!(graph(Topology::Full, 10).edges().len(), 45);
        assert_eq!(graph(Topology::Ring, 10).neighbors(9), [8, 0]);
        assert_eq!(graph(Topology::Ring, 2).edges(), [(0, 1)]);
        let error = Graph::of(Topology::Hypercube, 10, 0).unwrap_err();
        assert_eq!(error, GraphError::NoCube { nodes: 10 });
    }

    #[test]
    fn sizes_have_their_limits() {
        for nodes in [0, 1, NODES_MAX + 1] {
            let error = Graph::of(Topology::Bus, nodes, 0).unwrap_err();
            assert_eq!(error, GraphError::NodesOutOfRange { nodes });
        }
        assert_eq!(graph(Topology::Bus, NODES_MAX).nodes(), NODES_MAX);
        assert_eq!(graph(Topology::Full, DEGREE_MAX + 1).neighbors(3).len(), DEGREE_MAX);
        let error = Graph::of(Topology::Full, DEGREE_MAX + 2, 0).unwrap_err();
        assert_eq!(error, GraphError::DegreeTooHigh { number: 1, degree: DEGREE_MAX + 1 });
        for dim in [0, DIM_MAX + 1] {
            let error = Graph::of_dim(Topology::Bus, dim, 0).unwrap_err();
            assert_eq!(error, GraphError::DimOutOfRange { dim });
        }
    }

    #[test]
    fn every_refusal_is_one_line() {
        let errors = [
            Graph::of(Topology::Bus, 1, 0),
            Graph::of(Topology::Hypercube, 12, 0),
            Graph::of(Topology::RandomRegular(5), 5, 0),
            Graph::of(Topology::RandomRegular(5), 7, 0),
            Graph::of(Topology::RandomRegular(1), 4, 0),
            Graph::of(Topology::RandomRegular(65), 100, 0),
            Graph::of(Topology::Full, 100, 0),
            Graph::of("file:x".parse().unwrap(), 4, 0),
        ];
        for error in errors {
            let text = error.unwrap_err().to_string();
            assert!(text.lines().count() == 1 && text.contains(':'), "{text}");
        }
    }

    #[test]
    fn the_floor_is_the_longest_of_the_shortest_ways() {
        assert_eq!(graph(Topology::Bus, 10).floor(0, |_, _| MS), 9 * MS);
        assert_eq!(graph(Topology::Ring, 10).floor(0, |_, _| MS), 5 * MS);
        assert_eq!(graph(Topology::Full, 10).floor(0, |_, _| MS), MS);
        // One link of the ring is slow: everything goes the other way round.
        let slow = |a: usize, b: usize| if a + b == 9 && a * b == 0 { 100 * MS } else { MS };
        assert_eq!(graph(Topology::Ring, 10).floor(0, slow), 9 * MS);
    }

    #[test]
    fn ways_lead_through_the_living_only() {
        let times = graph(Topology::Ring, 6).times_from(0, |_, _| MS, |node| node != 2);
        let ms: Vec<Option<u128>> =
            times.into_iter().map(|time| time.map(|time| time.as_millis())).collect();
        assert_eq!(ms, [Some(0), Some(1), None, Some(3), Some(2), Some(1)]);
    }

    #[test]
    fn the_parts_of_a_bus_are_what_the_dead_leave_between_them() {
        let parts = graph(Topology::Bus, 8).parts(|node| node != 2 && node != 5);
        assert_eq!(parts, [vec![0, 1], vec![3, 4], vec![6, 7]]);
        assert_eq!(graph(Topology::Ring, 8).parts(|node| node != 2).len(), 1);
        assert!(graph(Topology::Bus, 2).parts(|_| false).is_empty());
    }

    #[test]
    fn the_cut_vertices_of_a_bus_are_between_its_ends() {
        assert_eq!(graph(Topology::Bus, 5).cut_vertices(0, None), [1, 2, 3]);
        assert_eq!(graph(Topology::Bus, 5).cut_vertices(2, None), [1, 3]);
        assert!(graph(Topology::Ring, 5).cut_vertices(0, None).is_empty());
        // Without node 2, the ring is the bus 1, 0, 4, 3.
        assert_eq!(graph(Topology::Ring, 5).cut_vertices(0, Some(2)), [4]);
    }

    #[test]
    fn a_ring_needs_two_deaths_and_a_full_graph_has_no_cut() {
        let Cut(one) = graph(Topology::Bus, 8).cut(0, &mut chance()).unwrap();
        assert_eq!(one.len(), 1);
        let ring = graph(Topology::Ring, 8);
        let Cut(two) = ring.cut(0, &mut chance()).unwrap();
        assert!(two.len() == 2 && !two.contains(&0) && parts_others(&ring, &two), "{two:?}");
        assert_eq!(graph(Topology::Full, 8).cut(0, &mut chance()), None);
        assert_eq!(graph(Topology::Bus, 2).cut(0, &mut chance()), None);
    }

    proptest! {
        #[test]
        fn a_cut_cuts_and_what_is_none_does_not(nodes in 6_usize..40, seed: u64) {
            let graph = Graph::of(Topology::Geometric, nodes, seed).unwrap();
            let single = graph.cut_vertices(0, None);
            for node in 1..nodes {
                prop_assert_eq!(parts_others(&graph, &[node]), single.contains(&node));
            }
            if let Some(Cut(dead)) = graph.cut(0, &mut Chance::child(seed, Part::Scenario)) {
                prop_assert!(!dead.contains(&0) && parts_others(&graph, &dead));
            }
        }
    }
}
