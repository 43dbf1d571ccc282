//! The outcome for people.

use comfy_table::{Cell, CellAlignment, Table};

use super::published::{Beside, NODES, RMR};
use super::{Cycle, Deaths, Outcome};
use crate::experiment::epidemic::{Printed, Verdict};
use crate::report::STYLE;

const CYCLES: [&str; 9] =
    ["broadcast", "reached", "payload", "RMR", "said", "datagrams", "last hop", "ms", ""];
const COSTS: [&str; 10] = ["paper", "payload", "", "", "said", "", "", "last hop", "", ""];
const DEATHS: [&str; 13] = [
    "dead", "repair", "linked", "reached", "", "own %", "any %", "paper", "", "thirds", "ms",
    "heals", "RMR",
];

const LEGEND: &str = "\
RMR: payloads over the nodes reached less one, less one; 0 is a tree. said: ids, wishes and prunes,
the paper's control messages; datagrams: all without payloads, digests among them. In brackets: the
paper's, not judged. Its nodes still join in the first cycles (a flood's RMR begins with 2.05 there,
too) and replace neighbours that died, which makes duplicates and heals; ours do neither.
";

const DEATHS_LEGEND: &str = "\
linked: those of the living that the graph of the living links with the sender; reached: those that
have its first message after the deaths; ok: all that are linked. own %: of the living. any %: the
same, on average over all the living as senders, by the sizes of the graph's parts. paper: with one
sender; ok: any % is within 10 points of it. thirds: the multiple of a third of own % that is
nearest to the paper's: the average of three runs if the senders of so many are linked with most of
the living and the others with hardly anybody. ms: until the last one has the first message. heals:
broadcasts until one reaches all that are linked, and the paper's cycles until reliability is what
it was.
";

pub(super) fn table(outcome: &Outcome) -> String {
    let Outcome { nodes, cycles, beside, deaths } = outcome;
    let mut text =
        format!("{nodes} nodes with five neighbours each, one sender, a hop is a millisecond\n\n");
    let published = if *nodes == NODES { &RMR[..] } else { &[] };
    let rows = cycles.iter().enumerate();
    let rows = rows.map(|(index, cycle)| cycle_cells(index, cycle, published.get(index)));
    push(&mut text, &CYCLES, rows.map(Vec::from));
    if !beside.is_empty() {
        text.push('\n');
        push(&mut text, &COSTS, beside.iter().map(|row| Vec::from(cost_cells(row))));
    }
    text.push('\n');
    text.push_str(LEGEND);
    if !deaths.is_empty() {
        text.push('\n');
        push(&mut text, &DEATHS, deaths.iter().map(|row| Vec::from(death_cells(row))));
        text.push('\n');
        text.push_str(DEATHS_LEGEND);
    }
    text
}

fn push(text: &mut String, names: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(names.iter().map(Cell::new));
    table.add_rows(rows.map(comfy_table::Row::from));
    for column in table.column_iter_mut() {
        column.set_padding((1, 0));
        column.set_cell_alignment(CellAlignment::Right);
    }
    text.extend(table.lines().map(|line| format!("{}\n", line.trim_end())));
}

fn cycle_cells(index: usize, cycle: &Cycle, published: Option<&Printed>) -> [String; CYCLES.len()] {
    let Cycle { reached, payload, said, control, last_hop, t_full_ms } = cycle;
    [
        (index + 1).to_string(),
        reached.to_string(),
        payload.to_string(),
        format!("{:.3}", cycle.rmr()),
        said.to_string(),
        control.to_string(),
        last_hop.to_string(),
        format!("{t_full_ms:.0}"),
        published.map_or(String::new(), |printed| format!("(RMR {})", printed.0)),
    ]
}

fn cost_cells(row: &Beside) -> [String; COSTS.len()] {
    let Beside { published, payload, payload_is, said, said_is, last_hop, last_hop_is } = row;
    let (least, most) = published.last_hop;
    [
        published.variant.to_owned(),
        payload.to_string(),
        published.payload.0.to_owned(),
        payload_is.word().to_owned(),
        said.to_string(),
        published.control.0.to_owned(),
        said_is.word().to_owned(),
        last_hop.to_string(),
        if least == most { least.to_string() } else { format!("{least}-{most}") },
        last_hop_is.word().to_owned(),
    ]
}

fn death_cells(row: &Deaths) -> [String; DEATHS.len()] {
    let Deaths { percent, repair, linked, first, second, published, .. } = row;
    let heals = row.heals().map_or("-".to_owned(), |broadcasts| broadcasts.to_string());
    let rmr = published.and_then(|published| published.rmr);
    [
        format!("{percent} %"),
        if *repair { "on" } else { "off" }.to_owned(),
        linked.to_string(),
        first.reached.to_string(),
        row.reached_is.word().to_owned(),
        format!("{:.1}", row.own_percent),
        format!("{:.1}", row.any_percent),
        published.map_or(String::new(), |row| row.one_sender.0.to_owned()),
        row.any_is.map_or("", Verdict::word).to_owned(),
        row.thirds
            .map_or(String::new(), |k| format!("{k}: {:.1}", row.own_percent * f64::from(k) / 3.0)),
        format!("{:.0}", first.t_full_ms),
        beside(&heals, published.map(|row| row.heals)),
        beside(&format!("{:.3}", second.rmr()), rmr.map(|printed: Printed| printed.0)),
    ]
}

/// A figure with the published one in brackets.
fn beside(ours: &str, published: Option<&str>) -> String {
    published.map_or(ours.to_owned(), |published| format!("{ours} ({published})"))
}
