//! A run event by event: what its figures are made of, for a reader who wants to see it happen.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use super::copies::sent_copies;
use super::infection::Infection;
use super::{Creation, MetricsError, Run, check, find_creation};
use crate::trace::{Trace, Why};

/// What happened to the rumour of a run. Nodes go by the index of their trace; times are in
/// nanoseconds since the creation, and 0 for what a clock that is off puts before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The nodes' names.
    pub names: Vec<String>,
    /// Who created the rumour.
    pub creator: usize,
    /// The first receipts, the earliest first.
    pub receipts: Vec<Receipt>,
    /// The datagrams that carried the rumour, the earliest first. Of a thesis log, the copies.
    pub sent: Vec<Sent>,
}

/// A node's first receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When.
    pub t_ns: u64,
    /// Who received.
    pub node: usize,
    /// Who sent; `None` where the trace cannot tell.
    pub from: Option<usize>,
    /// Links between the creator and this node: those that the rumour counted, else those that the
    /// chain of senders has. `None` where neither is known.
    pub hop: Option<u32>,
}

/// A datagram that carried the rumour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub t_ns: u64,
    /// Who sent it.
    pub from: usize,
    /// Who it was for; `None` where no trace has that address.
    pub to: Option<usize>,
    /// What made the node send it.
    pub why: Why,
    /// How many copies of the rumour were in it; at least 1.
    pub copies: u64,
}

/// Tells the history of `run` from the traces of its nodes, which may come in any order.
///
/// # Errors
///
/// As [`measure`](super::measure).
pub fn history(run: &Run, traces: &[Trace]) -> Result<History, MetricsError> {
    check(run, traces)?;
    let creation = find_creation(traces)?;
    let infection = Infection::of(run, traces, creation);
    Ok(History {
        names: traces.iter().map(|trace| trace.node.clone()).collect(),
        creator: creation.creator,
        receipts: infection.first_receipts(),
        sent: sent(traces, creation),
    })
}

fn sent(traces: &[Trace], creation: Creation) -> Vec<Sent> {
    let nodes = nodes_by_address(traces);
    let mut sent = Vec::new();
    for (from, trace) in traces.iter().enumerate() {
        sent.extend(sent_copies(trace, creation.tag).map(|datagram| Sent {
            t_ns: datagram.t.saturating_sub(creation.t),
            from,
            to: nodes.get(&datagram.to).copied(),
            why: datagram.why,
            copies: datagram.copies,
        }));
    }
    sent.sort_by_key(|datagram| datagram.t_ns);
    sent
}

/// Whose datagrams come from which address.
pub(super) fn nodes_by_address(traces: &[Trace]) -> BTreeMap<SocketAddr, usize> {
    let addresses = traces.iter().enumerate();
    addresses.filter_map(|(index, trace)| Some((trace.addr?, index))).collect()
}
