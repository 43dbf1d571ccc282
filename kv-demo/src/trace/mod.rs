//! What a node writes down while an experiment runs, and reading it back.
//!
//! A trace is a file per node. In [`TraceFormat::Json`] each line is one [`Event`]; the first says
//! whose trace it is:
//!
//! ```json
//! {"ev":"node","t":170,"node":"Node1","addr":"127.0.0.1:4001","mode":"matching"}
//! {"ev":"create","t":171,"id":"00000000000000ff"}
//! {"ev":"recv","t":173,"id":"00000000000000aa","from":"[::1]:2","hop":3}
//! {"ev":"send","t":174,"to":"[::1]:2","why":"now","bytes":97,"rumors":[["00000000000000ff",1]]}
//! {"ev":"tell","t":194,"to":"[::1]:3","said":[["ihave","00000000000000ff"]]}
//! {"ev":"end","t":990,"counters":{"packets_in":12}}
//! ```
//!
//! [`TraceFormat::Thesis`] writes the log lines that the original's scripts read, which say less;
//! `thesis_log.rs` has them. [`read`] tells the two apart by their first byte.

mod reader;
mod thesis_log;
mod writer;

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::config::Mode;

pub use reader::{LINE_LEN_MAX, Trace, TraceError, TraceProblem, parse, read};
pub use writer::TraceWriter;

/// Datagrams with nothing but ids that a node's trace has at most. In a large overlay there are several
/// for each rumour; a run of many shall not drown in them.
pub const TOLD_MAX: u32 = 1_000;

/// A rumour's name in traces: the short form of its id.
///
/// Prints and reads as 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RumorTag(pub u64);

impl fmt::Display for RumorTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Text that is not a [`RumorTag`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a rumour's id: it has 16 lower-case hexadecimal digits")]
pub struct BadRumorTag {
    /// What was given.
    pub given: String,
}

impl FromStr for RumorTag {
    type Err = BadRumorTag;

    fn from_str(text: &str) -> Result<Self, BadRumorTag> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let tag = (text.len() == 16 && text.bytes().all(is_digit))
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten();
        tag.map(Self).ok_or_else(|| BadRumorTag { given: text.to_owned() })
    }
}

impl From<RumorTag> for String {
    fn from(tag: RumorTag) -> Self {
        tag.to_string()
    }
}

impl TryFrom<String> for RumorTag {
    type Error = BadRumorTag;

    fn try_from(text: String) -> Result<Self, BadRumorTag> {
        text.parse()
    }
}

/// One line of a trace. Every `t` is in nanoseconds since the Unix epoch, by the node's own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "lowercase")]
pub enum Event {
    /// Whose trace this is: the first line of a file, and no other.
    Node {
        /// When the node started.
        t: u64,
        /// Its name in the plan.
        node: String,
        /// Where its datagrams come from, as the others see it.
        addr: SocketAddr,
        /// How it spreads rumours.
        mode: Mode,
    },
    /// The node was given a new rumour to spread.
    Create {
        /// When.
        t: u64,
        /// Which.
        id: RumorTag,
    },
    /// A rumour arrived that the node did not have. Later copies are not written down.
    Recv {
        /// When.
        t: u64,
        /// Which.
        id: RumorTag,
        /// Who sent it; `None` where the trace cannot tell.
        from: Option<SocketAddr>,
        /// Links it crossed since its creator, this one included; `None` where the wire does not
        /// carry it.
        hop: Option<u32>,
    },
    /// A datagram left that carries copies of rumours.
    Send {
        /// When.
        t: u64,
        /// Where to.
        to: SocketAddr,
        /// What made the node send it.
        why: Why,
        /// Size of the datagram, without the headers of UDP and IP; 0 where the trace cannot tell.
        bytes: u32,
        /// The rumours in it, each with the number of its copies. Empty in a thesis log: its line
        /// stands for one copy and does not say of which rumour.
        rumors: Vec<(RumorTag, u32)>,
    },
    /// A datagram left that speaks of rumours and carries none. Written down while it is measured
    /// alone, and of ids so many only, see [`TOLD_MAX`].
    Tell {
        /// When.
        t: u64,
        /// Where to.
        to: SocketAddr,
        /// What it said, and of which rumour; `None` where it speaks of a link.
        said: Vec<(Saying, Option<RumorTag>)>,
    },
    /// The measuring begins: what was before was to warm up.
    Mark {
        /// When.
        t: u64,
        /// The node's counters by then, by name.
        counters: BTreeMap<String, u64>,
    },
    /// The node stopped in good order.
    End {
        /// When.
        t: u64,
        /// The node's counters at the end, by name.
        counters: BTreeMap<String, u64>,
    },
}

impl Event {
    /// When it happened, in nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn time(&self) -> u64 {
        match self {
            Self::Node { t, .. }
            | Self::Create { t, .. }
            | Self::Recv { t, .. }
            | Self::Send { t, .. }
            | Self::Tell { t, .. }
            | Self::Mark { t, .. }
            | Self::End { t, .. } => *t,
        }
    }

    /// Moves it in time, for a clock that is known to be off.
    pub const fn shift(&mut self, by_ns: i64) {
        match self {
            Self::Node { t, .. }
            | Self::Create { t, .. }
            | Self::Recv { t, .. }
            | Self::Send { t, .. }
            | Self::Tell { t, .. }
            | Self::Mark { t, .. }
            | Self::End { t, .. } => *t = t.saturating_add_signed(by_ns),
        }
    }
}

