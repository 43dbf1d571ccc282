//! Graphs that follow from their size.

use super::Topology;

/// The nodes that node `index` of `nodes` is linked with: symmetric, without duplicates, never `index`
/// itself. `None` for graphs that do not follow from their size.
///
/// The order is that of the original's files: on a bus and a ring the left neighbour, the right
/// one, then the link that closes the ring; in a hypercube the innermost ring first, and within a
/// ring the successor before the predecessor. The nodes of a hypercube are a power of two.
pub(super) fn neighbors(topology: Topology, nodes: usize, index: usize) -> Option<Vec<usize>> {
    match topology {
        Topology::Bus => Some(bus_neighbors(nodes, index)),
        Topology::Ring => Some(ring_neighbors(nodes, index)),
        Topology::Hypercube => Some(hypercube_neighbors(nodes.trailing_zeros(), index)),
        Topology::Full => Some((0..nodes).filter(|&other| other != index).collect()),
        Topology::RandomRegular(_) | Topology::Geometric | Topology::File(_) => None,
    }
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
