//! A run in the form that the page's script plays: whole numbers in flat lists, times in
//! microseconds since the rumour's creation, nodes by their place in the plan.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Shown;
use super::cuts::{self, Cut, cuts};
use super::links::{self, Used};
use crate::config::Mode;
use crate::metrics::{Down, History, Overlay, Receipt, Sent, Told};
use crate::trace::{CopyKind, Saying};

/// Steps of the counter of copies that are not drawn.
const REST_STEPS_MAX: usize = 256;
/// Outages that are drawn, at most; the earliest are.
const OUTAGES_MAX: usize = 1_024;
/// So long after the last receipt the replay goes on if something is still said: ids wait for a while
/// for others to go along.
const WORDS_AFTER_US: i64 = 100_000;
/// The names of what flies, for the style sheet and the script, which get them by their place here:
/// copies as they are counted, then what is said without one.
pub(super) const KINDS: [&str; 7] = ["tick", "now", "ride", "repair", "ids", "wish", "control"];
/// Numbers of a receipt in [`Replay::receipts`].
const RECEIPT_LEN: usize = 4;
/// Numbers of a flight in [`Replay::flights`].
#[cfg(test)]
const FLIGHT_LEN: usize = 6;
/// Where a number is not known.
const UNKNOWN: i64 = -1;
/// In the place of a flight's time: it arrived nowhere.
const LOST: i64 = -2;
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
    /// Number of the message among those of its run that were measured, and how many there are.
    message: [usize; 2],
    /// By the node's index; empty where it is `Node` and the number.
    names: BTreeMap<usize, String>,
    creator: usize,
    /// For each: node, time, sender, hop; the earliest first.
    receipts: Vec<i64>,
    /// For each: time since the flight before, sender, receiver, place in [`KINDS`], copies, and how
    /// long it flew if it infected its receiver, [`LOST`] if it cannot have arrived, else
    /// [`UNKNOWN`]. What is said has no copies.
    flights: Vec<i64>,
    /// How long a flight takes of which that is not known.
    flight_us: i64,
    /// Of the datagrams that are not drawn: a time, and how many datagrams and copies had left by
    /// then.
    rest: Vec<u64>,
    /// Datagrams with copies that are drawn, and all, until the end of the replay.
    drawn: [usize; 2],
    /// The same of what was said.
    told: [usize; 2],
    /// Links by what they did; none where links are not told apart.
    links: Used,
    /// For each: a node's place, since when it was down, until when, else [`UNKNOWN`].
    outages: Vec<i64>,
    cuts: Vec<Cut>,
    /// Who was not reached, in words.
    unreached: Option<String>,
}

/// Of how many a replay is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Among {
    pub(super) repeats: usize,
    /// Measured messages of each repeat.
    pub(super) messages: usize,
}

/// What limits a replay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Where it ends, in microseconds.
    pub(super) end_us: i64,
    /// How many datagrams are drawn; those that infect are, whatever their number.
    pub(super) flights_max: usize,
    /// How many links are told apart.
    pub(super) links_max: usize,
}

