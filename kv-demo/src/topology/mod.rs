//! The networks of the experiment, as pure graphs, and the plan that puts one onto real hosts.
//!
//! A topology of dimension `dim` has 2^`dim` nodes, numbered from 0. The three graphs are those of
//! the original experiment (DESIGN.md, "The experiment"), down to the order of each neighbour list,
//! so that a configuration file written here differs from the original's in its addresses only.
//!
//! This file knows indices; [`Plan`] knows names, hosts and ports; the writers know file formats.

mod plan;
mod write;

use core::fmt;
use core::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use plan::{NodePlan, Plan, PlanError, Ports, host_of};
pub use write::{to_ini, to_toml};

pub(crate) use plan::door_ip;

/// The largest dimension: 65 536 nodes.
///
/// That is more than one host has ports for, and a hypercube's configuration file has 25 MB then: a
/// larger number is a typing error.
pub const DIM_MAX: u32 = 16;

/// Which nodes are linked.
///
/// The order of the variants is the order in which tables and summaries list them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Topology {
    /// A line: node i is linked with i − 1 and i + 1.
    Bus,
    /// A closed line: the bus, and a link between its ends.
    Ring,
    /// A binary hypercube, built as the original builds it: as a product of rings of four.
    #[serde(alias = "hybercube")]
    #[value(alias = "hybercube")]
    Hypercube,
}

impl Topology {
    /// Every topology, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Bus, Self::Ring, Self::Hypercube];

    /// The name used on command lines, in files and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Ring => "ring",
            Self::Hypercube => "hypercube",
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a topology: use bus, ring or hypercube")]
pub struct UnknownTopology {
    /// What was given.
    pub given: String,
}

impl FromStr for Topology {
    type Err = UnknownTopology;

