//! A run in the form that the page's script plays: whole numbers in flat lists, times in
//! microseconds since the rumour's creation, nodes by their place in the plan.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::{History, Receipt, RunFigures, Sent};
use crate::trace::CopyKind;

/// Steps of the counter of copies that are not drawn.
const REST_STEPS_MAX: usize = 256;
/// The names of kinds of copies, for the style sheet and the script, which get them by their place here.
pub(super) const KINDS: [&str; 4] = ["tick", "now", "ride", "repair"];
/// Numbers of a receipt in [`Replay::receipts`].
const RECEIPT_LEN: usize = 4;
/// Numbers of a flight in [`Replay::flights`].
#[cfg(test)]
const FLIGHT_LEN: usize = 6;
/// Where a number is not known.
const UNKNOWN: i64 = -1;
/// How long a copy flies where no receipt of the run tells.
const FLIGHT_US_DEFAULT: i64 = 200;

/// A run, ready to be played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Replay {
    /// What the panel is called.
    pub(super) title: String,
    /// Its mode, for the colour.
    pub(super) mode: &'static str,
    /// Number of the repeat, from 1, and how many there are.
    repeat: [usize; 2],
    /// By the node's index; empty where it is `Node` and the number.
    names: BTreeMap<usize, String>,
    creator: usize,
    /// For each: node, time, sender, hop; the earliest first.
    receipts: Vec<i64>,
    /// For each: time since the flight before, sender, receiver, why, copies, and how long it flew
    /// if it infected its receiver, else [`UNKNOWN`].
    flights: Vec<i64>,
    /// How long a flight takes of which that is not known.
    flight_us: i64,
    /// Of the datagrams that are not drawn: a time, and how many datagrams and copies had left by
    /// then.
    rest: Vec<u64>,
    /// Datagrams that are drawn, and all, until the end of the replay.
    drawn: [usize; 2],
}

/// What limits a replay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Where it ends, in microseconds.
    pub(super) end_us: i64,
    /// How many datagrams are drawn; those that infect are, whatever their number.
    pub(super) flights_max: usize,
}

impl Replay {
    pub(super) fn new(
        title: String,
        figures: &RunFigures,
        repeats: usize,
        history: &History,
        limits: Limits,
    ) -> Self {
        let nodes = figures.nodes as usize;
        let places = places(&history.names, nodes);
        let is_before_the_end = |sent: &&Sent| micros(sent.t_ns) <= limits.end_us;
        let sent: Vec<Sent> = history.sent.iter().filter(is_before_the_end).copied().collect();
        let travels = travels(&sent, &history.receipts);
        let (drawn, rest) = choose(&sent, &travels, limits.flights_max);
        Self {
            title,
            mode: figures.mode.name(),
            repeat: [figures.repeat as usize + 1, repeats],
            names: other_names(&history.names, &places),
            creator: places[history.creator],
            receipts: receipts(&history.receipts, &places),
            flights: flights(&sent, &drawn, &travels, &places),
            flight_us: median(travels.values().copied()).unwrap_or(FLIGHT_US_DEFAULT).max(1),
            rest: rest_steps(&sent, &rest),
            drawn: [drawn.len(), sent.len()],
        }
    }
}

/// When the last of these runs' receipts was, in microseconds.
pub(super) fn last_receipt_us<'a>(histories: impl Iterator<Item = &'a History>) -> Option<i64> {
    histories.filter_map(|history| history.receipts.last()).map(|last| micros(last.t_ns)).max()
}

/// Which node of the plan each trace is of: the one of its name, else the first that is left.
fn places(names: &[String], nodes: usize) -> Vec<usize> {
    let number = |name: &String| name.strip_prefix("Node")?.parse::<usize>().ok()?.checked_sub(1);
    let mut is_taken = vec![false; nodes];
    let mut places: Vec<Option<usize>> = names.iter().map(number).collect();
    for place in &mut places {
        // A second trace of one name, or a number beyond the plan: treated as a name of its own.
        *place = place.filter(|index| is_taken.get(*index) == Some(&false));
        if let Some(index) = *place {
            is_taken[index] = true;
        }
    }
    let mut free = (0..nodes).filter(|index| !is_taken[*index]);
    let filled = places.into_iter().map(|place| place.or_else(|| free.next()));
    filled.map(|place| place.expect("there are no more traces than nodes")).collect()
}

fn other_names(names: &[String], places: &[usize]) -> BTreeMap<usize, String> {
    let named = places.iter().copied().zip(names.iter().cloned());
    named.filter(|(place, name)| *name != format!("Node{}", place + 1)).collect()
}

