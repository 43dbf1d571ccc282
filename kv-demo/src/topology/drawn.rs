//! Graphs that are drawn by lot. Whole numbers only: the same chance gives the same graph everywhere.

use rumormill_sim::chance::Chance;

use super::DEGREE_MAX;

/// How often a graph is drawn anew before it is given up.
const DRAWS_MAX: usize = 1_000;
/// Rounds in which no two ends can be joined before a draw is given up.
const STUCK_MAX: usize = 10;
/// Points of the unit square in each direction.
const SIDE: u64 = 1 << 20;

/// By the node, its neighbours in ascending order.
type Neighbors = Vec<Vec<usize>>;

/// Every node has `degree` links, from 2 and below `nodes`, of which one is even. `None` if many draws
/// gave nothing that hangs together.
///
/// Ends of links are joined in pairs, and the pairs that make no simple graph are drawn again (Steger
/// and Wormald 1999); where more than half of all links are there, those that are not are drawn.
pub(super) fn random_regular(
    nodes: usize,
    degree: usize,
    chance: &mut Chance,
) -> Option<Neighbors> {
    let absent = nodes - 1 - degree;
    for _ in 0..DRAWS_MAX {
        let drawn = if absent < degree {
            pairing(nodes, absent, chance).map(|absent| complement(&absent))
        } else {
            pairing(nodes, degree, chance)
        };
        if let Some(neighbors) = drawn.filter(hangs_together) {
            return Some(sorted(neighbors));
        }
    }
    None
}

fn pairing(nodes: usize, degree: usize, chance: &mut Chance) -> Option<Neighbors> {
    let mut neighbors = vec![Vec::with_capacity(degree); nodes];
    let mut ends: Vec<usize> = (0..nodes * degree).map(|end| end % nodes).collect();
    let mut stuck = 0;
    while !ends.is_empty() {
        chance.shuffle(&mut ends);
        let mut left = Vec::new();
        for pair in ends.chunks_exact(2) {
            let (a, b) = (pair[0], pair[1]);
            if a == b || neighbors[a].contains(&b) {
                left.extend([a, b]);
            } else {
                neighbors[a].push(b);
                neighbors[b].push(a);
            }
        }
        stuck = if left.len() == ends.len() { stuck + 1 } else { 0 };
        if stuck == STUCK_MAX {
            return None;
        }
        ends = left;
    }
    Some(neighbors)
}

fn complement(absent: &Neighbors) -> Neighbors {
    let nodes = absent.len();
    let of = |node: usize| {
        (0..nodes).filter(|other| *other != node && !absent[node].contains(other)).collect()
    };
    (0..nodes).map(of).collect()
}

/// Points at random in a square, linked where they are closer than the smallest radius with which
/// all hang together. `None` if a node always had more than [`DEGREE_MAX`] links.
pub(super) fn geometric(nodes: usize, chance: &mut Chance) -> Option<Neighbors> {
    let draw = |chance: &mut Chance| {
        let points: Vec<Point> = (0..nodes).map(|_| Point::draw(chance)).collect();
        nearest_linked(&points)
    };
    (0..DRAWS_MAX)
        .map(|_| draw(chance))
        .find(|drawn| drawn.iter().all(|ends| ends.len() <= DEGREE_MAX))
        .map(sorted)
}

#[derive(Clone, Copy, Debug)]
struct Point {
    x: u64,
    y: u64,
}

impl Point {
    fn draw(chance: &mut Chance) -> Self {
        Self { x: chance.below(SIDE), y: chance.below(SIDE) }
    }

    const fn is_within(self, other: Self, radius: u64) -> bool {
        let (x, y) = (self.x.abs_diff(other.x), self.y.abs_diff(other.y));
        x * x + y * y <= radius * radius
    }
}

/// The links of the smallest radius with which all hang together.
fn nearest_linked(points: &[Point]) -> Neighbors {
    let mut enough = SIDE.div_ceil(points.len().isqrt() as u64).max(1);
    let mut linked = links_within(points, enough);
    while !hangs_together(&linked) {
        enough *= 2;
        linked = links_within(points, enough);
    }
    let mut too_little = 0;
    while too_little + 1 < enough {
        let radius = u64::midpoint(too_little, enough);
        let closer = links_within(points, radius);
        if hangs_together(&closer) {
            (enough, linked) = (radius, closer);
        } else {
            too_little = radius;
        }
    }
    linked
}

