//! The worlds that runs in virtual time take place in.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use rumormill_sim::{Latency, Ratio};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::topology::Graph;

/// Providers of the thesis' network: contiguous groups of nodes.
const THESIS_GROUPS: usize = 4;
/// Longest delay that may be asked for, in milliseconds.
const DELAY_MS_MAX: u32 = 60_000;

/// What is true of the world that runs take place in, beside the seed of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldPlan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How long datagrams travel.
    pub delay: Delay,
    /// Share of datagrams that are lost from the first measured message on, in parts per million.
    pub loss_ppm: u32,
}

impl WorldPlan {
    pub(crate) fn loss(self) -> Ratio {
        Ratio::per_million(self.loss_ppm)
    }
}

impl fmt::Display for WorldPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, delay {}, loss {}", self.seed, self.delay, self.loss())
    }
}

/// How long a datagram travels between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Delay {
    /// No time.
    None,
    /// The same between any two nodes, in milliseconds.
    Uniform(u32),
    /// The thesis' network: 25 ms within each of four contiguous groups, 250 ms between them.
    Thesis,
}

impl Delay {
    pub(super) fn latency(self, nodes: usize) -> Latency {
        let millis = |ms: u32| Duration::from_millis(ms.into());
        match self {
            Self::None => Latency::Uniform(Duration::ZERO),
            Self::Uniform(ms) => Latency::Uniform(millis(ms)),
            Self::Thesis => Latency::Groups {
                size: nodes.div_ceil(THESIS_GROUPS),
                inside: millis(25),
                between: millis(250),
            },
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Uniform(ms) => write!(f, "uniform:{ms}"),
            Self::Thesis => f.pad("thesis"),
        }
    }
}

impl From<Delay> for String {
    fn from(delay: Delay) -> Self {
        delay.to_string()
    }
}

/// A text that is no [`Delay`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` is no delay: use none, uniform:MS (at most {DELAY_MS_MAX}) or thesis")]
pub struct BadDelay {
    /// What was given.
    pub given: String,
}

impl FromStr for Delay {
    type Err = BadDelay;

    fn from_str(text: &str) -> Result<Self, BadDelay> {
        let bad = || BadDelay { given: text.to_owned() };
        match text {
            "none" => Ok(Self::None),
            "thesis" => Ok(Self::Thesis),
            _ => {
                let ms = text.strip_prefix("uniform:").and_then(|ms| ms.parse().ok());
                ms.filter(|&ms| ms <= DELAY_MS_MAX).map(Self::Uniform).ok_or_else(bad)
            }
        }
    }
}

impl TryFrom<String> for Delay {
    type Error = BadDelay;

    fn try_from(text: String) -> Result<Self, BadDelay> {
        text.parse()
    }
}

/// The time that a flood along the links needs: the longest of the shortest ways from the first
/// node.
#[must_use]
pub(super) fn floor(graph: &Graph, delay: Delay) -> Duration {
    let latency = delay.latency(graph.nodes());
    graph.floor(0, |from, to| latency.between(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    const MS: Duration = Duration::from_millis(1);

    fn graph(topology: Topology, dim: u32) -> Graph {
        Graph::of_dim(topology, dim, 0).unwrap()
    }

    #[test]
    fn delays_have_one_name_everywhere() {
        for (text, delay) in
            [("none", Delay::None), ("uniform:25", Delay::Uniform(25)), ("thesis", Delay::Thesis)]
        {
            assert_eq!(text.parse(), Ok(delay));
            assert_eq!(delay.to_string(), text);
            assert_eq!(serde_json::to_string(&delay).unwrap(), format!("{text:?}"));
        }
        for bad in ["", "uniform", "uniform:", "uniform:-1", "uniform:60001", "wan"] {
            assert!(bad.parse::<Delay>().is_err(), "{bad}");
        }
    }

    #[test]
    fn floors_are_the_limits_of_the_thesis_network() {
        // Table 2.3 of the design: limit cube, ring, bus.
        for (dim, cube, ring, bus) in
            [(2, 500, 500, 750), (6, 600, 1_250, 2_250), (10, 700, 13_250, 26_250)]
        {
            assert_eq!(floor(&graph(Topology::Hypercube, dim), Delay::Thesis), cube * MS);
            assert_eq!(floor(&graph(Topology::Ring, dim), Delay::Thesis), ring * MS);
            assert_eq!(floor(&graph(Topology::Bus, dim), Delay::Thesis), bus * MS);
        }
        assert_eq!(floor(&graph(Topology::Hypercube, 6), Delay::Uniform(25)), 150 * MS);
        assert_eq!(floor(&graph(Topology::Bus, 4), Delay::None), Duration::ZERO);
    }
}
