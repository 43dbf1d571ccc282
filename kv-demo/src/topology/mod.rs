//! The networks of the experiment, as pure graphs, and the plan that puts one onto real hosts.
//!
//! Nodes are numbered from 0. The bus, the ring and the hypercube are those of the original
//! experiment (DESIGN.md, "The experiment"), down to the order of each neighbour list, so that a
//! configuration file written here differs from the original's in its addresses only. A topology of
//! dimension `dim` has 2^`dim` nodes; all but the hypercube may have any other number.
//!
//! | file | says |
//! |---|---|
//! | `graph` | who is linked with whom; ways, parts and cuts |
//! | `rules` | bus, ring, hypercube, full |
//! | `drawn` | random-regular, geometric |
//! | `edge_list` | graphs in files |
//! | `source` | what a command line asks for |
//! | `plan`, `write` | names, hosts and ports; configuration files |

mod drawn;
mod edge_list;
mod graph;
mod plan;
mod rules;
mod source;
mod write;

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

pub use edge_list::{EdgeListError, EdgeListProblem, to_edge_list};
pub use graph::{Cut, Graph, GraphError};
pub use plan::{NodePlan, Plan, PlanError, Ports, host_of};
pub use source::{Source, SourceError};
pub use write::{to_ini, to_toml};

pub(crate) use plan::door_ip;

/// The largest dimension: 65 536 nodes.
///
/// That is more than one host has ports for, and a hypercube's configuration file has 25 MB then: a
/// larger number is a typing error.
pub const DIM_MAX: u32 = 16;

/// Most nodes of any graph.
pub const NODES_MAX: usize = 1 << DIM_MAX;

/// Links of a node in a random regular graph unless told otherwise: the fewest with which Plumtree's
/// published failure curves were measured.
pub const DEGREE_DEFAULT: u32 = 5;

/// Most links of a node: what the core takes.
pub const DEGREE_MAX: usize = rumormill::NEIGHBORS_MAX;

/// Which nodes are linked.
///
/// The order of the variants is the order in which tables and summaries list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Topology {
    /// A line: node i is linked with i − 1 and i + 1.
    Bus,
    /// A closed line: the bus, and a link between its ends.
    Ring,
    /// A binary hypercube, built as the original builds it: as a product of rings of four.
    Hypercube,
    /// Every node has this many links, and which they are is drawn by lot.
    RandomRegular(u32),
    /// Nodes lie at random in a square, and those are linked that are near each other.
    Geometric,
    /// All are linked with all.
    Full,
    /// The links stand in a file of this name.
    File(GraphName),
}

impl Topology {
    /// The graphs of the original, in the order of tables.
    pub const ORIGINAL: [Self; 3] = [Self::Bus, Self::Ring, Self::Hypercube];

    /// The rule's name, without its numbers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Ring => "ring",
            Self::Hypercube => "hypercube",
            Self::RandomRegular(_) => "random-regular",
            Self::Geometric => "geometric",
            Self::Full => "full",
            Self::File(_) => "file",
        }
    }

    /// Whether a seed or a file decides about the links, so that they must be kept to be known.
    #[must_use]
    pub const fn is_singular(self) -> bool {
        matches!(self, Self::RandomRegular(_) | Self::Geometric | Self::File(_))
    }

    /// Whether a seed decides about the links.
    #[must_use]
    pub const fn is_drawn(self) -> bool {
        matches!(self, Self::RandomRegular(_) | Self::Geometric)
    }
}

impl fmt::Display for Topology {
    /// As on command lines, in files and in tables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomRegular(degree) => f.pad(&format!("{}:{degree}", self.name())),
            Self::File(name) => f.pad(&format!("{}:{name}", self.name())),
            _ => f.pad(self.name()),
        }
    }
}

/// A name that is no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a topology: use bus, ring, hypercube, random-regular[:LINKS], geometric, full \
     or file:PATH"
)]
pub struct UnknownTopology {
    /// What was given.
    pub given: String,
}

impl FromStr for Topology {
    type Err = UnknownTopology;

