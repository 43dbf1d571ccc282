//! The words that a configuration, a command line and an experiment choose from.

use core::fmt;
use core::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How rumours spread.
///
/// The order of the variants is the order in which tables and summaries list them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The original's baseline: random members at each tick, duplicates queued again.
    ThesisClassic,
    /// The original's improvement: static neighbours at each tick, duplicates dropped.
    ThesisMatching,
    /// The fair baseline: random members at each tick, duplicates dropped.
    Classic,
    /// Ours: along the links at once, pruned to trees and repaired by the tick, duplicates dropped.
    Matching,
}

impl Mode {
    /// Every mode, in the order of tables.
    pub const ALL: [Self; 4] =
        [Self::ThesisClassic, Self::ThesisMatching, Self::Classic, Self::Matching];

    /// The name used on command lines, in files and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThesisClassic => "thesis-classic",
            Self::ThesisMatching => "thesis-matching",
            Self::Classic => "classic",
            Self::Matching => "matching",
        }
    }

    /// Whether rumours go to random members, and not along links.
    #[must_use]
    pub const fn is_classic(self) -> bool {
        matches!(self, Self::ThesisClassic | Self::Classic)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a mode: use thesis-classic, thesis-matching, classic or matching")]
pub struct UnknownMode {
    /// What was given.
    pub given: String,
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| UnknownMode { given: name.to_owned() })
    }
}

/// A named set of numbers: intervals, fan-out, limits.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// memberlist's numbers for one local network.
    Lan,
    /// memberlist's numbers for links between continents.
    Wan,
    /// memberlist's numbers for one host.
    Local,
    /// What a Serf agent expects of a member: memberlist's numbers for one local network, and Serf's
    /// protocol versions.
    Serf,
    /// The numbers of the original experiment.
    Thesis,
    /// The numbers of the document that the project started from.
    Seed,
}

impl Preset {
    /// Every preset, in the order of help texts.
    pub const ALL: [Self; 6] =
        [Self::Lan, Self::Wan, Self::Local, Self::Serf, Self::Thesis, Self::Seed];

    /// The name used on command lines, in files and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Local => "local",
            Self::Serf => "serf",
            Self::Thesis => "thesis",
            Self::Seed => "seed",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no preset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a profile: use lan, wan, local, serf, thesis or seed")]
pub struct UnknownPreset {
    /// What was given.
    pub given: String,
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| UnknownPreset { given: name.to_owned() })
    }
}

/// When the periodic actions of a node begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// One interval after the node's start, as memberlist's tickers do: nodes that start one after
    /// the other also tick one after the other.
    Start,
    /// After a random part of the interval.
    Random,
    /// As `start`, with all nodes of an experiment started at once: they tick together.
    Aligned,
}

impl Phase {
    /// The name used on command lines and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Random => "random",
            Self::Aligned => "aligned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_one_name_everywhere() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{mode}\""));
            assert_eq!(<Mode as ValueEnum>::from_str(mode.name(), false), Ok(mode));
        }
    }

    #[test]
    fn a_preset_has_one_name_everywhere() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
            assert_eq!(serde_json::to_string(&preset).unwrap(), format!("\"{preset}\""));
            assert_eq!(<Preset as ValueEnum>::from_str(preset.name(), false), Ok(preset));
        }
    }

    #[test]
    fn unknown_words_name_the_choices() {
        let mode = "epidemic".parse::<Mode>().unwrap_err();
        assert_eq!(
            mode.to_string(),
            "`epidemic` is not a mode: use thesis-classic, thesis-matching, classic or matching"
        );
        let preset = "moon".parse::<Preset>().unwrap_err();
        assert_eq!(
            preset.to_string(),
            "`moon` is not a profile: use lan, wan, local, serf, thesis or seed"
        );
    }

    #[test]
    fn modes_sort_in_the_order_of_tables() {
        let mut modes = [Mode::Matching, Mode::Classic, Mode::ThesisMatching, Mode::ThesisClassic];
        modes.sort_unstable();
        assert_eq!(modes, Mode::ALL);
    }
}
