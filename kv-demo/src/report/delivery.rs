//! The second table: whether messages got to everybody who lives, when, and at what cost. And what is
//! said about those that did not.

use super::table::{Column, Section, cell, grid, under_headings};
use super::{Results, sections};
use crate::config::Mode;
use crate::experiment::WorldPlan;
use crate::metrics::RunFigures;
use crate::summary::GroupSummary;
use crate::topology;
use rumormill_sim::Ratio;

const COLUMNS: [Column; 13] = [
    Column { name: "\nmode", blanks: 2 },
    Column { name: "relia-\nbility", blanks: 2 },
    Column { name: "t50\nms", blanks: 2 },
    Column { name: "t99\nms", blanks: 1 },
    Column { name: "full\nms", blanks: 1 },
    Column { name: "floor\nms", blanks: 1 },
    Column { name: "str-\netch", blanks: 1 },
    Column { name: "RMR\nlast", blanks: 2 },
    Column { name: "re-\npair", blanks: 1 },
    Column { name: "out\nmax", blanks: 1 },
    Column { name: "ctrl\nmsgs", blanks: 2 },
    Column { name: "ctrl\nbytes", blanks: 1 },
    Column { name: "\nflaps", blanks: 1 },
];

pub(super) const LEGEND: &str = "\
Reliability: of the nodes that lived from creation to horizon, the share reached; t50, t99, full:
when half, 99 % and all were; stretch = full / floor, the time of a bare flood along the links.
RMR of the last tenth of the messages; copies that repaired; most copies that one node sent of one
message. Per message: control messages and their bytes. Flaps: changes of links per node and minute.
";

/// Groups whose missed messages are told one by one, and how many of each.
const TOLD_MAX: usize = 3;

/// The table.
pub(super) fn render(sections: &[Section<'_>]) -> String {
    let groups = sections.iter().flat_map(|section| section.groups.iter().copied());
    let rows: Vec<Vec<String>> = groups.map(cells).collect();
    under_headings(&grid(&COLUMNS, rows), sections)
}

fn cells(group: &GroupSummary) -> Vec<String> {
    let delivery = &group.delivery;
    let count = |count: Option<u64>| cell(count.map(|count| count as f64));
    vec![
        group.mode.to_string(),
        share(delivery.reliability),
        cell(delivery.t50_ms),
        cell(delivery.t99_ms),
        cell(delivery.t_full_ms),
        cell(delivery.floor_ms),
        cell(delivery.stretch),
        cell(delivery.rmr_last_decile),
        cell(delivery.repair_copies),
        count(delivery.out_degree_max),
        cell(delivery.control_messages),
        cell(delivery.control_bytes),
        cell(delivery.flaps),
    ]
}

/// A share with four digits that is 1 only if nothing is missing.
fn share(share: f64) -> String {
    let shown = format!("{share:.4}");
    if share < 1.0 && shown == "1.0000" { "0.9999".to_owned() } else { shown }
}

/// Which of the living were not reached, a line for some messages of each group.
pub(super) fn unreached(results: &Results) -> Vec<String> {
    let groups = sections(results).into_iter().flat_map(|section| section.groups);
    groups.flat_map(|group| unreached_of(group, results)).collect()
}

fn unreached_of(group: &GroupSummary, results: &Results) -> Vec<String> {
    let is_missed = |run: &&RunFigures| group.sums_up(run) && run.delivery.unreached.is_some();
    let missed: Vec<&RunFigures> = results.runs.iter().filter(is_missed).collect();
    let mut lines: Vec<String> = missed.iter().take(TOLD_MAX).map(|run| line(run)).collect();
    if let Some(more) = missed.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        let network = network(group);
        lines.push(format!("Nor did {more} more messages of {network} reach all who lived.\n"));
    }
    lines.extend(bridged_of(group, results));
    lines
}

/// The first message of a group that reached parts which the links alone would not have.
fn bridged_of(group: &GroupSummary, results: &Results) -> Option<String> {
    let of_group = results.runs.iter().filter(|run| group.sums_up(run));
    let mut bridged = of_group.filter_map(|run| Some((run, run.delivery.bridged.as_deref()?)));
    let (RunFigures { repeat, delivery, .. }, what) = bridged.next()?;
    let (network, message) = (network(group), delivery.message);
    let others = bridged.count();
    Some(format!(
        "The list has fallen apart, and floor or repair reached all: {network}, repeat {repeat}, message \
         {message}: {what}; {others} more messages so.\n"
    ))
}

fn line(run: &RunFigures) -> String {
    let RunFigures { topology, nodes, mode, repeat, delivery, .. } = run;
    let network = topology::short_title(*topology, *nodes as usize);
    let what = delivery.unreached.as_deref().unwrap_or_default();
    let (reliability, message) = (share(delivery.reliability), delivery.message);
    format!(
        "Not all reached: {network} {mode}, repeat {repeat}, message {message} \
         ({reliability} of {}): {what}.\n",
        delivery.live
    )
}

