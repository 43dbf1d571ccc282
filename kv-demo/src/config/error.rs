//! What can be wrong with a configuration file, in one line each: where it is, what it is, and what
//! to do about it.

use core::fmt;
use core::ops::Range;
use std::io;
use std::path::{Path, PathBuf};

use super::{UnknownMode, UnknownPreset};

/// A configuration that cannot be used. The file's author mends it; nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{place}{problem}")]
pub struct ConfigError {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub problem: Problem,
}

impl ConfigError {
    pub(super) fn in_file(mut self, path: &Path) -> Self {
        self.place.file = Some(path.to_owned());
        self
    }
}

/// A spot in a configuration, as far as it is known. Prints as a prefix: `ring.ini:3: `.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Option<PathBuf>,
    /// The line, counted from 1.
    pub line: Option<usize>,
}

impl Place {
    /// The line in which byte `offset` of `text` stands.
    pub(super) fn line_at(text: &str, offset: usize) -> usize {
        let before = text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display()),
            (Some(file), None) => write!(f, "{}: ", file.display()),
            (None, Some(line)) => write!(f, "line {line}: "),
            (None, None) => Ok(()),
        }
    }
}

/// What is wrong, and the fix.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file is not there.
    #[error("no such file: name an existing one, or write one with `kv-demo topology`")]
    Missing,
    /// The file is there and cannot be read as text.
    #[error("cannot be read ({reason}): make it a UTF-8 file that this user may read")]
    Unreadable {
        /// What the operating system says.
        reason: io::Error,
    },
    /// The text is not INI.
    #[error("not an INI file: {reason}")]
    MalformedIni {
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// The text is not TOML, or holds a key or a type that does not belong there.
    #[error("not a usable TOML file: {reason}")]
    MalformedToml {
        /// The parser's words, which name what it expected.
        reason: String,
    },
    /// No section has the name asked for.
    #[error("no node `{name}` here: choose {there}")]
    NoSuchNode {
        /// The name asked for.
        name: String,
        /// The first of the names that are there.
        there: String,
    },
    /// Two sections have the name asked for.
    #[error("the section [{name}] stands here twice: keep one of them")]
    NodeTwice {
        /// The name.
        name: String,
    },
    /// A required key is absent or empty.
    #[error("[{name}] lacks `{key}`: add {key}{example}")]
    MissingKey {
        /// The section.
        name: String,
        /// The key.
        key: &'static str,
        /// How it goes on after the key.
        example: &'static str,
    },
    /// A key means nothing.
    #[error("`{key}` is not a key: use {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that exist.
        known: String,
    },
    /// A value is no port.
    #[error("`{key}` is `{given}`: write a port from 1 to 65535")]
    BadPort {
        /// The key.
        key: &'static str,
        /// The value.
        given: String,
    },
    /// A value is no IP address.
    #[error("`{key}` is `{given}`: write an IP address without a port, such as 10.0.0.1 or ::1")]
    BadIp {
        /// The key.
        key: &'static str,
        /// The value.
        given: String,
    },
    /// A value is no address with a port.
    #[error("`{key}` has `{given}`: write ip:port, such as 10.0.0.1:30000 or [::1]:30000")]
    BadAddress {
        /// The key.
        key: &'static str,
        /// The value.
        given: String,
    },
    /// A value is no host with a port.
    #[error("`{key}` has `{given}`: write host:port, such as db1:30000 or [::1]:30000")]
    BadSeed {
        /// The key.
        key: &'static str,
        /// The value.
        given: String,
    },
    /// A value is no seed.
    #[error("`join` has `{given}`: write host, host:port, [IPv6]:port or _service._udp.domain")]
    BadJoin {
        /// The value.
        given: String,
    },
    /// `mode` is none of the modes.
    #[error(transparent)]
    UnknownMode(#[from] UnknownMode),
    /// `preset` is none of the presets.
    #[error(transparent)]
    UnknownPreset(#[from] UnknownPreset),
}

impl Problem {
    /// How many of a file's names a message lists: enough to recognise the file by, few enough for
    /// one line.
    pub const NAMES_SHOWN_MAX: usize = 5;

    /// [`Problem::NoSuchNode`] with the first [`Problem::NAMES_SHOWN_MAX`] of the names that are
    /// there, and `…` when there are more.
    pub(super) fn no_such_node<'a>(
        name: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> ConfigError {
        let mut names = names.into_iter();
        let mut shown: Vec<&str> = names.by_ref().take(Self::NAMES_SHOWN_MAX).collect();
        if names.next().is_some() {
            shown.push("…");
        }
        let there = match shown.as_slice() {
            [] => "another file, this one has no nodes".to_owned(),
            shown => shown.join(", "),
        };
        Self::NoSuchNode { name: name.to_owned(), there }.nowhere()
    }

    pub(super) fn nowhere(self) -> ConfigError {
        ConfigError { place: Place::default(), problem: self }
    }

    pub(super) fn on_line(self, line: Option<usize>) -> ConfigError {
        ConfigError { place: Place { file: None, line }, problem: self }
    }

    pub(super) fn at(self, text: &str, span: Range<usize>) -> ConfigError {
        self.on_line(Some(Place::line_at(text, span.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_prints_what_is_known_of_it() {
        let place = |file: Option<&str>, line| Place { file: file.map(PathBuf::from), line };
        assert_eq!(place(Some("a.ini"), Some(7)).to_string(), "a.ini:7: ");
        assert_eq!(place(Some("a.ini"), None).to_string(), "a.ini: ");
        assert_eq!(place(None, Some(7)).to_string(), "line 7: ");
        assert_eq!(place(None, None).to_string(), "");
    }

    #[test]
    fn lines_are_counted_from_one() {
        let text = "a\nbc\n";
        let lines: Vec<usize> = (0..=9).map(|offset| Place::line_at(text, offset)).collect();
        assert_eq!(lines, [1, 1, 2, 2, 2, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn names_are_listed_up_to_the_limit() {
        let names = ["Node1", "Node2", "Node3", "Node4", "Node5", "Node6"];
        let message = |count: usize| {
            Problem::no_such_node("Node9", names[..count].iter().copied()).to_string()
        };
        assert_eq!(message(0), "no node `Node9` here: choose another file, this one has no nodes");
        assert_eq!(message(2), "no node `Node9` here: choose Node1, Node2");
        assert!(message(4).ends_with("Node4"));
        assert!(message(5).ends_with("Node4, Node5"));
        assert!(message(6).ends_with("Node4, Node5, …"));
    }
}
