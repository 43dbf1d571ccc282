//! Settings that only some modes obey. One that nobody obeys is refused: whoever gave it would take what
//! comes of it for something else.

use core::fmt;

use thiserror::Error;

use super::Settings;
use crate::config::{Mode, Overrides, Preset};

/// A setting that only some modes obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    flag: &'static str,
    key: &'static str,
    scope: Scope,
}

/// Who obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// What sends rumours more than once. Trees do not.
    Repeating,
    /// What follows links.
    Linked,
    /// What may queue duplicates.
    Queueing,
    /// Mode `matching`.
    Matching,
}

impl Scope {
    fn holds(self, mode: Mode, overrides: Overrides) -> bool {
        match self {
            Self::Repeating => {
                // Of a preset's numbers none decides about it.
                let config = Settings::new(Preset::Lan, mode, overrides).config();
                mode != Mode::Matching || !config.prune
            }
            Self::Linked => !mode.is_classic(),
            Self::Queueing => mode != Mode::Matching,
            Self::Matching => mode == Mode::Matching,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Repeating => {
                "modes thesis-classic, thesis-matching and classic, and for matching with --prune off"
            }
            Self::Linked => "modes thesis-matching and matching",
            Self::Queueing => "modes thesis-classic, thesis-matching and classic",
            Self::Matching => "mode matching",
        })
    }
}

/// Where links come from; a flag alone.
pub const OVERLAY: Setting = Setting { flag: "--overlay", key: "overlay", scope: Scope::Linked };
/// Messages that are not measured; a flag of experiments alone.
pub const WARM: Setting = Setting { flag: "--warm", key: "warm", scope: Scope::Matching };
/// A link, as a flag. The links of a file are there for every mode that it is read with.
pub const NEIGHBOR: Setting =
    Setting { flag: "--neighbor", key: "neighbors", scope: Scope::Linked };

const RETRANSMIT: Setting =
    Setting { flag: "--retransmit", key: "retransmit_mult", scope: Scope::Repeating };
const PIGGYBACK: Setting =
    Setting { flag: "--piggyback", key: "piggyback", scope: Scope::Repeating };
const DEDUP: Setting = Setting { flag: "--dedup", key: "dedup", scope: Scope::Queueing };
const IMMEDIATE: Setting =
    Setting { flag: "--immediate", key: "immediate", scope: Scope::Matching };
const PRUNE: Setting = Setting { flag: "--prune", key: "prune", scope: Scope::Matching };
const REPAIR: Setting = Setting { flag: "--repair", key: "repair", scope: Scope::Matching };
const FLOOR: Setting = Setting { flag: "--floor", key: "floor", scope: Scope::Matching };

/// A setting that no chosen mode obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{name} is for {scope}: choose {}, or leave {name} out", self.choice())]
pub struct Unheeded {
    /// What it is called where it was given.
    name: &'static str,
    scope: Scope,
}

impl Unheeded {
    const fn choice(&self) -> &'static str {
        match self.scope {
            Scope::Matching => "that mode",
            Scope::Repeating | Scope::Linked | Scope::Queueing => "one of them",
        }
    }
}

/// Where settings were given: that is how they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    Flags,
    /// In a file.
    File,
}

/// Refuses what was given if none of some modes obeys it, all things considered.
///
/// # Errors
///
/// [`Unheeded`], about the first such setting.
pub fn check(
    given: impl IntoIterator<Item = Setting>,
    source: Source,
    modes: &[Mode],
    all: Overrides,
) -> Result<(), Unheeded> {
    let is_unheeded = |setting: &Setting| !modes.iter().any(|&mode| setting.scope.holds(mode, all));
    match given.into_iter().find(is_unheeded) {
        None => Ok(()),
        Some(Setting { flag, key, scope }) => {
            let name = match source {
                Source::Flags => flag,
                Source::File => key,
            };
            Err(Unheeded { name, scope })
        }
    }
}

impl Overrides {
    /// What is set of all that only some modes obey.
    pub fn limited(self) -> impl Iterator<Item = Setting> {
        let Self { retransmit_mult, piggyback, dedup, immediate, prune, repair, floor, .. } = self;
        let settings = [
            (RETRANSMIT, retransmit_mult.is_some()),
            (PIGGYBACK, piggyback.is_some()),
            (DEDUP, dedup.is_some()),
            (IMMEDIATE, immediate.is_some()),
            (PRUNE, prune.is_some()),
            (REPAIR, repair.is_some()),
            (FLOOR, floor.is_some()),
        ];
        settings.into_iter().filter_map(|(setting, is_set)| is_set.then_some(setting))
    }

    /// What a node of this mode obeys.
    #[must_use]
    pub fn obeyed_by(self, mode: Mode) -> Self {
        let is_obeyed = |setting: Setting| setting.scope.holds(mode, self);
        Self {
            retransmit_mult: self.retransmit_mult.filter(|_| is_obeyed(RETRANSMIT)),
            piggyback: self.piggyback.filter(|_| is_obeyed(PIGGYBACK)),
            dedup: self.dedup.filter(|_| is_obeyed(DEDUP)),
            immediate: self.immediate.filter(|_| is_obeyed(IMMEDIATE)),
            prune: self.prune.filter(|_| is_obeyed(PRUNE)),
            repair: self.repair.filter(|_| is_obeyed(REPAIR)),
            floor: self.floor.filter(|_| is_obeyed(FLOOR)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_set() -> Overrides {
        let on = Some(true);
        Overrides {
            retransmit_mult: Some(3),
            piggyback: on,
            dedup: on,
            immediate: on,
            prune: on,
            repair: on,
            floor: on,
            ..Overrides::default()
        }
    }

    #[test]
    fn what_a_node_is_told_is_what_its_mode_obeys() {
        for mode in Mode::ALL {
            let told = all_set().obeyed_by(mode);
            let count = told.limited().count();
            assert_eq!(count, if mode == Mode::Matching { 4 } else { 3 }, "{mode}");
            assert_eq!(check(told.limited(), Source::Flags, &[mode], told), Ok(()));
        }
    }

    #[test]
    fn one_mode_that_obeys_is_enough() {
        let all = all_set();
        assert!(check(all.limited(), Source::Flags, &Mode::ALL, all).is_ok());
        for mode in Mode::ALL {
            assert!(check(all.limited(), Source::Flags, &[mode], all).is_err(), "{mode}");
        }
    }

    #[test]
    fn a_refusal_calls_the_setting_as_it_was_given() {
        let given = Overrides { retransmit_mult: Some(3), ..Overrides::default() };
        let refused = |source| {
            let checked = check(given.limited(), source, &[Mode::Matching], given);
            checked.unwrap_err().to_string()
        };
        assert_eq!(
            refused(Source::File),
            "retransmit_mult is for modes thesis-classic, thesis-matching and classic, and for matching \
             with --prune off: choose one of them, or leave retransmit_mult out"
        );
        assert!(refused(Source::Flags).starts_with("--retransmit is for"));
    }

    #[test]
    fn without_trees_matching_repeats_rumours_too() {
        for without in [
            Overrides { prune: Some(false), ..Overrides::default() },
            Overrides { immediate: Some(false), ..Overrides::default() },
        ] {
            let given = Overrides { piggyback: Some(false), retransmit_mult: Some(3), ..without };
            assert!(check(given.limited(), Source::Flags, &[Mode::Matching], given).is_ok());
        }
    }
}
