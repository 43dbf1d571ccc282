//! What the traces of a run say about each of its rumours, in one pass over them.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use super::{Creation, MetricsError, Scene};
use crate::trace::{Event, RumorTag, Saying, Trace, TraceFormat, Why};

/// Everything about one rumour.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) creation: Creation,
    /// The earliest receipts, each with the index of its trace, ascending.
    pub(super) firsts: Vec<(usize, First)>,
    /// Datagrams that carried it, each with the index of its sender's trace, ascending.
    pub(super) sent: Vec<(usize, Sent)>,
    /// What was said of it, each with the index of its speaker's trace, ascending.
    pub(super) told: Vec<(usize, Told)>,
}

/// A node's earliest receipt, by its own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) t: u64,
    pub(super) from: Option<SocketAddr>,
    pub(super) hop: Option<u32>,
}

/// A datagram that carried the rumour; in a thesis log, a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) t: u64,
    pub(super) to: SocketAddr,
    pub(super) why: Why,
    pub(super) bytes: u64,
    /// At least 1.
    pub(super) copies: u64,
}

/// Something that was said of the rumour, or of a link while the rumour was the latest one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) t: u64,
    pub(super) to: SocketAddr,
    pub(super) saying: Saying,
}

/// The stories of a run's measured rumours, in the order of their creation.
pub(super) fn tell(scene: &Scene<'_>, traces: &[Trace]) -> Result<Vec<Story>, MetricsError> {
    let creations = creations(scene, traces)?;
    let story =
        |creation| Story { creation, firsts: Vec::new(), sent: Vec::new(), told: Vec::new() };
    let mut stories: Vec<Story> = creations.into_iter().map(story).collect();
    let by_tag: BTreeMap<RumorTag, usize> =
        stories.iter().enumerate().map(|(index, story)| (story.creation.tag, index)).collect();
    for (node, trace) in traces.iter().enumerate() {
        for event in &trace.events {
            match event {
                Event::Recv { t, id, from, hop } => {
                    if let Some(&index) = by_tag.get(id) {
                        let first = First { t: *t, from: *from, hop: *hop };
                        stories[index].note_receipt(node, first);
                    }
                }
                Event::Send { t, to, why, bytes, rumors } => {
                    let sent =
                        Sent { t: *t, to: *to, why: *why, bytes: (*bytes).into(), copies: 0 };
                    for (index, copies) in copies_on_board(trace.format, rumors, &by_tag) {
                        stories[index].sent.push((node, Sent { copies, ..sent }));
                    }
                }
                Event::Tell { t, to, said } => {
                    for (saying, tag) in said {
                        let index = match tag {
                            Some(tag) => by_tag.get(tag).copied(),
                            None => latest(&stories, *t),
                        };
                        if let Some(index) = index {
                            let told = Told { t: *t, to: *to, saying: *saying };
                            stories[index].told.push((node, told));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(stories)
}

/// The last story that has begun by then.
fn latest(stories: &[Story], t: u64) -> Option<usize> {
    stories.partition_point(|story| story.creation.t <= t).checked_sub(1)
}

impl Story {
    fn note_receipt(&mut self, node: usize, receipt: First) {
        match self.firsts.last_mut() {
            Some((last, first)) if *last == node => {
                if receipt.t < first.t {
                    *first = receipt;
                }
            }
            _ => self.firsts.push((node, receipt)),
        }
    }
}

/// How many copies of which stories' rumours are in a datagram.
fn copies_on_board(
    format: TraceFormat,
    rumors: &[(RumorTag, u32)],
    by_tag: &BTreeMap<RumorTag, usize>,
) -> BTreeMap<usize, u64> {
    if format == TraceFormat::Thesis {
        // Its line does not say of which rumour: of the only one.
        return by_tag.values().map(|&index| (index, 1)).collect();
    }
    let mut copies: BTreeMap<usize, u64> = BTreeMap::new();
    for (tag, count) in rumors {
        if let Some(&index) = by_tag.get(tag).filter(|_| *count > 0) {
            let sum = copies.entry(index).or_default();
            *sum = sum.saturating_add((*count).into());
        }
    }
    copies
}

/// The creations that are measured, the earliest first.
fn creations(scene: &Scene<'_>, traces: &[Trace]) -> Result<Vec<Creation>, MetricsError> {
    let mut creations = Vec::new();
    for (creator, trace) in traces.iter().enumerate() {
        for event in &trace.events {
            if let Event::Create { t, id } = event {
                creations.push(Creation { creator, tag: *id, t: *t });
            }
        }
    }
    creations.sort_by_key(|creation| creation.t);
    let (count, expected) = (creations.len(), scene.rumors());
    match count {
        0 => Err(MetricsError::NoCreation),
        _ if count == expected => Ok(creations.split_off(scene.warm as usize)),
        _ => Err(MetricsError::OtherCreations { count, expected }),
    }
}