    /// Reads a name, and the original's misspelling `hybercube`.
    fn from_str(name: &str) -> Result<Self, UnknownTopology> {
        match name {
            "bus" => Ok(Self::Bus),
            "ring" => Ok(Self::Ring),
            "hypercube" | "hybercube" => Ok(Self::Hypercube),
            _ => Err(UnknownTopology { given: name.to_owned() }),
        }
    }
}

/// The number of nodes of a topology of dimension `dim`: 2^`dim`.
///
/// # Panics
///
/// When `dim` is outside 1..=[`DIM_MAX`].
#[must_use]
pub fn node_count(dim: u32) -> usize {
    assert!((1..=DIM_MAX).contains(&dim), "dimension {dim} is outside 1..={DIM_MAX}");
    1 << dim
}

/// The nodes that node `index` is linked with: symmetric, without duplicates, never `index` itself.
///
/// The order is that of the original's files: on a bus and a ring the left neighbour, the right
/// one, then the link that closes the ring; in a hypercube the innermost ring first, and within a
/// ring the successor before the predecessor.
///
/// ```
/// use kv_demo::topology::{Topology, neighbors};
///
/// assert_eq!(neighbors(Topology::Bus, 3, 0), [1]);
/// assert_eq!(neighbors(Topology::Ring, 3, 0), [1, 7]);
/// assert_eq!(neighbors(Topology::Hypercube, 3, 0), [1, 2, 6]);
/// ```
///
/// # Panics
///
/// When `dim` is outside 1..=[`DIM_MAX`], or `index` is not below [`node_count`].
#[must_use]
pub fn neighbors(topology: Topology, dim: u32, index: usize) -> Vec<usize> {
    let nodes = node_count(dim);
    assert!(index < nodes, "node {index} is not one of {nodes}");
    match topology {
        Topology::Bus => bus_neighbors(nodes, index),
        Topology::Ring => ring_neighbors(nodes, index),
        Topology::Hypercube => hypercube_neighbors(dim, index),
    }
}

/// Every link once, as (lower, higher) index, in ascending order.
///
/// # Panics
///
/// When `dim` is outside 1..=[`DIM_MAX`].
#[must_use]
pub fn edges(topology: Topology, dim: u32) -> Vec<(usize, usize)> {
    let mut edges: Vec<(usize, usize)> = (0..node_count(dim))
        .flat_map(|a| neighbors(topology, dim, a).into_iter().map(move |b| (a, b)))
        .filter(|(a, b)| a < b)
        .collect();
    edges.sort_unstable();
    edges
}

fn bus_neighbors(nodes: usize, index: usize) -> Vec<usize> {
    let left = index.checked_sub(1);
    let right = Some(index + 1).filter(|right| *right < nodes);
    left.into_iter().chain(right).collect()
}

fn ring_neighbors(nodes: usize, index: usize) -> Vec<usize> {
    let mut neighbors = bus_neighbors(nodes, index);
    // A ring of two is the bus already: closing it would name the same neighbour twice.
    if nodes > 2 {
        if index == 0 {
            neighbors.push(nodes - 1);
        } else if index == nodes - 1 {
            neighbors.push(0);
        }
    }
    neighbors
}

/// Two dimensions at a time form a ring of four blocks; an odd last dimension forms a pair. Four in
/// a ring is a square, so the product is the hypercube, under another numbering than the usual one.
fn hypercube_neighbors(dim: u32, index: usize) -> Vec<usize> {
    let mut neighbors = Vec::new();
    let mut ring_dim = if dim.is_multiple_of(2) {
        2
    } else {
        neighbors.push(index ^ 1);
        3
    };
    while ring_dim <= dim {
        let size = 1 << ring_dim;
        let step = size / 4;
        let within = index % size;
        let block = index - within;
        neighbors.push(block + (within + step) % size);
        neighbors.push(block + (within + size - step) % size);
        ring_dim += 2;
    }
    neighbors
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn every_graph_is_symmetric_without_duplicates_or_loops() {
        for (topology, dim) in all_up_to(10) {
            for node in 0..node_count(dim) {
                let neighbors_of_node = neighbors(topology, dim, node);
                let mut unique = neighbors_of_node.clone();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), neighbors_of_node.len(), "{topology} {dim} {node}");
                assert!(!unique.contains(&node), "{topology} {dim} {node}");
                for other in unique {
                    assert!(neighbors(topology, dim, other).contains(&node), "{topology} {dim}");
                }
            }
        }
    }

    #[test]
    fn dimension_one_is_one_pair_for_all_three() {
        for topology in Topology::ALL {
            assert_eq!(neighbors(topology, 1, 0), [1], "{topology}");
            assert_eq!(neighbors(topology, 1, 1), [0], "{topology}");
            assert_eq!(edges(topology, 1), [(0, 1)], "{topology}");
        }
    }

    #[test]
    fn hypercube_has_degree_and_diameter_of_its_dimension() {
        for dim in 1..=10 {
            for node in 0..node_count(dim) {
                assert_eq!(neighbors(Topology::Hypercube, dim, node).len(), dim as usize);
            }
            let levels = nodes_by_distance(Topology::Hypercube, dim, 0);
            assert_eq!(levels, binomials(dim), "dimension {dim}");
        }
    }

    #[test]
    fn links_are_counted_once() {
        for dim in 2..=10 {
            let nodes = node_count(dim);
            assert_eq!(edges(Topology::Bus, dim).len(), nodes - 1);
            assert_eq!(edges(Topology::Ring, dim).len(), nodes);
            assert_eq!(edges(Topology::Hypercube, dim).len(), nodes * dim as usize / 2);
        }
    }

    #[test]
    fn ring_and_bus_reach_as_far_as_their_formulas_say() {
        for dim in 1..=8 {
            let nodes = node_count(dim);
            assert_eq!(nodes_by_distance(Topology::Bus, dim, 0).len() - 1, nodes - 1);
            assert_eq!(nodes_by_distance(Topology::Ring, dim, 0).len() - 1, nodes / 2);
        }
    }

    #[test]
    fn neighbour_lists_equal_those_of_the_original_files() {
        // Node1, Node3 and Node4 of the original's hybercube-3.ini, Node1 and Node7 of its
        // hybercube-5.ini, Node8 of its ring-3.ini.
        assert_eq!(neighbors(Topology::Hypercube, 3, 0), [1, 2, 6]);
        assert_eq!(neighbors(Topology::Hypercube, 3, 2), [3, 4, 0]);
        assert_eq!(neighbors(Topology::Hypercube, 3, 3), [2, 5, 1]);
        assert_eq!(neighbors(Topology::Hypercube, 5, 0), [1, 2, 6, 8, 24]);
        assert_eq!(neighbors(Topology::Hypercube, 5, 6), [7, 0, 4, 14, 30]);
        assert_eq!(neighbors(Topology::Ring, 3, 7), [6, 0]);
    }

    #[test]
    fn the_originals_misspelling_is_a_hypercube_everywhere() {
        assert_eq!("hybercube".parse(), Ok(Topology::Hypercube));
        assert_eq!(<Topology as ValueEnum>::from_str("hybercube", false), Ok(Topology::Hypercube));
        assert_eq!(serde_json::from_str::<Topology>("\"hybercube\"").unwrap(), Topology::Hypercube);
        assert_eq!(serde_json::to_string(&Topology::Hypercube).unwrap(), "\"hypercube\"");
    }

    #[test]
    fn every_name_reads_back_and_a_foreign_one_names_the_choices() {
        for topology in Topology::ALL {
            assert_eq!(topology.to_string().parse(), Ok(topology));
        }
        assert_eq!(
            "star".parse::<Topology>().unwrap_err().to_string(),
            "`star` is not a topology: use bus, ring or hypercube"
        );
    }

    #[test]
    #[should_panic(expected = "dimension 17 is outside 1..=16")]
    fn a_dimension_beyond_the_limit_is_the_callers_bug() {
        let _ = node_count(DIM_MAX + 1);
    }

    #[test]
    fn the_largest_dimension_still_has_a_graph() {
        assert_eq!(node_count(DIM_MAX), 65_536);
        assert_eq!(neighbors(Topology::Hypercube, DIM_MAX, 65_535).len(), 16);
    }

    fn all_up_to(dim_max: u32) -> impl Iterator<Item = (Topology, u32)> {
        Topology::ALL
            .into_iter()
            .flat_map(move |topology| (1..=dim_max).map(move |dim| (topology, dim)))
    }

    /// How many nodes are 0, 1, 2, … links away from `start`.
    fn nodes_by_distance(topology: Topology, dim: u32, start: usize) -> Vec<usize> {
        let mut distance = vec![None; node_count(dim)];
        distance[start] = Some(0);
        let mut queue = VecDeque::from([start]);
        let mut levels = Vec::new();
        while let Some(node) = queue.pop_front() {
            let depth: usize = distance[node].unwrap();
            levels.resize(levels.len().max(depth + 1), 0);
            levels[depth] += 1;
            for next in neighbors(topology, dim, node) {
                if distance[next].is_none() {
                    distance[next] = Some(depth + 1);
                    queue.push_back(next);
                }
            }
        }
        levels
    }

    /// In the hypercube, C(dim, k) nodes differ in k bits.
    fn binomials(dim: u32) -> Vec<usize> {
        let dim = dim as usize;
        (1..=dim).fold(vec![1], |mut row, k| {
            row.push(row[k - 1] * (dim + 1 - k) / k);
            row
        })
    }
}
