//! Where nodes stand: a bus on a line, a hypercube in layers by Hamming distance from its first node,
//! a ring and all others on a circle.
//!
//! Units are those of the screen at its full size, from the upper left corner.

use crate::topology::{Topology, dim_of, node_count};

/// Width of a drawing that stands beside another one.
const WIDTH: f64 = 640.0;
/// Height of such a drawing.
const HEIGHT: f64 = 420.0;
/// Between the outermost nodes' centres and the edge: room for the largest node and its ring.
const MARGIN: f64 = 24.0;
/// Width of a bus, which has a row of the page to itself.
const BUS_WIDTH: f64 = 1_280.0;
/// Height of one row of a bus: room for the arcs of what skips nodes, above it and below.
const BUS_HEIGHT: f64 = 150.0;
/// Between two rows of a folded bus.
const BUS_ROW_GAP: f64 = 40.0;
/// A longer bus is folded: its nodes would be too small to be seen.
const BUS_ROW_NODES: usize = 64;
/// Largest distance between neighbours of a short bus.
const BUS_SPACING_MAX: f64 = 90.0;
/// Largest radius of a node.
const RADIUS_MAX: f64 = 17.0;
/// Radius of a node by the distance between the closest two: less than half, or they touch.
const RADIUS_SHARE: f64 = 0.42;

/// A node's centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A drawing of a topology.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Of every node.
    pub(super) radius: f64,
    /// By the node's index.
    pub(super) places: Vec<Place>,
}

impl Layout {
    /// Draws a topology of so many nodes; of a hypercube they are a power of two.
    pub(super) fn new(topology: Topology, nodes: usize) -> Self {
        match topology {
            Topology::Bus => line(nodes),
            Topology::Hypercube => layers(dim_of(nodes)),
            _ => circle(nodes),
        }
    }
}

/// From left to right; a long line turns round at the end of each row.
fn line(nodes: usize) -> Layout {
    let in_row = nodes.min(BUS_ROW_NODES);
    let rows = nodes.div_ceil(BUS_ROW_NODES);
    let spacing = (BUS_WIDTH - 2.0 * MARGIN) / (as_f64(in_row) - 1.0).max(1.0);
    let spacing = spacing.min(BUS_SPACING_MAX);
    let place = |node: usize| {
        let (row, within) = (node / BUS_ROW_NODES, node % BUS_ROW_NODES);
        let column = if row.is_multiple_of(2) { within } else { in_row - 1 - within };
        Place {
            x: MARGIN + spacing * as_f64(column),
            y: BUS_HEIGHT / 2.0 + BUS_ROW_GAP * as_f64(row),
        }
    };
    Layout {
        width: 2.0 * MARGIN + spacing * (as_f64(in_row) - 1.0),
        height: BUS_HEIGHT + BUS_ROW_GAP * (as_f64(rows) - 1.0),
        radius: radius(spacing),
        places: (0..nodes).map(place).collect(),
    }
}

/// Clockwise from the top.
fn circle(nodes: usize) -> Layout {
    let reach = HEIGHT / 2.0 - MARGIN;
    let step = std::f64::consts::TAU / as_f64(nodes);
    let place = |node: usize| {
        let angle = step * as_f64(node);
        Place { x: WIDTH / 2.0 + reach * angle.sin(), y: HEIGHT / 2.0 - reach * angle.cos() }
    };
    Layout {
        width: WIDTH,
        height: HEIGHT,
        radius: radius(2.0 * reach * (step / 2.0).sin()),
        places: (0..nodes).map(place).collect(),
    }
}

/// Column d holds the nodes at distance d from the first node, so each link goes from one column to
/// the next. Columns have equal distances within, and so the outline of a lens.
fn layers(dim: u32) -> Layout {
    let nodes = node_count(dim);
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); dim as usize + 1];
    for node in 0..nodes {
        columns[corner(dim, node).count_ones() as usize].push(node);
    }
    let gap = (WIDTH - 2.0 * MARGIN) / f64::from(dim);
    let largest = columns.iter().map(Vec::len).max().unwrap_or(1);
    let spacing = ((HEIGHT - 2.0 * MARGIN) / (as_f64(largest) - 1.0).max(1.0)).min(gap);
    let mut places = vec![Place { x: 0.0, y: 0.0 }; nodes];
    for (distance, column) in columns.iter_mut().enumerate() {
        // By corner, opposite corners stand opposite each other.
        column.sort_unstable_by_key(|node| corner(dim, *node));
        let top = HEIGHT / 2.0 - spacing * (as_f64(column.len()) - 1.0) / 2.0;
        for (row, node) in column.iter().enumerate() {
            places[*node] =
                Place { x: MARGIN + gap * as_f64(distance), y: top + spacing * as_f64(row) };
        }
    }
    Layout { width: WIDTH, height: HEIGHT, radius: radius(spacing), places }
}