/// How long each datagram flew that infected its receiver, by its index in `sent`.
///
/// The trace of a receipt names the sender, not the datagram: it is taken to be the last one that
/// this sender sent there before. Where clocks differ so much that none was, it is the first.
fn travels(sent: &[Sent], receipts: &[Receipt]) -> BTreeMap<usize, i64> {
    let mut by_link: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (index, datagram) in sent.iter().enumerate() {
        if let Some(to) = datagram.to {
            by_link.entry((datagram.from, to)).or_default().push(index);
        }
    }
    let travel = |receipt: &Receipt| {
        let candidates = by_link.get(&(receipt.from?, receipt.node))?;
        let before = candidates.partition_point(|index| sent[*index].t_ns <= receipt.t_ns);
        let index = candidates[before.saturating_sub(1)];
        Some((index, (micros(receipt.t_ns) - micros(sent[index].t_ns)).max(0)))
    };
    receipts.iter().filter_map(travel).collect()
}

/// The datagrams to draw and the others: drawn are those that infect, then the earliest of those
/// whose receiver is known.
fn choose(
    sent: &[Sent],
    travels: &BTreeMap<usize, i64>,
    flights_max: usize,
) -> (Vec<usize>, Vec<usize>) {
    let mut room = flights_max.saturating_sub(travels.len());
    (0..sent.len()).partition(|index| {
        if travels.contains_key(index) {
            return true;
        }
        let is_drawn = room > 0 && sent[*index].to.is_some();
        room -= usize::from(is_drawn);
        is_drawn
    })
}

fn receipts(receipts: &[Receipt], places: &[usize]) -> Vec<i64> {
    let mut numbers = Vec::with_capacity(receipts.len() * RECEIPT_LEN);
    for Receipt { t_ns, node, from, hop } in receipts {
        let from = from.map_or(UNKNOWN, |from| number(places[from]));
        let hop = hop.map_or(UNKNOWN, i64::from);
        numbers.extend([number(places[*node]), micros(*t_ns), from, hop]);
    }
    numbers
}

fn flights(
    sent: &[Sent],
    drawn: &[usize],
    travels: &BTreeMap<usize, i64>,
    places: &[usize],
) -> Vec<i64> {
    let mut numbers = Vec::new();
    let mut before = 0;
    for index in drawn {
        let Sent { t_ns, from, to, why, copies } = sent[*index];
        let Some(to) = to else { continue };
        let t = micros(t_ns);
        let copies = i64::try_from(copies).unwrap_or(i64::MAX);
        let travel = travels.get(index).copied().unwrap_or(UNKNOWN);
        let (from, to) = (number(places[from]), number(places[to]));
        numbers.extend([t - before, from, to, kind(why.kind()), copies, travel]);
        before = t;
    }
    numbers
}

/// The place in [`KINDS`].
const fn kind(kind: CopyKind) -> i64 {
    match kind {
        CopyKind::Tick => 0,
        CopyKind::Immediate => 1,
        CopyKind::Piggyback => 2,
        CopyKind::Repair => 3,
    }
}

fn rest_steps(sent: &[Sent], rest: &[usize]) -> Vec<u64> {
    let (mut datagrams, mut copies) = (0_u64, 0_u64);
    let mut numbers = Vec::new();
    for step in rest.chunks(rest.len().div_ceil(REST_STEPS_MAX).max(1)) {
        for index in step {
            datagrams += 1;
            copies = copies.saturating_add(sent[*index].copies);
        }
        let last = step.last().map_or(0, |index| sent[*index].t_ns / 1_000);
        numbers.extend([last, datagrams, copies]);
    }
    numbers
}