fn network(group: &GroupSummary) -> String {
    let GroupSummary { topology, nodes, mode, .. } = group;
    format!("{} {mode}", topology::short_title(*topology, *nodes as usize))
}

/// What was asked of the clusters, as far as it is not the least: part of the notes.
pub(super) fn conditions(results: &Results) -> Option<String> {
    let load = results.header.conditions.map(|conditions| {
        let text = conditions.to_string();
        let is_for_all = results.summary.iter().all(|group| group.mode == Mode::Matching);
        let warm = format!("--warm {}", conditions.warm);
        if is_for_all { text } else { text.replace(&warm, &format!("{warm} (in mode matching)")) }
    });
    let losses = results.header.world.map(WorldPlan::loss).filter(|loss| *loss > Ratio::ZERO);
    let losses = losses.map(|loss| format!("--loss {loss}"));
    let words: Vec<String> = load.into_iter().chain(losses).collect();
    (!words.is_empty()).then(|| format!("Load and faults: {}.\n", words.join(" ")))
}

/// How something can be faster than the floor, where anything is: part of the notes.
pub(super) fn below_floor(results: &Results) -> Option<String> {
    let mut stretches = results.summary.iter().filter_map(|group| group.delivery.stretch);
    let text = "\
Stretch below 1: the floor is along the links of the graph; the mode has shorter ways, to members
drawn at random or along links that it makes itself.
";
    stretches.any(|stretch| stretch < 1.0).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::results;
    use super::*;
    use crate::experiment::{Conditions, Delay};

    #[test]
    fn the_table_looks_like_this() {
        let table = results().to_table();
        let start = "
                   relia-   t50  t99 full floor str-   RMR  re-  out  ctrl  ctrl
  mode             bility    ms   ms   ms    ms etch  last pair  max  msgs bytes flaps
──────────────────────────────────────────────────────────────────────────────────────
bus: 4 nodes, 3 repeats, udp, preset lan
  thesis-classic   1.0000  87.5  228  228     –    –  3796    0 1428    12   480  0.50
";
        assert!(table.contains(start), "{table}");
    }

    #[test]
    fn a_share_is_one_only_if_nobody_is_missing() {
        for (value, text) in
            [(1.0, "1.0000"), (0.999_99, "0.9999"), (0.5, "0.5000"), (0.0, "0.0000")]
        {
            assert_eq!(share(value), text);
        }
    }

    #[test]
    fn parts_that_the_links_alone_would_not_reach_are_named() {
        let mut results = results();
        let is_of = |run: &&mut RunFigures| run.mode == Mode::Matching && run.dim == 4;
        for run in results.runs.iter_mut().filter(is_of) {
            run.delivery.bridged = Some("of 2 parts, cut off: Node13..Node16 (4)".into());
        }
        let lines = unreached(&results);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("message 0: of 2 parts, cut off: Node13..Node16 (4); "),
            "{lines:?}"
        );
    }

    #[test]
    fn losses_are_faults_too() {
        let mut results = results();
        assert_eq!(conditions(&results), None);
        let world = |loss_ppm| Some(WorldPlan { seed: 1, delay: Delay::None, loss_ppm });
        results.header.world = world(0);
        assert_eq!(conditions(&results), None, "none of them is none");
        results.header.world = world(50_000);
        assert_eq!(conditions(&results).unwrap(), "Load and faults: --loss 5%.\n");
        results.header.conditions = Some(Conditions { warm: 20, ..Conditions::default() });
        assert_eq!(
            conditions(&results).unwrap(),
            "Load and faults: --warm 20 (in mode matching) --loss 5%.\n"
        );
    }

    #[test]
    fn a_stretch_below_1_is_explained_where_there_is_one() {
        let mut results = results();
        let mut table = |stretch| {
            results.summary[0].delivery.stretch = Some(stretch);
            results.to_table()
        };
        assert!(!table(1.0).contains("below 1"));
        let told = table(0.25);
        assert!(told.contains("\nStretch below 1: "), "{told}");
        assert!(told.lines().all(|line| line.chars().count() <= 100), "{told}");
    }

    #[test]
    fn who_was_not_reached_is_told_and_many_are_counted() {
        let mut results = results();
        assert!(unreached(&results).is_empty());
        let matching: Vec<&mut RunFigures> = results
            .runs
            .iter_mut()
            .filter(|run| run.mode == Mode::Matching && run.dim == 4)
            .collect();
        for run in matching {
            run.delivery.reliability = 0.75;
            run.delivery.unreached = Some("of 2 parts, cut off: Node13..Node16 (4)".into());
        }
        let lines = unreached(&results);
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            "Not all reached: hypercube 4 matching, repeat 0, message 0 (0.7500 of 16): \
             of 2 parts, cut off: Node13..Node16 (4).\n"
        );
        let mut fourth = results.runs.last().unwrap().clone();
        fourth.delivery.message = 1;
        results.runs.push(fourth);
        let lines = unreached(&results);
        let last = "Nor did 1 more messages of hypercube 4 matching reach all who lived.\n";
        assert_eq!(lines.last().unwrap(), last);
    }
}
