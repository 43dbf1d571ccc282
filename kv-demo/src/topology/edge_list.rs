//! Graphs in files: a link per line, as two names or numbers of nodes. `#` begins a comment.
//!
//! ```text
//! # three in a row
//! berlin munich
//! munich vienna
//! ```
//!
//! Where all names are numbers, nodes come in their order; otherwise in the order in which the file
//! first names them. The first one is Node1, where every experiment begins. A link may be named more
//! than once, in either direction.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{DEGREE_MAX, Graph, GraphName, NODES_MAX, Topology, drawn};

/// Longest name of a node, in bytes.
const NAME_LEN_MAX: usize = 64;
/// Largest file, in bytes: a few million links.
const FILE_LEN_MAX: u64 = 64 << 20;

/// A file that holds no graph; one line that names file, line and fix.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {problem}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct EdgeListError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; `None` where the whole file is meant.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: EdgeListProblem,
}

/// What is wrong with a file of links.
#[derive(Debug, thiserror::Error)]
pub enum EdgeListProblem {
    /// It cannot be read.
    #[error("cannot be read ({0}): name a file with a link per line")]
    Unreadable(io::Error),
    /// It is too large to be meant.
    #[error("has {len} bytes: {FILE_LEN_MAX} are read at most")]
    TooLarge {
        /// Its size in bytes.
        len: u64,
    },
    /// A line names more or fewer than two nodes.
    #[error("not two names but {found}: write two nodes per line, separated by blanks")]
    NoPair {
        /// How many names there are.
        found: usize,
    },
    /// A name is too long.
    #[error("a name of {len} bytes: use {NAME_LEN_MAX} at most")]
    NameTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A link from a node to itself.
    #[error("`{name}` is linked with itself: leave the line out")]
    Loop {
        /// The node.
        name: String,
    },
    /// There are more nodes than [`NODES_MAX`].
    #[error("more than {NODES_MAX} nodes: leave some out")]
    TooManyNodes,
    /// A node has more links than the core takes.
    #[error("`{name}` has more than {DEGREE_MAX} links: leave some out")]
    DegreeTooHigh {
        /// The node.
        name: String,
    },
    /// There is no link at all.
    #[error("holds no link: write two nodes per line, separated by blanks")]
    Empty,
    /// The graph has several parts.
    #[error("no way leads from `{first}` to `{apart}`: add links until all hang together")]
    Apart {
        /// The first node.
        first: String,
        /// One that cannot be reached from it.
        apart: String,
    },
}

/// What is wrong, and on which line.
type Found = (Option<usize>, EdgeListProblem);

impl Graph {
    /// Reads a graph from a file of links; it is called as the file is.
    ///
    /// # Errors
    ///
    /// [`EdgeListError`].
    pub fn read(path: &Path) -> Result<Self, EdgeListError> {
        let read = || {
            let unreadable = |error| (None, EdgeListProblem::Unreadable(error));
            let len = std::fs::metadata(path).map_err(unreadable)?.len();
            if len > FILE_LEN_MAX {
                return Err((None, EdgeListProblem::TooLarge { len }));
            }
            parse(&std::fs::read_to_string(path).map_err(unreadable)?)
        };
        let neighbors = read().map_err(|(line, problem)| EdgeListError {
            path: path.to_owned(),
            line,
            problem,
        })?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self::from_parts(Topology::File(GraphName::like(&stem)), neighbors))
    }

    /// The same graph under another name of its topology: what was drawn is kept as a file.
    #[must_use]
    pub fn called(self, topology: Topology) -> Self {
        let neighbors = (0..self.nodes()).map(|node| self.neighbors(node).to_vec()).collect();
        Self::from_parts(topology, neighbors)
    }
}

/// A graph as a file of links, with nodes numbered from 1. [`Graph::read`] reads it back.
#[must_use]
pub fn to_edge_list(graph: &Graph) -> String {
    let (topology, nodes) = (graph.topology(), graph.nodes());
    let mut out = format!("# {topology}: {nodes} nodes\n");
    for (a, b) in graph.edges() {
        writeln!(out, "{} {}", a + 1, b + 1).expect("writing to a String cannot fail");
    }
    out
}

fn parse(text: &str) -> Result<Vec<Vec<usize>>, Found> {
    let mut names = Names::default();
    let mut neighbors: Vec<Vec<usize>> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let here = |problem| (Some(number), problem);
        let Some((a, b)) = pair(line).map_err(here)? else { continue };
        let (a, b) = (names.index(a).map_err(here)?, names.index(b).map_err(here)?);
        neighbors.resize(names.len(), Vec::new());
        for (from, to) in [(a, b), (b, a)] {
            if !neighbors[from].contains(&to) {
                neighbors[from].push(to);
            }
            if neighbors[from].len() > DEGREE_MAX {
                let name = names.name(from);
                return Err(here(EdgeListProblem::DegreeTooHigh { name }));
            }
        }
    }
    if neighbors.is_empty() {
        return Err((None, EdgeListProblem::Empty));
    }
    if let Some(apart) = drawn::first_apart(&neighbors) {
        let (first, apart) = (names.name(0), names.name(apart));
        return Err((None, EdgeListProblem::Apart { first, apart }));
    }
    Ok(in_order(&neighbors, &names.order()))
}

