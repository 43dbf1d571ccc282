//! Lists of neighbours.

use std::collections::BTreeSet;

use rumormill_sim::Chance;
use rumormill_sim::chance::Part;

/// The neighbours of each node.
pub(crate) type Graph = Vec<BTreeSet<usize>>;

fn of_edges(size: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> Graph {
    let mut graph = vec![BTreeSet::new(); size];
    for (one, other) in edges {
        graph[one].insert(other);
        graph[other].insert(one);
    }
    graph
}

/// One after the other.
pub(crate) fn bus(size: usize) -> Graph {
    of_edges(size, (1..size).map(|index| (index - 1, index)))
}

/// The same with its ends linked.
pub(crate) fn ring(size: usize) -> Graph {
    of_edges(size, (0..size).map(|index| (index, (index + 1) % size)))
}

/// A hypercube.
pub(crate) fn cube(dim: u32) -> Graph {
    let size = 1_usize << dim;
    of_edges(size, (0..size).flat_map(|node| (0..dim).map(move |bit| (node, node ^ (1 << bit)))))
}

/// Everybody with everybody.
pub(crate) fn full(size: usize) -> Graph {
    of_edges(size, (0..size).flat_map(|node| (0..node).map(move |other| (other, node))))
}

/// A random graph in which everybody has five neighbours, in one piece.
pub(crate) fn regular(size: usize, seed: u64) -> Graph {
    let mut chance = Chance::child(seed, Part::Scenario);
    loop {
        let graph = of_edges(size, (0..5).flat_map(|_| pairs(size, &mut chance)));
        if graph.iter().all(|neighbors| neighbors.len() == 5) && is_whole(&graph, &BTreeSet::new())
        {
            return graph;
        }
    }
}

fn pairs(size: usize, chance: &mut Chance) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..size).collect();
    chance.shuffle(&mut order);
    order.as_chunks().0.iter().map(|&[one, other]| (one, other)).collect()
}

/// Whether all nodes but those without reach each other.
pub(crate) fn is_whole(graph: &Graph, without: &BTreeSet<usize>) -> bool {
    let there = |node: &usize| !without.contains(node);
    let Some(first) = (0..graph.len()).find(there) else { return true };
    let (mut reached, mut left) = (BTreeSet::from([first]), vec![first]);
    while let Some(node) = left.pop() {
        left.extend(graph[node].iter().filter(|other| there(other) && reached.insert(**other)));
    }
    reached.len() + without.len() == graph.len()
}