/// The corner of the cube that a node is, a bit per dimension. Nodes are numbered through rings of
/// four, and four in a ring are 00, 01, 11, 10: neighbours differ in one bit.
fn corner(dim: u32, node: usize) -> usize {
    let odd = usize::from(!dim.is_multiple_of(2));
    let lowest = node & odd;
    let mut rest = node >> odd;
    let mut corner = lowest;
    let mut shift = odd;
    while rest > 0 {
        let within = rest & 3;
        corner |= (within ^ (within >> 1)) << shift;
        rest >>= 2;
        shift += 2;
    }
    corner
}

fn radius(spacing: f64) -> f64 {
    (spacing * RADIUS_SHARE).min(RADIUS_MAX)
}

/// Counts of nodes, which are far below 2^53.
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Graph;

    fn edges(topology: Topology, dim: u32) -> Vec<(usize, usize)> {
        Graph::of_dim(topology, dim, 0).unwrap().edges()
    }

    #[test]
    fn a_bus_is_a_line_with_its_nodes_in_order() {
        let layout = Layout::new(Topology::Bus, 64);
        for pair in layout.places.windows(2) {
            assert!(pair[0].x < pair[1].x && near(pair[0].y, pair[1].y), "{pair:?}");
        }
    }

    #[test]
    fn a_long_bus_is_folded_and_neighbours_stay_neighbours() {
        let layout = Layout::new(Topology::Bus, 256);
        let spacing = layout.places[1].x - layout.places[0].x;
        for (a, b) in edges(Topology::Bus, 8) {
            let (a, b) = (layout.places[a], layout.places[b]);
            let is_beside = near(a.y, b.y) && near((a.x - b.x).abs(), spacing);
            let is_below = near(a.x, b.x) && near(b.y - a.y, BUS_ROW_GAP);
            assert!(is_beside || is_below, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_ring_is_a_circle_that_begins_at_the_top() {
        let layout = Layout::new(Topology::Ring, 16);
        let centre = Place { x: WIDTH / 2.0, y: HEIGHT / 2.0 };
        for place in &layout.places {
            assert!(near(distance(*place, centre), HEIGHT / 2.0 - MARGIN), "{place:?}");
        }
        assert!(near(layout.places[0].x, centre.x) && layout.places[0].y < centre.y);
        assert!(layout.places[4].x > centre.x && near(layout.places[4].y, centre.y));
    }

    #[test]
    fn each_link_of_a_hypercube_goes_to_the_next_layer() {
        for dim in 1..=7 {
            let places = Layout::new(Topology::Hypercube, 1 << dim).places;
            let gap = (WIDTH - 2.0 * MARGIN) / f64::from(dim);
            for (a, b) in edges(Topology::Hypercube, dim) {
                assert!(near((places[a].x - places[b].x).abs(), gap), "{dim}: {a} {b}");
            }
        }
    }

    #[test]
    fn the_layers_of_a_hypercube_have_the_binomial_sizes() {
        let places = Layout::new(Topology::Hypercube, 16).places;
        let in_layer = |layer: u32| {
            let x = MARGIN + (WIDTH - 2.0 * MARGIN) / 4.0 * f64::from(layer);
            places.iter().filter(|place| near(place.x, x)).count()
        };
        assert_eq!((0..=4).map(in_layer).collect::<Vec<usize>>(), [1, 4, 6, 4, 1]);
        assert!(near(places[0].x, MARGIN), "the first node stands alone at the left");
    }

    #[test]
    fn no_two_nodes_touch_and_all_are_on_the_sheet() {
        for topology in Topology::ORIGINAL {
            for dim in 1..=8 {
                let Layout { width, height, radius, places } = Layout::new(topology, 1 << dim);
                for (index, a) in places.iter().enumerate() {
                    let is_inside = (radius..=width - radius).contains(&a.x)
                        && (radius..=height - radius).contains(&a.y);
                    assert!(is_inside, "{topology} {dim}: {a:?}");
                    for b in &places[..index] {
                        assert!(distance(*a, *b) > 2.0 * radius, "{topology} {dim}: {a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nodes_of_up_to_sixty_four_are_large_enough_for_their_number() {
        for topology in Topology::ORIGINAL {
            for dim in [3, 4, 6] {
                let radius = Layout::new(topology, 1 << dim).radius;
                assert!(radius >= 7.5, "{topology} {dim}: {radius}");
            }
        }
    }

    fn distance(a: Place, b: Place) -> f64 {
        (a.x - b.x).hypot(a.y - b.y)
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }
}
