//! How the coordinator of an experiment and its nodes talk: JSON lines over standard input and
//! output. When a node's standard input ends, its coordinator is gone, and the node ends too: no
//! process outlives an experiment.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;

use rumormill_mio::Handle;
use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::trace::RumorTag;

/// From the coordinator to a node, one per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Begin: until now the node was silent. Its periodic actions count from here.
    Start {
        /// Its links.
        neighbors: Vec<SocketAddr>,
        /// Whom to join; none for the first node.
        seed: Option<SocketAddr>,
        /// Pause between push/pulls until the barrier, in milliseconds.
        push_pull_ms: u64,
        /// Factor of the retransmit limit of membership updates until the barrier.
        retransmit_mult: u32,
    },
    /// All nodes see all nodes: take the preset's values.
    Settle,
    /// The measuring begins: write the counters into the trace.
    Mark,
    /// Flood a numbered datagram along the links, once: calibration only.
    Flood {
        /// The round's number.
        round: u32,
    },
    /// Write the trace out and end.
    Finish,
}

/// From a node to the coordinator, one per line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// The node has its ports.
    Bound {
        /// Where its datagrams come from, as the others see it.
        gossip: SocketAddr,
        /// Its HTTP door.
        http: Option<SocketAddr>,
    },
    /// How many members it sees alive, itself included.
    Live {
        /// The number.
        members: usize,
    },
    /// It has its links and forwards whatever comes: calibration only.
    Linked,
    /// It has taken the preset's values and has no membership news left to tell.
    Settled,
    /// It has the rumour.
    Infected {
        /// When, in nanoseconds since the Unix epoch.
        t: u64,
        /// Which.
        id: RumorTag,
    },
    /// Its counters are in the trace.
    Marked,
    /// It has flooded the datagram of a round.
    Flooded {
        /// The round's number.
        round: u32,
        /// When the datagram came or was started, in nanoseconds since the Unix epoch.
        t: u64,
    },
    /// Its trace is complete.
    Done,
}

/// Longest line that either side reads, in bytes: a list of 64 neighbours takes about 3 KB.
pub const LINE_LEN_MAX: usize = 64 << 10;

/// Hands the coordinator's orders to the loop, from a thread of its own, until input ends.
pub(crate) fn read_orders(handle: &Handle<Command>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match parse_order(&line) {
            Ok(order) => {
                if handle.send(Command::Order(order)).is_err() {
                    break;
                }
            }
            Err(error) => tracing::error!(%error, "the coordinator's order makes no sense"),
        }
    }
    // The queue may be full for a moment; the loop empties it or has ended.
    while matches!(handle.send(Command::Abandoned), Err(rumormill_mio::HandleError::Full(_))) {
        std::thread::yield_now();
    }
}

/// Reads one order.
///
/// # Errors
///
/// In words, what is wrong with the line.
pub fn parse_order(line: &str) -> Result<Order, String> {
    if line.len() > LINE_LEN_MAX {
        return Err(format!("a line of {} bytes, at most {LINE_LEN_MAX} are read", line.len()));
    }
    serde_json::from_str(line).map_err(|error| error.to_string())
}

/// Tells the coordinator something.
pub(crate) fn report(report: &Report) {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    // A coordinator that is gone shows as the end of standard input.
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(&line).and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads the reports");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_reports_have_these_lines() {
        let start = Order::Start {
            neighbors: vec!["127.0.0.1:2".parse().unwrap()],
            seed: None,
            push_pull_ms: 1_000,
            retransmit_mult: 4,
        };
        let line = r#"{"order":"start","neighbors":["127.0.0.1:2"],"seed":null,"push_pull_ms":1000,"retransmit_mult":4}"#;
        assert_eq!(serde_json::to_string(&start).unwrap(), line);
        assert_eq!(parse_order(line), Ok(start));
        assert_eq!(parse_order(r#"{"order":"finish"}"#), Ok(Order::Finish));
        let infected =
            serde_json::to_string(&Report::Infected { t: 7, id: RumorTag(255) }).unwrap();
        assert_eq!(infected, r#"{"report":"infected","t":7,"id":"00000000000000ff"}"#);
    }

    #[test]
    fn lines_that_make_no_sense_are_refused_in_words() {
        assert!(parse_order("").is_err());
        assert!(parse_order(r#"{"order":"dance"}"#).unwrap_err().contains("dance"));
        assert!(parse_order(&" ".repeat(LINE_LEN_MAX + 1)).unwrap_err().contains("bytes"));
    }
}