/// The two ends that a line names; `None` for one without any.
fn pair(line: &str) -> Result<Option<(&str, &str)>, EdgeListProblem> {
    let line = line.split_once('#').map_or(line, |(line, _)| line);
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.count()) {
        (None, ..) => Ok(None),
        (Some(a), Some(b), 0) if a == b => Err(EdgeListProblem::Loop { name: a.to_owned() }),
        (Some(a), Some(b), 0) => match [a, b].map(str::len).into_iter().max() {
            Some(len) if len > NAME_LEN_MAX => Err(EdgeListProblem::NameTooLong { len }),
            _ => Ok(Some((a, b))),
        },
        (Some(_), second, more) => {
            Err(EdgeListProblem::NoPair { found: 1 + usize::from(second.is_some()) + more })
        }
    }
}

/// The nodes in the order in which they are first named.
#[derive(Default)]
struct Names<'a> {
    by_name: BTreeMap<&'a str, usize>,
    names: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn index(&mut self, name: &'a str) -> Result<usize, EdgeListProblem> {
        if let Some(&index) = self.by_name.get(name) {
            return Ok(index);
        }
        if self.names.len() == NODES_MAX {
            return Err(EdgeListProblem::TooManyNodes);
        }
        self.by_name.insert(name, self.names.len());
        self.names.push(name);
        Ok(self.names.len() - 1)
    }

    const fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, index: usize) -> String {
        self.names[index].to_owned()
    }

    /// The place of each node: by number if all names are numbers.
    fn order(&self) -> Vec<usize> {
        let numbers: Result<Vec<u64>, _> = self.names.iter().map(|name| name.parse()).collect();
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        if let Ok(numbers) = numbers {
            order.sort_by_key(|&index| numbers[index]);
        }
        order
    }
}

/// The lists with the node `order[i]` as node i, ascending.
fn in_order(neighbors: &[Vec<usize>], order: &[usize]) -> Vec<Vec<usize>> {
    let mut places = vec![0; order.len()];
    for (place, &index) in order.iter().enumerate() {
        places[index] = place;
    }
    let list = |&index: &usize| {
        let mut ends: Vec<usize> = neighbors[index].iter().map(|&end| places[end]).collect();
        ends.sort_unstable();
        ends
    };
    order.iter().map(list).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let (line, problem) = parse(text).unwrap_err();
        EdgeListError { path: "links.txt".into(), line, problem }.to_string()
    }

    #[test]
    fn names_come_in_the_order_of_the_file() {
        let text = "# three\n\n  munich berlin # a comment\nberlin\tvienna\nberlin munich\n";
        assert_eq!(parse(text).unwrap(), [vec![1], vec![0, 2], vec![1]]);
    }

    #[test]
    fn numbers_come_in_their_own_order() {
        // 2, 7 and 10, whichever comes first.
        assert_eq!(parse("10 2\n7 2\n").unwrap(), [vec![1, 2], vec![0], vec![0]]);
        // One name among them, and they are names too.
        assert_eq!(parse("10 x\n7 x\n").unwrap(), [vec![1], vec![0, 2], vec![1]]);
    }

    #[test]
    fn every_mistake_names_its_line_and_its_fix() {
        let long = "x".repeat(NAME_LEN_MAX + 1);
        let hub: String = (1..=DEGREE_MAX + 1).map(|end| format!("hub {end}\n")).collect();
        let cases = [
            ("", "links.txt: holds no link: write two nodes per line, separated by blanks"),
            ("# a b\n", "links.txt: holds no link: write two nodes per line, separated by blanks"),
            (
                "1 2\n3\n",
                "links.txt:2: not two names but 1: write two nodes per line, separated by blanks",
            ),
            (
                "1 2 3\n",
                "links.txt:1: not two names but 3: write two nodes per line, separated by blanks",
            ),
            ("1 2\n\n2 2\n", "links.txt:3: `2` is linked with itself: leave the line out"),
            (
                "1 2\n3 4\n",
                "links.txt: no way leads from `1` to `3`: add links until all hang together",
            ),
            (&format!("a {long}"), "links.txt:1: a name of 65 bytes: use 64 at most"),
            (&hub, "links.txt:65: `hub` has more than 64 links: leave some out"),
        ];
        for (text, expected) in cases {
            assert_eq!(refusal(text), expected);
        }
        assert!(parse(&format!("a {}", &long[1..])).is_ok());
        assert!(parse(&hub[..hub.rfind("hub").unwrap()]).is_ok());
    }

    #[test]
    fn there_are_so_many_nodes_and_no_more() {
        let bus = |nodes: usize| -> String {
            (1..nodes).map(|node| format!("{node} {}\n", node + 1)).collect()
        };
        assert_eq!(parse(&bus(NODES_MAX)).unwrap().len(), NODES_MAX);
        let error = refusal(&bus(NODES_MAX + 1));
        assert_eq!(error, "links.txt:65536: more than 65536 nodes: leave some out");
    }

    #[test]
    fn a_missing_file_is_told_in_one_line() {
        let error = Graph::read(Path::new("/nonexistent/links.txt")).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/links.txt: cannot be read ("), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn what_was_written_reads_back() {
        let path = std::env::temp_dir().join(format!("rumormill-links-{}.txt", std::process::id()));
        for (topology, nodes) in [(Topology::RandomRegular(5), 20), (Topology::Hypercube, 16)] {
            let graph = Graph::of(topology, nodes, 3).unwrap();
            std::fs::write(&path, to_edge_list(&graph)).unwrap();
            let read = Graph::read(&path).unwrap();
            assert_eq!(read.edges(), graph.edges());
            assert_eq!(read.topology().name(), "file");
            assert_eq!(read.called(topology).topology(), topology);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