    /// Reads a name, and the original's misspelling `hybercube`.
    fn from_str(name: &str) -> Result<Self, UnknownTopology> {
        let unknown = || UnknownTopology { given: name.to_owned() };
        match name {
            "bus" => Ok(Self::Bus),
            "ring" => Ok(Self::Ring),
            "hypercube" | "hybercube" => Ok(Self::Hypercube),
            "random-regular" => Ok(Self::RandomRegular(DEGREE_DEFAULT)),
            "geometric" => Ok(Self::Geometric),
            "full" => Ok(Self::Full),
            _ => match name.split_once(':') {
                Some(("random-regular", degree)) => {
                    degree.parse().map(Self::RandomRegular).map_err(|_| unknown())
                }
                Some(("file", name)) => {
                    GraphName::exactly(name).map(Self::File).ok_or_else(unknown)
                }
                _ => Err(unknown()),
            },
        }
    }
}

impl From<Topology> for String {
    fn from(topology: Topology) -> Self {
        topology.to_string()
    }
}

impl TryFrom<String> for Topology {
    type Error = UnknownTopology;

    fn try_from(name: String) -> Result<Self, UnknownTopology> {
        name.parse()
    }
}

/// What a graph from a file is called: up to 40 letters, digits, dots, hyphens and underscores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GraphName([u8; Self::LEN_MAX]);

impl GraphName {
    const LEN_MAX: usize = 40;

    /// The closest name to a text: other characters become hyphens, what is too long is cut off.
    #[must_use]
    pub fn like(text: &str) -> Self {
        let text = if text.is_empty() { "graph" } else { text };
        let mut name = [0; Self::LEN_MAX];
        for (place, letter) in name.iter_mut().zip(text.chars()) {
            *place = u8::try_from(letter).ok().filter(|&it| is_name_byte(it)).unwrap_or(b'-');
        }
        Self(name)
    }

    fn exactly(text: &str) -> Option<Self> {
        let name = Self::like(text);
        (name.as_str() == text).then_some(name)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::LEN_MAX);
        core::str::from_utf8(&self.0[..len]).expect("a name is of ASCII letters")
    }
}

impl fmt::Display for GraphName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
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

/// The dimension that so many nodes have, or the next larger one: ⌈log2 `nodes`⌉, at least 1.
#[must_use]
pub const fn dim_of(nodes: usize) -> u32 {
    let dim = nodes.next_power_of_two().trailing_zeros();
    if dim == 0 { 1 } else { dim }
}

/// The dimension of a graph that has one: the other rules make graphs of any size, however it was given.
#[must_use]
pub fn dimension(topology: Topology, nodes: usize) -> Option<u32> {
    (topology == Topology::Hypercube && nodes.is_power_of_two()).then(|| dim_of(nodes))
}

/// A graph in words: `hypercube of dimension 3: 8 nodes`, or `ring: 8 nodes`.
#[must_use]
pub fn title(topology: Topology, nodes: usize) -> String {
    match dimension(topology, nodes) {
        Some(dim) => format!("{topology} of dimension {dim}: {nodes} nodes"),
        None => format!("{topology}: {nodes} nodes"),
    }
}

/// A graph within a line: `hypercube 3`, or `ring of 8`.
#[must_use]
pub fn short_title(topology: Topology, nodes: usize) -> String {
    match dimension(topology, nodes) {
        Some(dim) => format!("{topology} {dim}"),
        None => format!("{topology} of {nodes}"),
    }
}

