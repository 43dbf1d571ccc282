//! A run event by event: what its figures are made of, for a reader who wants to see it happen.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use super::infection::Infection;
use super::story::{self, Story};
use super::{MetricsError, Outage, Run, Scene, check};
use crate::trace::{Saying, Trace, Why};

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
    /// What was said of the rumour without a copy of it, the earliest first.
    pub told: Vec<Told>,
    /// Who was down at the creation or after it, the earliest first.
    pub outages: Vec<Down>,
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

/// Something that was said of the rumour; or of a link, while the rumour was the latest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub t_ns: u64,
    /// Who said it.
    pub from: usize,
    /// To whom; `None` where no trace has that address.
    pub to: Option<usize>,
    /// What.
    pub saying: Saying,
}

/// A node was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// Its place in the plan, from 0, whether or not there is a trace of it.
    pub place: usize,
    /// Since when, in nanoseconds since the creation; negative: before it.
    pub from_ns: i64,
    /// Until when; `None`: for ever.
    pub until_ns: Option<i64>,
}

/// Tells the history of `run` from the traces of its nodes, which may come in any order.
///
/// # Errors
///
/// As [`measure`](super::measure).
pub fn history(run: &Run, traces: &[Trace]) -> Result<History, MetricsError> {
    history_of(run, &Scene::default(), traces, 0)
}

/// Tells the history of one of the measured rumours of `run`, by its number from 0; of the last one, if
/// there are fewer.
///
/// # Errors
///
/// As [`measure_all`](super::measure_all).
pub fn history_of(
    run: &Run,
    scene: &Scene<'_>,
    traces: &[Trace],
    message: u32,
) -> Result<History, MetricsError> {
    check(run, traces)?;
    let stories = story::tell(scene, traces)?;
    let story = stories.get(message as usize).or(stories.last());
    let story = story.ok_or(MetricsError::NoCreation)?;
    let nodes = nodes_by_address(traces);
    let infection = Infection::of(run, story, &nodes, traces.len());
    Ok(History {
        names: traces.iter().map(|trace| trace.node.clone()).collect(),
        creator: story.creation.creator,
        receipts: infection.first_receipts(),
        sent: sent(story, &nodes),
        told: told(story, &nodes),
        outages: outages(scene, story.creation.t),
    })
}

fn sent(story: &Story, nodes: &BTreeMap<SocketAddr, usize>) -> Vec<Sent> {
    let of = |(from, datagram): &(usize, story::Sent)| Sent {
        t_ns: datagram.t.saturating_sub(story.creation.t),
        from: *from,
        to: nodes.get(&datagram.to).copied(),
        why: datagram.why,
        copies: datagram.copies,
    };
    let mut sent: Vec<Sent> = story.sent.iter().map(of).collect();
    sent.sort_by_key(|datagram| datagram.t_ns);
    sent
}

fn told(story: &Story, nodes: &BTreeMap<SocketAddr, usize>) -> Vec<Told> {
    let of = |(from, told): &(usize, story::Told)| Told {
        t_ns: told.t.saturating_sub(story.creation.t),
        from: *from,
        to: nodes.get(&told.to).copied(),
        saying: told.saying,
    };
    let mut told: Vec<Told> = story.told.iter().map(of).collect();
    told.sort_by_key(|told| told.t_ns);
    told
}

fn outages(scene: &Scene<'_>, created: u64) -> Vec<Down> {
    let since = |t: u64| i64::try_from(i128::from(t) - i128::from(created));
    let of = |outage: &Outage| {
        let place = (outage.node as usize).checked_sub(1)?;
        let until_ns = outage.until_ns.and_then(|until| since(until).ok());
        Some(Down { place, from_ns: since(outage.from_ns).ok()?, until_ns })
    };
    let is_over = |down: &Down| down.until_ns.is_some_and(|until_ns| until_ns <= 0);
    let mut outages: Vec<Down> =
        scene.outages.iter().filter_map(of).filter(|down| !is_over(down)).collect();
    outages.sort_by_key(|down| (down.from_ns, down.place));
    outages
}

/// Whose datagrams come from which address.
pub(super) fn nodes_by_address(traces: &[Trace]) -> BTreeMap<SocketAddr, usize> {
    let addresses = traces.iter().enumerate();
    addresses.filter_map(|(index, trace)| Some((trace.addr?, index))).collect()
}
