//! What is written into a cluster, how fast, and what is done to it meanwhile.

use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;
use core::time::Duration;

use rumormill_sim::Ratio;
use rumormill_sim::chance::{Chance, Part, named_seed};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::Mode;
use crate::topology::{Cut, Graph, stem};

/// Most messages of a run.
pub const MESSAGES_MAX: u32 = 100_000;
/// Most messages per second.
pub const RATE_MAX: u32 = 100_000;
/// The node that writes, and is never killed.
pub(super) const ORIGIN: usize = 0;

/// The load of a run and its faults. [`Default`]: one message, and nobody dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Messages before those that are measured, where there is anything to warm up: see
    /// [`Self::warm_in`].
    pub warm: u32,
    /// Messages that are measured; at least 1.
    pub messages: u32,
    /// How many are written per second, whether or not the former ones have arrived; `None`: one
    /// after another.
    pub rate: Option<NonZeroU32>,
    /// Who dies right before the first measured message, all at once and without a word.
    pub kill: Option<Kill>,
    /// How many die and come back while it is measured.
    pub churn: Option<Churn>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { warm: 0, messages: 1, rate: None, kill: None, churn: None }
    }
}

impl Conditions {
    /// Messages before those that are measured. Only trees take shape by messages; in the modes of
    /// the thesis former ones, which nobody stops repeating, would be in the way of those that are measured.
    #[must_use]
    pub const fn warm_in(&self, mode: Mode) -> u32 {
        match mode {
            Mode::Matching => self.warm,
            Mode::ThesisClassic | Mode::ThesisMatching | Mode::Classic => 0,
        }
    }

    /// Time between two messages, if they do not wait for each other.
    pub(super) fn gap(&self) -> Option<Duration> {
        Some(Duration::from_secs(1) / self.rate?.get())
    }
}

impl fmt::Display for Conditions {
    /// As on command lines, without what nobody asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { warm, messages, rate, kill, churn } = *self;
        let words = [
            (warm > 0).then(|| format!("--warm {warm}")),
            (messages != 1).then(|| format!("--messages {messages}")),
            rate.map(|rate| format!("--rate {rate}")),
            kill.map(|kill| format!("--kill {kill}")),
            churn.map(|churn| format!("--churn {churn}")),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        f.pad(&words.join(" "))
    }
}

/// Who dies at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Kill {
    /// This share of all nodes, at least one.
    Share(Ratio),
    /// So many nodes.
    Count(u32),
    /// The fewest that cut others off from the first node: one, or two where no single node does.
    Cut,
}

/// A text that is neither.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` cannot be killed: use a share up to 100% as 10%, a number of nodes, or cut")]
pub struct BadKill {
    /// What was given.
    pub given: String,
}

/// So few can be killed in no graph like this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KillError {
    /// The first node writes, and somebody must receive.
    #[error("--kill {kill} of {nodes} nodes leaves nobody to receive: kill {} at most", nodes.saturating_sub(2))]
    TooMany {
        /// What was asked for.
        kill: Kill,
        /// How many nodes there are.
        nodes: usize,
    },
    /// No node's death parts the others, and no two nodes' deaths that were tried.
    #[error("--kill cut: no one or two deaths part this {title}: kill a share or a number instead")]
    NoCut {
        /// The graph.
        title: String,
    },
}

impl Kill {
    /// The nodes that die, by their indices, ascending. The same seed and repeat kill the same ones in
    /// every mode.
    ///
    /// # Errors
    ///
    /// [`KillError`].
    pub fn victims(self, graph: &Graph, seed: u64, repeat: u32) -> Result<Vec<usize>, KillError> {
        let nodes = graph.nodes();
        let name = format!("{}-kill-{repeat}", stem(graph.topology(), nodes));
        let mut chance = Chance::child(named_seed(seed, &name), Part::Scenario);
        let count = match self {
            Self::Cut => {
                let title = crate::topology::title(graph.topology(), nodes);
                let cut = graph.cut(ORIGIN, &mut chance);
                return cut.map(|Cut(dead)| dead).ok_or(KillError::NoCut { title });
            }
            Self::Count(count) => count as usize,
            Self::Share(share) => {
                let parts = nodes as u64 * u64::from(share.as_per_million());
                let rounded = (parts + 500_000) / 1_000_000;
                usize::try_from(rounded).unwrap_or(usize::MAX).max(usize::from(parts > 0))
            }
        };
        if count > nodes.saturating_sub(2) {
            return Err(KillError::TooMany { kill: self, nodes });
        }
        let mut others: Vec<usize> = (0..nodes).filter(|&node| node != ORIGIN).collect();
        chance.shuffle(&mut others);
        others.truncate(count);
        others.sort_unstable();
        Ok(others)
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => share.fmt(f),
            Self::Count(count) => count.fmt(f),
            Self::Cut => f.pad("cut"),
        }
    }
}

impl FromStr for Kill {
    type Err = BadKill;

    fn from_str(text: &str) -> Result<Self, BadKill> {
        let bad = || BadKill { given: text.to_owned() };
        match text {
            "cut" => Ok(Self::Cut),
            _ if text.ends_with('%') => text.parse().map(Self::Share).map_err(|_| bad()),
            _ => text.parse().map(Self::Count).map_err(|_| bad()),
        }
    }
}

