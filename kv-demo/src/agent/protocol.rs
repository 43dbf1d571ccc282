//! What the coordinator of an experiment and its agents say to each other: JSON lines over the
//! agent's standard input and output, whatever carries them there.
//!
//! ```text
//! coordinator ─► agent                            agent ─► coordinator
//!                                                 {"news":"hello","version":"0.1.0","protocol":2}
//! {"wish":"ping","t":170}                         {"news":"pong","ping":170,"received":…,"sent":…}
//! {"wish":"spawn","index":8,"bind":"192.0.2.2",…} {"news":"report","index":8,"report":{…}}
//! {"wish":"order","index":8,"order":{…}}          {"news":"ended","index":8,"last_words":"…"}
//! {"wish":"kill","index":9}                       {"news":"ended","index":9,"last_words":"…"}
//! {"wish":"write","index":0,"key":…,"value":…}    {"news":"written","refusal":null}
//! {"wish":"traces"}                               {"news":"trace","index":8,"piece":"…"} …
//! {"wish":"dismiss"}                              {"news":"dismissed"}
//! ```
//!
//! The agent's first line is its hello; the form of that line never changes, so that any two
//! versions can tell that they differ. Both sides hear from each other every second, and each
//! gives the other up after a silence.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::node::control::{Order, Report};
use crate::topology::DIM_MAX;

/// Number of this protocol; it grows with every change that the other side must know of.
pub const PROTOCOL: u32 = 2;

/// Version of this program. The two sides measure together only if they are the same program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest part of a trace in one line, in bytes.
pub const PIECE_LEN_MAX: usize = 32 << 10;

/// Longest line that either side reads, in bytes: a piece whose every byte JSON writes as six, and
/// room for the words around it.
pub const LINE_LEN_MAX: usize = 6 * PIECE_LEN_MAX + (4 << 10);

/// Most children of one agent: the nodes of the largest topology.
pub const CHILDREN_MAX: usize = 1 << DIM_MAX;

/// Time between the coordinator's pings.
pub const PING_EVERY: Duration = Duration::from_secs(1);

/// A coordinator that hears nothing from an agent for this long has lost it.
pub const AGENT_SILENT_MAX: Duration = Duration::from_secs(10);

/// An agent that hears nothing from its coordinator for this long ends, with its children. Longer
/// than the coordinator's patience, so that whoever can still speak says what happened.
pub const COORDINATOR_SILENT_MAX: Duration = Duration::from_secs(15);

/// From the coordinator to an agent, one per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// Say what time it is with you.
    Ping {
        /// When this was sent, in nanoseconds since the Unix epoch by the coordinator's clock.
        t: u64,
    },
    /// Start a child.
    Spawn {
        /// What it is called from now on: its index in the topology.
        index: usize,
        /// The address that it binds and advertises.
        bind: IpAddr,
        /// What it is to do.
        job: Job,
    },
    /// Pass an order on to a child.
    Order {
        /// Which.
        index: usize,
        /// What.
        order: Order,
    },
    /// End a child by force.
    Kill {
        /// Which.
        index: usize,
    },
    /// Write a key through a child's HTTP door.
    Write {
        /// Whose.
        index: usize,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Send the traces of all children.
    Traces,
    /// End all children and forget them.
    Dismiss,
}

/// From an agent to the coordinator, one per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "kebab-case")]
pub enum News {
    /// The first line: who speaks.
    Hello {
        /// Version of the program.
        version: String,
        /// Number of its protocol.
        protocol: u32,
    },
    /// The answer to a ping; times are in nanoseconds since the Unix epoch.
    Pong {
        /// The ping's own time.
        ping: u64,
        /// When it came, by the agent's clock.
        received: u64,
        /// When this left, by the agent's clock.
        sent: u64,
    },
    /// A child reports.
    Report {
        /// Which.
        index: usize,
        /// What.
        report: Report,
    },
    /// A child said something that makes no sense.
    Gibberish {
        /// Which.
        index: usize,
        /// The start of what it said.
        line: String,
    },
    /// A child has ended.
    Ended {
        /// Which.
        index: usize,
        /// The last line of its standard error.
        last_words: String,
    },
    /// The key was written, or was not.
    Written {
        /// Why not.
        refusal: Option<String>,
    },
    /// The next part of a child's trace.
    Trace {
        /// Whose.
        index: usize,
        /// Text of at most [`PIECE_LEN_MAX`] bytes.
        piece: String,
    },
    /// All traces have been sent.
    TracesEnd,
    /// All children have ended; whatever comes next is of others.
    Dismissed,
    /// The agent cannot do what it was told.
    Refused {
        /// Why, in one line.
        reason: String,
    },
}

/// One line with its end.
#[must_use]
pub fn line(message: &impl Serialize) -> Vec<u8> {
    // None of the messages has a key or a number that JSON cannot hold.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::super::job::Task;
    use super::*;
    use crate::config::{Mode, Overrides, Preset};
    use crate::trace::TraceFormat;

    #[test]
    fn wishes_and_news_have_these_lines() {
        let job = Job {
            number: 9,
            task: Task::Node {
                mode: Mode::Matching,
                preset: Preset::Thesis,
                overrides: Overrides { fanout: Some(2), ..Overrides::default() },
                trace_format: TraceFormat::Json,
            },
        };
        let spawn = Wish::Spawn { index: 8, bind: "192.0.2.2".parse().unwrap(), job };
        let text = r#"{"wish":"spawn","index":8,"bind":"192.0.2.2","job":{"number":9,"task":{"do":"node","mode":"matching","preset":"thesis","overrides":{"fanout":2},"trace_format":"json"}}}"#;
        assert_eq!(serde_json::from_str::<Wish>(text).unwrap(), spawn);
        let again = serde_json::to_string(&spawn).unwrap();
        assert_eq!(serde_json::from_str::<Wish>(&again).unwrap(), spawn);
        let hello = News::Hello { version: "0.1.0".into(), protocol: 2 };
        let text = r#"{"news":"hello","version":"0.1.0","protocol":2}"#;
        assert_eq!(serde_json::to_string(&hello).unwrap(), text);
        let report = News::Report { index: 3, report: Report::Live { members: 2 } };
        let text = r#"{"news":"report","index":3,"report":{"report":"live","members":2}}"#;
        assert_eq!(serde_json::from_str::<News>(text).unwrap(), report);
    }

    #[test]
    fn a_later_versions_hello_is_understood_and_its_other_wishes_are_not() {
        let hello = r#"{"news":"hello","version":"9.0.0","protocol":7,"more":[1]}"#;
        assert!(matches!(serde_json::from_str(hello), Ok(News::Hello { protocol: 7, .. })));
        assert!(serde_json::from_str::<Wish>(r#"{"wish":"run","program":"sh"}"#).is_err());
    }

    #[test]
    fn no_plan_can_name_a_program_a_path_or_a_flag() {
        let with = |field: &str| {
            let text = format!(
                r#"{{"wish":"spawn","index":0,"bind":"::1","job":{{"number":1,{field}"task":{{"do":"flood"}}}}}}"#
            );
            serde_json::from_str::<Wish>(&text)
        };
        assert!(with("").is_ok());
        for field in [r#""program":"sh","#, r#""arguments":["-c"],"#, r#""dir":"/etc","#] {
            assert!(with(field).is_err(), "{field}");
        }
    }

    #[test]
    fn the_worst_piece_fits_a_line() {
        let piece = "\u{1}".repeat(PIECE_LEN_MAX);
        let worst = line(&News::Trace { index: usize::MAX, piece });
        assert!(worst.len() <= LINE_LEN_MAX, "{}", worst.len());
    }
}