impl Replay {
    pub(super) fn new(title: String, shown: &Shown<'_>, among: Among, limits: Limits) -> Self {
        let Shown { figures, history, graph } = shown;
        let places = places(&history.names, figures.nodes as usize);
        let Limits { end_us, flights_max, links_max } = limits;
        let sent: Vec<Sent> =
            history.sent.iter().filter(|sent| micros(sent.t_ns) <= end_us).copied().collect();
        let told: Vec<Told> =
            history.told.iter().filter(|told| micros(told.t_ns) <= end_us).copied().collect();
        let travels = travels(&sent, &history.receipts);
        let (drawn, rest) = choose(&sent, &travels, flights_max);
        let flight_us = median(travels.values().copied()).unwrap_or(FLIGHT_US_DEFAULT).max(1);
        let fates = Fates { history, places: &places, travels: &travels, flight_us };
        let mut flights = fates.of_copies(&sent, &drawn);
        let said = fates.of_words(&told, flights_max.saturating_sub(flights.len()));
        let told = [said.len(), told.len()];
        flights.extend(said);
        let follows_links = figures.overlay == Overlay::Static;
        let tells_links = follows_links && figures.mode == Mode::Matching;
        let creator = places[history.creator];
        Self {
            title,
            mode: figures.mode.name(),
            repeat: [figures.repeat as usize + 1, among.repeats],
            message: [figures.delivery.message as usize + 1, among.messages],
            names: other_names(&history.names, &places),
            creator,
            receipts: receipts(&history.receipts, &places),
            flights: packed(flights),
            flight_us,
            rest: rest_steps(&sent, &rest),
            drawn: [drawn.len(), sent.len()],
            told,
            links: if tells_links {
                links::used(history, &places, &graph.edges(), links_max)
            } else {
                Used::default()
            },
            outages: outages(&history.outages, end_us),
            cuts: if follows_links {
                cuts(graph, creator, &history.outages, end_us)
            } else {
                Vec::new()
            },
            unreached: figures.delivery.unreached.clone(),
        }
    }
}

/// When something happened last in these runs, in microseconds: a receipt, or what was said soon after
/// it. `None` when nobody received anything.
pub(super) fn last_us<'a>(histories: impl Iterator<Item = &'a History>) -> Option<i64> {
    let last = |history: &History| {
        let receipt = micros(history.receipts.last()?.t_ns);
        let words = history.told.iter().map(|told| micros(told.t_ns));
        let soon = words.take_while(|t| *t <= receipt + WORDS_AFTER_US).last();
        Some(soon.map_or(receipt, |soon| soon.max(receipt)))
    };
    histories.filter_map(last).max()
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

/// Something that flies from one place to another.
#[derive(Clone, Copy, Debug)]
struct Flight {
    t: i64,
    from: usize,
    to: usize,
    /// The place in [`KINDS`].
    kind: i64,
    copies: u64,
    travel: i64,
}

/// What became of datagrams.
struct Fates<'a> {
    history: &'a History,
    places: &'a [usize],
    travels: &'a BTreeMap<usize, i64>,
    flight_us: i64,
}

impl Fates<'_> {
    fn of_copies(&self, sent: &[Sent], drawn: &[usize]) -> Vec<Flight> {
        let mut has_it = vec![false; self.places.len()];
        has_it[self.history.creator] = true;
        self.history.receipts.iter().for_each(|receipt| has_it[receipt.node] = true);
        let flight = |index: &usize| {
            let Sent { t_ns, from, to, why, copies } = sent[*index];
            let (t, to) = (micros(t_ns), to?);
            let travel = match self.travels.get(index) {
                Some(travel) => *travel,
                // Whoever never received is one whom no copy reached.
                None if !has_it[to] || self.is_down(to, t) => LOST,
                None => UNKNOWN,
            };
            let (from, to) = (self.places[from], self.places[to]);
            Some(Flight { t, from, to, kind: kind(why.kind()), copies, travel })
        };
        drawn.iter().filter_map(flight).collect()
    }

    /// The earliest ones.
    fn of_words(&self, told: &[Told], max: usize) -> Vec<Flight> {
        let flight = |told: &Told| {
            let (t, to) = (micros(told.t_ns), told.to?);
            let travel = if self.is_down(to, t) { LOST } else { UNKNOWN };
            let (from, to) = (self.places[told.from], self.places[to]);
            Some(Flight { t, from, to, kind: kind_of_word(told.saying), copies: 0, travel })
        };
        told.iter().filter_map(flight).take(max).collect()
    }

    /// Whether a node is down when something reaches it that left at `t`.
    fn is_down(&self, node: usize, t: i64) -> bool {
        let (place, at) = (self.places[node], t.saturating_add(self.flight_us));
        self.history.outages.iter().any(|down| down.place == place && cuts::is_down(down, at))
    }
}

