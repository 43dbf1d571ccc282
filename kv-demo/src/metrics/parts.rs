//! Who was not reached, in words: whole parts of the graph, and single nodes.

use std::collections::BTreeSet;

/// Parts that are told one by one, and runs of node numbers in a list; more are counted.
const TOLD_MAX: usize = 8;

/// Says which nodes, by their indices, were not reached. `parts` are those into which the graph falls
/// when only the living are left, `None` if rumours do not go along it.
pub(super) fn in_words(parts: Option<&[Vec<usize>]>, missing: &BTreeSet<usize>) -> String {
    let parts = parts.filter(|parts| parts.len() > 1).unwrap_or_default();
    // Parts that nobody in was reached are cut off; in others single nodes were missed.
    let is_cut_off = |part: &&Vec<usize>| part.iter().all(|node| missing.contains(node));
    let cut_off: Vec<&Vec<usize>> = parts.iter().filter(is_cut_off).collect();
    let told: BTreeSet<usize> = cut_off.iter().flat_map(|part| part.iter().copied()).collect();
    let strays: Vec<usize> = missing.difference(&told).copied().collect();
    let mut words = Vec::new();
    if !cut_off.is_empty() {
        let mut list: Vec<String> = cut_off
            .iter()
            .take(TOLD_MAX)
            .map(|part| format!("{} ({})", names(part), part.len()))
            .collect();
        if let Some(more) = cut_off.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
            list.push(format!("{more} more parts"));
        }
        words.push(format!("of {} parts, cut off: {}", parts.len(), list.join("; ")));
    }
    if !strays.is_empty() {
        words.push(format!("missed: {} ({})", names(&strays), strays.len()));
    }
    words.join("; ")
}

/// Nodes by their names, ascending: `Node2..Node5, Node9`.
fn names(nodes: &[usize]) -> String {
    let runs: Vec<&[usize]> = nodes.chunk_by(|a, b| a + 1 == *b).collect();
    let mut list: Vec<String> = runs
        .iter()
        .take(TOLD_MAX)
        .map(|run| match *run {
            [first, .., last] => format!("Node{}..Node{}", first + 1, last + 1),
            [only] => format!("Node{}", only + 1),
            [] => String::new(),
        })
        .collect();
    let told: usize = runs.iter().take(TOLD_MAX).map(|run| run.len()).sum();
    if told < nodes.len() {
        list.push(format!("{} more", nodes.len() - told));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(nodes: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        nodes.into_iter().collect()
    }

    #[test]
    fn a_part_that_nobody_in_was_reached_is_cut_off() {
        let parts = [vec![0, 1, 2], vec![4, 5, 6, 7]];
        let words = in_words(Some(&parts), &missing(4..8));
        assert_eq!(words, "of 2 parts, cut off: Node5..Node8 (4)");
        let words = in_words(Some(&parts), &missing([1, 4, 5, 6, 7]));
        assert_eq!(words, "of 2 parts, cut off: Node5..Node8 (4); missed: Node2 (1)");
        let words = in_words(Some(&parts), &missing([4, 6]));
        assert_eq!(words, "missed: Node5, Node7 (2)");
    }

    #[test]
    fn without_parts_nodes_are_missed() {
        assert_eq!(in_words(None, &missing([2, 3, 9])), "missed: Node3..Node4, Node10 (3)");
        let whole = [vec![0, 1, 2, 3]];
        assert_eq!(in_words(Some(&whole), &missing(1..4)), "missed: Node2..Node4 (3)");
    }

    #[test]
    fn long_lists_are_cut_short() {
        let parts: Vec<Vec<usize>> = (0..20).map(|part| vec![2 * part]).collect();
        let words = in_words(Some(&parts), &missing((2..40).step_by(2)));
        assert!(words.starts_with("of 20 parts, cut off: Node3 (1); Node5 (1); "), "{words}");
        assert!(words.ends_with("; 11 more parts"), "{words}");
        let words = in_words(None, &missing((0..40).step_by(2)));
        assert!(words.ends_with("Node15, 12 more (20)"), "{words}");
    }
}