/// A graph in one word for labels and files: `ring-3`, or `ring-n10` for other numbers.
#[must_use]
pub fn stem(topology: Topology, nodes: usize) -> String {
    let topology = topology.to_string().replace(':', "-");
    if nodes.is_power_of_two() {
        format!("{topology}-{}", dim_of(nodes))
    } else {
        format!("{topology}-n{nodes}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn every_graph_is_symmetric_without_duplicates_or_loops() {
        for (topology, dim) in all_up_to(10) {
            let graph = Graph::of_dim(topology, dim, 0).unwrap();
            for node in 0..node_count(dim) {
                let neighbors_of_node = graph.neighbors(node).to_vec();
                let mut unique = neighbors_of_node.clone();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), neighbors_of_node.len(), "{topology} {dim} {node}");
                assert!(!unique.contains(&node), "{topology} {dim} {node}");
                for other in unique {
                    assert!(graph.neighbors(other).contains(&node), "{topology} {dim}");
                }
            }
        }
    }

    #[test]
    fn only_cubes_have_a_dimension_in_words() {
        assert_eq!(title(Topology::Hypercube, 64), "hypercube of dimension 6: 64 nodes");
        assert_eq!(title(Topology::Ring, 64), "ring: 64 nodes");
        assert_eq!(title(Topology::RandomRegular(5), 64), "random-regular:5: 64 nodes");
    }

    #[test]
    fn dimension_one_is_one_pair_for_all_three() {
        for topology in Topology::ORIGINAL {
            assert_eq!(neighbors(topology, 1, 0), [1], "{topology}");
            assert_eq!(neighbors(topology, 1, 1), [0], "{topology}");
            assert_eq!(edges(topology, 1), [(0, 1)], "{topology}");
        }
    }

    #[test]
    fn hypercube_has_degree_and_diameter_of_its_dimension() {
        for dim in 1..=10 {
            let graph = Graph::of_dim(Topology::Hypercube, dim, 0).unwrap();
            for node in 0..node_count(dim) {
                assert_eq!(graph.neighbors(node).len(), dim as usize);
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
        assert_eq!("hybercube".parse(), Ok(Source::Rule(Topology::Hypercube)));
        assert_eq!(serde_json::from_str::<Topology>("\"hybercube\"").unwrap(), Topology::Hypercube);
        assert_eq!(serde_json::to_string(&Topology::Hypercube).unwrap(), "\"hypercube\"");
    }

    #[test]
    fn every_name_reads_back_and_a_foreign_one_names_the_choices() {
        let others = ["random-regular:5", "geometric", "full", "file:my_links-2.x"];
        let others = others.map(|name| name.parse::<Topology>().unwrap());
        for topology in Topology::ORIGINAL.into_iter().chain(others) {
            assert_eq!(topology.to_string().parse(), Ok(topology));
            let json = serde_json::to_string(&topology).unwrap();
            assert_eq!(json, format!("\"{topology}\""));
            assert_eq!(serde_json::from_str::<Topology>(&json).unwrap(), topology);
        }
        assert_eq!("random-regular".parse(), Ok(Topology::RandomRegular(5)));
        assert_eq!(
            "star".parse::<Topology>().unwrap_err().to_string(),
            "`star` is not a topology: use bus, ring, hypercube, random-regular[:LINKS], \
             geometric, full or file:PATH"
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

    fn neighbors(topology: Topology, dim: u32, index: usize) -> Vec<usize> {
        Graph::of_dim(topology, dim, 0).unwrap().neighbors(index).to_vec()
    }

    fn edges(topology: Topology, dim: u32) -> Vec<(usize, usize)> {
        Graph::of_dim(topology, dim, 0).unwrap().edges()
    }

    fn all_up_to(dim_max: u32) -> impl Iterator<Item = (Topology, u32)> {
        Topology::ORIGINAL
            .into_iter()
            .flat_map(move |topology| (1..=dim_max).map(move |dim| (topology, dim)))
    }

    /// How many nodes are 0, 1, 2, … links away from `start`.
    fn nodes_by_distance(topology: Topology, dim: u32, start: usize) -> Vec<usize> {
        let graph = Graph::of_dim(topology, dim, 0).unwrap();
        let mut distance = vec![None; graph.nodes()];
        distance[start] = Some(0);
        let mut queue = VecDeque::from([start]);
        let mut levels = Vec::new();
        while let Some(node) = queue.pop_front() {
            let depth: usize = distance[node].unwrap();
            levels.resize(levels.len().max(depth + 1), 0);
            levels[depth] += 1;
            for &next in graph.neighbors(node) {
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
