//! Which graphs a command line asks for.

use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;

use super::{EdgeListError, Graph, GraphError, Topology, UnknownTopology};

/// A rule, which makes a graph of any size, or a file, which has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A rule.
    Rule(Topology),
    /// A file of links.
    File(PathBuf),
}

/// Why there is no such graph; one line.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The rule has none of this size.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A rule needs a size.
    #[error("a {topology} has any number of nodes: give --dim D, for 2^D of them, or --nodes N")]
    NoSize {
        /// The rule.
        topology: Topology,
    },
    /// The file holds none.
    #[error(transparent)]
    File(#[from] EdgeListError),
}

impl Source {
    /// The graph of one size, given as a dimension or as a number of nodes; a file needs neither.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub fn graph(
        &self,
        dim: Option<u32>,
        nodes: Option<usize>,
        seed: u64,
    ) -> Result<Graph, SourceError> {
        match (self, dim, nodes) {
            (Self::File(path), ..) => Ok(Graph::read(path)?),
            (Self::Rule(topology), Some(dim), _) => Ok(Graph::of_dim(*topology, dim, seed)?),
            (Self::Rule(topology), None, Some(nodes)) => Ok(Graph::of(*topology, nodes, seed)?),
            (Self::Rule(topology), None, None) => Err(SourceError::NoSize { topology: *topology }),
        }
    }

    /// The graphs: of a rule one of each size, of a file its only one.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub fn graphs(&self, sizes: &[usize], seed: u64) -> Result<Vec<Graph>, SourceError> {
        match self {
            Self::Rule(topology) => {
                sizes.iter().map(|&nodes| Ok(Graph::of(*topology, nodes, seed)?)).collect()
            }
            Self::File(path) => Ok(vec![Graph::read(path)?]),
        }
    }

    /// Whether a seed decides about the links.
    #[must_use]
    pub const fn is_drawn(&self) -> bool {
        match self {
            Self::Rule(topology) => topology.is_drawn(),
            Self::File(_) => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(topology) => topology.fmt(f),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for Source {
    type Err = UnknownTopology;

    fn from_str(text: &str) -> Result<Self, UnknownTopology> {
        match text.strip_prefix("file:") {
            Some("") => Err(UnknownTopology { given: text.to_owned() }),
            Some(path) => Ok(Self::File(path.into())),
            None => text.parse().map(Self::Rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_or_a_path() {
        assert_eq!("ring".parse(), Ok(Source::Rule(Topology::Ring)));
        assert_eq!("random-regular".parse(), Ok(Source::Rule(Topology::RandomRegular(5))));
        assert_eq!("random-regular:7".parse(), Ok(Source::Rule(Topology::RandomRegular(7))));
        let file: Source = "file:a/b c.txt".parse().unwrap();
        assert_eq!(file, Source::File("a/b c.txt".into()));
        assert_eq!(file.to_string(), "file:a/b c.txt");
        for bad in ["file:", "star", "random-regular:", "random-regular:x", ""] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_has_a_graph_of_each_size_and_every_error_is_one_line() {
        let rule = Source::Rule(Topology::Ring);
        let sizes: Vec<usize> =
            rule.graphs(&[4, 10], 1).unwrap().iter().map(Graph::nodes).collect();
        assert_eq!(sizes, [4, 10]);
        let errors = [
            Source::Rule(Topology::Hypercube).graphs(&[10], 1),
            Source::File("/nonexistent".into()).graphs(&[10], 1),
        ];
        for error in errors {
            assert_eq!(error.unwrap_err().to_string().lines().count(), 1);
        }
    }
}