/// What made a node send a datagram with rumours in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// The gossip tick.
    Tick,
    /// The rumour itself: it was forwarded the moment it arrived.
    Now,
    /// A probe, direct or indirect, on which the rumour rode.
    Probe,
    /// An answer to a probe.
    Ack,
    /// A refusal of an indirect probe.
    Nack,
    /// A request to probe somebody else.
    Ask,
    /// A probe's answer, passed on.
    Relay,
    /// To keep links and repairs going.
    Control,
    /// In answer to who lacked it.
    Repair,
    /// Anything else.
    Other,
}

impl Why {
    /// What copies that left for this reason are counted and drawn as: the one classification of
    /// tables and pages.
    #[must_use]
    pub const fn kind(self) -> CopyKind {
        match self {
            Self::Tick => CopyKind::Tick,
            Self::Now => CopyKind::Immediate,
            Self::Repair => CopyKind::Repair,
            Self::Probe
            | Self::Ack
            | Self::Nack
            | Self::Ask
            | Self::Relay
            | Self::Control
            | Self::Other => CopyKind::Piggyback,
        }
    }
}

/// What a datagram said of a rumour or of the link that it took, by the names of the wire
/// ([`rumormill::wire::control`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saying {
    /// It is here.
    IHave,
    /// Send it, and its like from now on.
    Graft,
    /// A graft that does not ask for the rumour: send its like from now on.
    Swap,
    /// Send it.
    Pull,
    /// Do not send it.
    IDontWant,
    /// Send ids alone from now on.
    Prune,
}

/// What copies are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyKind {
    /// Sent by the gossip tick.
    Tick,
    /// Forwarded the moment the rumour arrived.
    Immediate,
    /// Rode on whatever went out anyway.
    Piggyback,
    /// In answer to who lacked it.
    Repair,
}

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TraceFormat {
    /// One JSON object a line.
    Json,
    /// The original's log lines.
    Thesis,
}

impl TraceFormat {
    /// The name used on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Thesis => "thesis",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_the_documented_line() {
        let tag = RumorTag(0xff);
        let addr: SocketAddr = "[::1]:1".parse().unwrap();
        let counters = BTreeMap::from([("packets_in".to_owned(), 12)]);
        let cases = [
            (
                Event::Node { t: 1, node: "Node1".into(), addr, mode: Mode::ThesisMatching },
                r#"{"ev":"node","t":1,"node":"Node1","addr":"[::1]:1","mode":"thesis-matching"}"#,
            ),
            (
                Event::Create { t: u64::MAX, id: tag },
                r#"{"ev":"create","t":18446744073709551615,"id":"00000000000000ff"}"#,
            ),
            (
                Event::Recv { t: 2, id: tag, from: Some(addr), hop: Some(3) },
                r#"{"ev":"recv","t":2,"id":"00000000000000ff","from":"[::1]:1","hop":3}"#,
            ),
            (
                Event::Recv { t: 2, id: tag, from: None, hop: None },
                r#"{"ev":"recv","t":2,"id":"00000000000000ff","from":null,"hop":null}"#,
            ),
            (
                Event::Send { t: 3, to: addr, why: Why::Now, bytes: 97, rumors: vec![(tag, 62)] },
                concat!(
                    r#"{"ev":"send","t":3,"to":"[::1]:1","why":"now","bytes":97,"#,
                    r#""rumors":[["00000000000000ff",62]]}"#
                ),
            ),
            (
                Event::Tell {
                    t: 3,
                    to: addr,
                    said: vec![(Saying::IHave, Some(tag)), (Saying::Prune, None)],
                },
                concat!(
                    r#"{"ev":"tell","t":3,"to":"[::1]:1","#,
                    r#""said":[["ihave","00000000000000ff"],["prune",null]]}"#
                ),
            ),
            (
                Event::Mark { t: 4, counters: counters.clone() },
                r#"{"ev":"mark","t":4,"counters":{"packets_in":12}}"#,
            ),
            (Event::End { t: 4, counters }, r#"{"ev":"end","t":4,"counters":{"packets_in":12}}"#),
        ];
        for (event, line) in cases {
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
            assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
        }
    }

    #[test]
    fn a_shift_moves_the_time_and_stops_at_the_ends_of_the_scale() {
        for (t, by_ns, moved) in [(7, -3, 4), (7, 3, 10), (7, -8, 0), (u64::MAX, 1, u64::MAX)] {
            let mut event = Event::Create { t, id: RumorTag(1) };
            event.shift(by_ns);
            assert_eq!(event, Event::Create { t: moved, id: RumorTag(1) });
        }
    }

    const REASONS: [Why; 10] = [
        Why::Tick,
        Why::Now,
        Why::Probe,
        Why::Ack,
        Why::Nack,
        Why::Ask,
        Why::Relay,
        Why::Control,
        Why::Repair,
        Why::Other,
    ];

    #[test]
    fn ticks_rumours_and_repairs_send_copies_of_their_own_and_all_others_take_them_along() {
        for why in REASONS {
            let kind = match why {
                Why::Tick => CopyKind::Tick,
                Why::Now => CopyKind::Immediate,
                Why::Repair => CopyKind::Repair,
                _ => CopyKind::Piggyback,
            };
            assert_eq!(why.kind(), kind, "{why:?}");
        }
    }

    #[test]
    fn reasons_are_single_words() {
        let words = serde_json::to_string(&REASONS).unwrap();
        assert_eq!(
            words,
            r#"["tick","now","probe","ack","nack","ask","relay","control","repair","other"]"#
        );
    }

    #[test]
    fn tags_have_sixteen_lower_case_digits_and_nothing_else() {
        assert_eq!("0123456789abcdef".parse(), Ok(RumorTag(0x0123_4567_89ab_cdef)));
        for bad in ["", "ff", "00000000000000FF", "00000000000000fff", "+00000000000000f"] {
            assert!(bad.parse::<RumorTag>().is_err(), "{bad}");
        }
    }
}