fn links_within(points: &[Point], radius: u64) -> Neighbors {
    // Whoever is within the radius lies in the same cell or in one beside it.
    let columns = usize::try_from(SIDE / radius).unwrap_or(usize::MAX).clamp(1, 1 << 8);
    let cell = SIDE.div_ceil(columns as u64);
    let at = |value: u64| usize::try_from(value / cell).unwrap_or_default().min(columns - 1);
    let mut cells: Vec<Vec<usize>> = vec![Vec::new(); columns * columns];
    for (index, point) in points.iter().enumerate() {
        cells[at(point.y) * columns + at(point.x)].push(index);
    }
    let of = |index: usize| {
        let point = points[index];
        let around = |place: usize| place.saturating_sub(1)..=(place + 1).min(columns - 1);
        let near = around(at(point.y))
            .flat_map(|row| around(at(point.x)).map(move |column| row * columns + column))
            .flat_map(|cell| cells[cell].iter().copied());
        near.filter(|&other| other != index && point.is_within(points[other], radius)).collect()
    };
    (0..points.len()).map(of).collect()
}

/// Whether every node can be reached from the first.
pub(super) fn hangs_together(neighbors: &Neighbors) -> bool {
    first_apart(neighbors).is_none()
}

/// The first node that cannot be reached from node 0.
pub(super) fn first_apart(neighbors: &Neighbors) -> Option<usize> {
    let mut is_reached = vec![false; neighbors.len()];
    let mut left = vec![0];
    is_reached[0] = true;
    while let Some(node) = left.pop() {
        for &end in &neighbors[node] {
            if !is_reached[end] {
                is_reached[end] = true;
                left.push(end);
            }
        }
    }
    is_reached.iter().position(|is_reached| !is_reached)
}

fn sorted(mut neighbors: Neighbors) -> Neighbors {
    neighbors.iter_mut().for_each(|ends| ends.sort_unstable());
    neighbors
}

#[cfg(test)]
mod tests {
    use super::super::{Graph, Topology};
    use super::*;
    use proptest::prelude::*;

    fn check_simple(graph: &Graph) {
        for node in 0..graph.nodes() {
            let ends = graph.neighbors(node);
            assert!(ends.is_sorted_by(|a, b| a < b), "ascending, so without duplicates: {ends:?}");
            assert!(!ends.contains(&node), "no loop at {node}");
            assert!(ends.iter().all(|&end| graph.neighbors(end).contains(&node)), "symmetric");
        }
        assert_eq!(graph.parts(|_| true).len(), 1, "connected");
    }

    proptest! {
        #[test]
        fn random_regular_graphs_are_regular_simple_and_connected(
            nodes in 4_usize..100,
            degree in 3_u32..12,
            seed: u64,
        ) {
            let topology = Topology::RandomRegular(degree);
            match Graph::of(topology, nodes, seed) {
                Ok(graph) => {
                    check_simple(&graph);
                    let links = degree as usize;
                    prop_assert!((0..nodes).all(|node| graph.neighbors(node).len() == links));
                }
                Err(_) => {
                    let degree = degree as usize;
                    prop_assert!(degree >= nodes || !(nodes * degree).is_multiple_of(2));
                }
            }
        }

        #[test]
        fn geometric_graphs_are_simple_connected_and_bounded(nodes in 2_usize..200, seed: u64) {
            let graph = Graph::of(Topology::Geometric, nodes, seed).unwrap();
            check_simple(&graph);
            prop_assert!((0..nodes).all(|node| graph.neighbors(node).len() <= DEGREE_MAX));
        }
    }

    #[test]
    fn dense_graphs_are_drawn_too() {
        for (nodes, degree) in [(4, 3), (6, 5), (66, 64), (65, 64), (10, 8), (7, 4)] {
            let graph = Graph::of(Topology::RandomRegular(degree), nodes, 3).unwrap();
            check_simple(&graph);
            assert_eq!(graph.edges().len(), nodes * degree as usize / 2);
        }
    }

    #[test]
    fn the_seed_decides() {
        for topology in [Topology::RandomRegular(5), Topology::Geometric] {
            let draw = |seed| Graph::of(topology, 64, seed).unwrap();
            assert_eq!(draw(1), draw(1));
            assert_ne!(draw(1), draw(2));
        }
    }

    #[test]
    fn large_graphs_are_drawn_in_no_time() {
        let graph = Graph::of(Topology::RandomRegular(5), 10_000, 1).unwrap();
        assert_eq!(graph.edges().len(), 25_000);
        let graph = Graph::of(Topology::Geometric, 10_000, 1).unwrap();
        check_simple(&graph);
    }

    #[test]
    fn a_smaller_radius_would_part_a_geometric_graph() {
        let mut chance = Chance::child(5, rumormill_sim::chance::Part::Scenario);
        let points: Vec<Point> = (0..50).map(|_| Point::draw(&mut chance)).collect();
        let linked = nearest_linked(&points);
        let length = |a: usize, b: usize| {
            let (a, b) = (points[a], points[b]);
            (1..2 * SIDE).find(|&radius| a.is_within(b, radius)).unwrap()
        };
        let ends =
            linked.iter().enumerate().flat_map(|(a, ends)| ends.iter().map(move |&b| (a, b)));
        let longest = ends.map(|(a, b)| length(a, b)).max().unwrap();
        assert!(!hangs_together(&links_within(&points, longest - 1)));
    }
}