fn packed(mut flights: Vec<Flight>) -> Vec<i64> {
    flights.sort_by_key(|flight| flight.t);
    let mut numbers = Vec::new();
    let mut before = 0;
    for Flight { t, from, to, kind, copies, travel } in flights {
        let copies = i64::try_from(copies).unwrap_or(i64::MAX);
        numbers.extend([t - before, number(from), number(to), kind, copies, travel]);
        before = t;
    }
    numbers
}

fn outages(outages: &[Down], end_us: i64) -> Vec<i64> {
    let since = |down: &Down| cuts::micros(down.from_ns);
    let drawn = outages.iter().filter(|down| since(down) <= end_us).take(OUTAGES_MAX);
    let numbers = drawn.flat_map(|down| {
        let until = down.until_ns.map_or(UNKNOWN, cuts::micros);
        [number(down.place), since(down), until]
    });
    numbers.collect()
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

/// The place in [`KINDS`]: ids and wishes repair, the rest keeps links.
const fn kind_of_word(saying: Saying) -> i64 {
    match saying {
        Saying::IHave => 4,
        Saying::Graft | Saying::Pull => 5,
        Saying::Swap | Saying::IDontWant | Saying::Prune => 6,
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
    use crate::report::tests::run;
    use crate::topology::{Graph, Topology};
    use crate::trace::Why;

    const LIMITS: Limits = Limits { end_us: 1_000, flights_max: 100, links_max: 100 };

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
        let kinds: Vec<&str> = flights
            .chunks(FLIGHT_LEN)
            .map(|flight| KINDS[usize::try_from(flight[3]).unwrap()])
            .collect();
        assert_eq!(kinds, ["tick", "now", "ride", "repair"]);
    }

    #[test]
    fn what_is_said_flies_without_copies_ids_apart_from_wishes_and_from_the_rest() {
        let sayings = [
            (Saying::IHave, "ids"),
            (Saying::Graft, "wish"),
            (Saying::Pull, "wish"),
            (Saying::Swap, "control"),
            (Saying::IDontWant, "control"),
            (Saying::Prune, "control"),
        ];
        let told = |(saying, _): &(Saying, &str)| told(100, 0, Some(1), *saying);
        let told = sayings.iter().map(told).chain([self::told(1_001, 0, Some(1), Saying::Pull)]);
        let history =
            History { sent: vec![sent(200, 0, Some(1))], told: told.collect(), ..history() };
        let replay = replay(&history, LIMITS);
        let kinds = replay
            .flights
            .chunks(FLIGHT_LEN)
            .map(|flight| (KINDS[usize::try_from(flight[3]).unwrap()], flight[4]));
        let expected = sayings.iter().map(|(_, kind)| (*kind, 0)).chain([("tick", 2)]);
        assert!(kinds.eq(expected), "{:?}", replay.flights);
        assert_eq!((replay.drawn, replay.told), ([1, 1], [6, 6]), "what comes later is left out");
    }

    #[test]
    fn copies_have_room_before_what_is_said() {
        let history = History {
            sent: vec![sent(300, 0, Some(1)), sent(400, 0, Some(1))],
            told: (0..9).map(|t| told(t, 1, Some(0), Saying::IHave)).collect(),
            ..history()
        };
        let replay = replay(&history, Limits { flights_max: 5, ..LIMITS });
        assert_eq!((replay.drawn, replay.told), ([2, 2], [3, 9]));
    }

    #[test]
    fn a_copy_is_lost_on_who_is_down_and_on_who_never_received() {
        let history = History {
            receipts: vec![receipt(1, 250, Some(0)), receipt(3, 260, Some(0))],
            sent: vec![
                sent(50, 0, Some(2)),
                sent(100, 0, Some(1)),
                sent(110, 0, Some(3)),
                sent(300, 3, Some(1)),
                sent(600, 3, Some(1)),
                sent(900, 3, Some(0)),
            ],
            told: vec![told(310, 3, Some(1), Saying::Graft)],
            outages: vec![Down { place: 1, from_ns: 280_000, until_ns: Some(650_000) }],
            ..history()
        };
        // The two that infect flew 150 each, and so does what tells nothing of its flight.
        assert_eq!(travels_of(&replay(&history, LIMITS)), [-2, 150, 150, -2, -2, -1, -1]);
    }

    #[test]
    fn outages_are_told_until_the_end_and_cut_where_rumours_follow_links() {
        let down = |place, from_us: i64, until_us: Option<i64>| Down {
            place,
            from_ns: from_us * 1_000,
            until_ns: until_us.map(|us| us * 1_000),
        };
        let outages = vec![down(1, -7, None), down(3, 500, Some(9_000)), down(2, 1_001, None)];
        let history = History { outages, ..history() };
        let along = replay(&history, LIMITS);
        assert_eq!(along.outages, [1, -7, -1, 3, 500, 9_000]);
        assert_eq!(along.cuts, [Cut { at: 500, parts: 2, off: vec![2, 2], by: vec![1, 3] }]);
        let anywhere = replay_in(Mode::Classic, &history, LIMITS);
        assert_eq!((anywhere.outages, anywhere.cuts), (along.outages, vec![]));
    }

    #[test]
    fn links_are_told_apart_where_there_are_trees() {
        let history = History { sent: vec![sent(5, 0, Some(1))], ..history() };
        assert_eq!(replay(&history, LIMITS).links.numbers, [0, 1, 0]);
        assert_eq!(replay_in(Mode::ThesisMatching, &history, LIMITS).links, Used::default());
        let none = replay(&history, Limits { links_max: 0, ..LIMITS }).links;
        assert_eq!(none, Used { numbers: vec![], all: 1 });
    }

    #[test]
    fn the_replay_goes_on_for_what_is_said_soon_after_the_last_receipt() {
        let history = History {
            receipts: vec![receipt(1, 250, Some(0))],
            told: [20_000, 99_000, 120_000].map(|t| told(t, 0, Some(1), Saying::IHave)).to_vec(),
            ..history()
        };
        let quiet = History { told: vec![], ..history.clone() };
        assert_eq!(last_us([&quiet].into_iter()), Some(250));
        assert_eq!(last_us([&quiet, &history].into_iter()), Some(99_000));
        let nobody = History { receipts: vec![], ..history };
        assert_eq!(last_us([&nobody].into_iter()), None);
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
        replay_in(Mode::Matching, history, limits)
    }

    fn replay_in(mode: Mode, history: &History, limits: Limits) -> Replay {
        let figures = run(Topology::Ring, 2, mode, 0);
        let graph = Graph::of(Topology::Ring, 4, 0).unwrap();
        let shown = Shown { figures: &figures, history: history.clone(), graph };
        Replay::new(mode.to_string(), &shown, Among { repeats: 3, messages: 1 }, limits)
    }

    fn travels_of(replay: &Replay) -> Vec<i64> {
        replay.flights.chunks(FLIGHT_LEN).map(|flight| flight[FLIGHT_LEN - 1]).collect()
    }

    fn history() -> History {
        let names = (1..=4).map(|number| format!("Node{number}")).collect();
        let (receipts, sent, told, outages) = (vec![], vec![], vec![], vec![]);
        History { names, creator: 0, receipts, sent, told, outages }
    }

    fn receipt(node: usize, us: u64, from: Option<usize>) -> Receipt {
        Receipt { t_ns: us * 1_000, node, from, hop: None }
    }

    fn told(us: u64, from: usize, to: Option<usize>, saying: Saying) -> Told {
        Told { t_ns: us * 1_000, from, to, saying }
    }

    fn sent(us: u64, from: usize, to: Option<usize>) -> Sent {
        Sent { t_ns: us * 1_000, from, to, why: Why::Tick, copies: 2 }
    }
}