impl From<Kill> for String {
    fn from(kill: Kill) -> Self {
        kill.to_string()
    }
}

impl TryFrom<String> for Kill {
    type Error = BadKill;

    fn try_from(text: String) -> Result<Self, BadKill> {
        text.parse()
    }
}

/// This share of all nodes dies within a minute, one after another, and each comes back soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Churn(Ratio);

/// A text that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` is no churn: write it as 50%/min, from 0.0001% to 100%")]
pub struct BadChurn {
    /// What was given.
    pub given: String,
}

impl Churn {
    /// Time between two deaths among so many nodes.
    pub(super) fn gap(self, nodes: usize) -> Duration {
        let deaths_ppm = u64::from(self.0.as_per_million()) * nodes as u64;
        Duration::from_micros((60_000_000 * 1_000_000) / deaths_ppm.max(1))
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/min", self.0)
    }
}

impl FromStr for Churn {
    type Err = BadChurn;

    fn from_str(text: &str) -> Result<Self, BadChurn> {
        let share = text.strip_suffix("/min").unwrap_or(text).parse::<Ratio>();
        let share = share.ok().filter(|share| *share > Ratio::ZERO);
        share.map(Self).ok_or_else(|| BadChurn { given: text.to_owned() })
    }
}

impl From<Churn> for String {
    fn from(churn: Churn) -> Self {
        churn.to_string()
    }
}

impl TryFrom<String> for Churn {
    type Error = BadChurn;

    fn try_from(text: String) -> Result<Self, BadChurn> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    fn victims(kill: &str, topology: Topology, nodes: usize) -> Result<Vec<usize>, KillError> {
        let graph = Graph::of(topology, nodes, 1).unwrap();
        kill.parse::<Kill>().unwrap().victims(&graph, 1, 0)
    }

    #[test]
    fn a_share_a_number_or_a_cut() {
        for text in ["10%", "0.5%", "3", "cut"] {
            let kill: Kill = text.parse().unwrap();
            assert_eq!(kill.to_string(), text);
            assert_eq!(serde_json::to_string(&kill).unwrap(), format!("{text:?}"));
        }
        for bad in ["", "%", "-1", "0.5", "101%", "Cut", "half"] {
            assert!(bad.parse::<Kill>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_rounded_and_kill_at_least_one() {
        let count = |kill| victims(kill, Topology::Ring, 64).unwrap().len();
        assert_eq!(["1%", "10%", "50%", "0%", "7", "0"].map(count), [1, 6, 32, 0, 7, 0]);
    }

    #[test]
    fn the_first_node_lives_and_so_does_somebody_to_receive() {
        let all = victims("14", Topology::Ring, 16).unwrap();
        assert!(all.len() == 14 && !all.contains(&0), "{all:?}");
        for kill in ["15", "100%"] {
            let error = victims(kill, Topology::Ring, 16).unwrap_err().to_string();
            assert!(error.ends_with("kill 14 at most"), "{error}");
        }
    }

    #[test]
    fn a_cut_is_one_node_of_a_bus_two_of_a_ring_and_none_of_a_full_graph() {
        assert_eq!(victims("cut", Topology::Bus, 16).unwrap().len(), 1);
        assert_eq!(victims("cut", Topology::Ring, 16).unwrap().len(), 2);
        let error = victims("cut", Topology::Full, 16).unwrap_err().to_string();
        assert!(error.contains("this full: 16 nodes"), "{error}");
    }

    #[test]
    fn seed_and_repeat_decide_who_dies() {
        let graph = Graph::of(Topology::Ring, 64, 1).unwrap();
        let dead = |seed, repeat| Kill::Count(9).victims(&graph, seed, repeat).unwrap();
        assert_eq!(dead(1, 0), dead(1, 0));
        assert_ne!(dead(1, 0), dead(1, 1));
        assert_ne!(dead(1, 0), dead(2, 0));
    }

    #[test]
    fn churn_is_a_share_per_minute() {
        let churn: Churn = "50%/min".parse().unwrap();
        assert_eq!(churn.to_string(), "50%/min");
        assert_eq!("50%".parse(), Ok(churn));
        assert_eq!(churn.gap(60), Duration::from_secs(2));
        for bad in ["", "0%", "101%/min", "400%/min", "50%/s", "often"] {
            let error = bad.parse::<Churn>().unwrap_err().to_string();
            assert!(error.ends_with("write it as 50%/min, from 0.0001% to 100%"), "{error}");
        }
    }

    #[test]
    fn conditions_are_told_as_flags() {
        assert_eq!(Conditions::default().to_string(), "");
        let all = Conditions {
            warm: 50,
            messages: 10,
            rate: NonZeroU32::new(5),
            kill: Some(Kill::Cut),
            churn: "50%/min".parse().ok(),
        };
        let flags = "--warm 50 --messages 10 --rate 5 --kill cut --churn 50%/min";
        assert_eq!(all.to_string(), flags);
        assert_eq!(all.gap(), Some(Duration::from_millis(200)));
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Conditions>(&json).unwrap(), all);
    }
}