/// The lower one of two.
fn median(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// Nanoseconds as microseconds: 2^63 of them are more than a u64 of nanoseconds holds.
fn micros(ns: u64) -> i64 {
    i64::try_from(ns / 1_000).unwrap_or(i64::MAX)
}

/// An index of a node, which is far below 2^63.
fn number(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::report::tests::run;
    use crate::topology::Topology;
    use crate::trace::Why;

    const LIMITS: Limits = Limits { end_us: 1_000, flights_max: 100 };

    #[test]
    fn a_datagram_that_infects_flies_until_its_receipt() {
        let history = History {
            receipts: vec![receipt(1, 250, Some(0))],
            sent: vec![
                sent(100, 0, Some(1)),
                sent(200, 0, Some(1)),
                sent(240, 2, Some(1)),
                sent(300, 0, Some(1)),
            ],
            ..history()
        };
        assert_eq!(travels_of(&replay(&history, LIMITS)), [-1, 50, -1, -1]);
    }

    #[test]
    fn a_receipt_before_its_datagram_is_no_time_travel() {
        let history = History {
            receipts: vec![receipt(1, 250, Some(0))],
            sent: vec![sent(300, 0, Some(1)), sent(400, 0, Some(1))],
            ..history()
        };
        assert_eq!(travels_of(&replay(&history, LIMITS)), [0, -1]);
    }

    #[test]
    fn a_copy_is_drawn_as_what_it_is_counted_as() {
        let reasons = [Why::Tick, Why::Now, Why::Ack, Why::Repair];
        let send = |why| Sent { why, ..sent(100, 0, Some(1)) };
        let history = History { sent: reasons.map(send).to_vec(), ..history() };
        let flights = replay(&history, LIMITS).flights;
        let kinds: Vec<&str> =
            flights.chunks(FLIGHT_LEN).map(|flight| KINDS[usize::try_from(flight[3]).unwrap()]).collect();
        assert_eq!(kinds, ["tick", "now", "ride", "repair"]);
    }

    #[test]
    fn beyond_the_limit_those_that_infect_are_drawn_and_the_others_counted() {
        let mut sends: Vec<Sent> = (0..50).map(|t| sent(t, 0, Some(1))).collect();
        sends.push(sent(90, 1, Some(2)));
        let history = History {
            receipts: vec![receipt(1, 10, Some(0)), receipt(2, 95, Some(1))],
            sent: sends,
            ..history()
        };
        let replay = replay(&history, Limits { flights_max: 5, ..LIMITS });
        assert_eq!(replay.drawn, [5, 51]);
        assert_eq!(travels_of(&replay), [-1, -1, -1, 0, 5]);
        assert_eq!(&replay.rest[replay.rest.len() - 3..], [49, 46, 92]);
    }

    #[test]
    fn the_counter_of_what_is_not_drawn_has_a_bounded_number_of_steps() {
        let history =
            History { sent: (0..1_000).map(|t| sent(t, 0, Some(1))).collect(), ..history() };
        let replay = replay(&history, Limits { flights_max: 0, ..LIMITS });
        assert!(replay.rest.len() <= 3 * REST_STEPS_MAX);
        assert_eq!(&replay.rest[replay.rest.len() - 3..], [999, 1_000, 2_000]);
    }

    #[test]
    fn a_thesis_trace_has_no_flights_and_its_copies_are_counted() {
        let history = History {
            receipts: vec![receipt(1, 250, None)],
            sent: vec![sent(100, 0, None), sent(200, 0, None)],
            ..history()
        };
        let replay = replay(&history, LIMITS);
        assert_eq!(replay.receipts, [1, 250, -1, -1]);
        assert!(replay.flights.is_empty());
        assert_eq!(replay.rest, [100, 1, 2, 200, 2, 4]);
        assert_eq!(replay.flight_us, FLIGHT_US_DEFAULT);
    }

    #[test]
    fn what_left_after_the_end_is_not_part_of_the_replay() {
        let history =
            History { sent: vec![sent(1_000, 0, Some(1)), sent(1_001, 0, Some(1))], ..history() };
        assert_eq!(replay(&history, LIMITS).drawn, [1, 1]);
    }

    #[test]
    fn traces_stand_where_their_names_say_and_strangers_where_room_is() {
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let of = |list: &[&str]| places(&names(list), 4);
        assert_eq!(of(&["Node1", "Node4", "Node2"]), [0, 3, 1]);
        assert_eq!(of(&["left", "Node1", "right"]), [1, 0, 2]);
        assert_eq!(of(&["Node5", "Node0", "Node3", "Node3"]), [0, 1, 2, 3]);
        let list = names(&["left", "Node1"]);
        assert_eq!(other_names(&list, &places(&list, 4)), BTreeMap::from([(1, "left".into())]));
    }

    fn replay(history: &History, limits: Limits) -> Replay {
        let figures = run(Topology::Ring, 2, Mode::Matching, 0);
        Replay::new("matching".into(), &figures, 3, history, limits)
    }

    fn travels_of(replay: &Replay) -> Vec<i64> {
        replay.flights.chunks(FLIGHT_LEN).map(|flight| flight[FLIGHT_LEN - 1]).collect()
    }

    fn history() -> History {
        let names = (1..=4).map(|number| format!("Node{number}")).collect();
        History { names, creator: 0, receipts: vec![], sent: vec![] }
    }

    fn receipt(node: usize, us: u64, from: Option<usize>) -> Receipt {
        Receipt { t_ns: us * 1_000, node, from, hop: None }
    }

    fn sent(us: u64, from: usize, to: Option<usize>) -> Sent {
        Sent { t_ns: us * 1_000, from, to, why: Why::Tick, copies: 2 }
    }
}
