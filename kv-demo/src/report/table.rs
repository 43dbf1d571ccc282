//! The summary as a table for people.

use comfy_table::{Cell, CellAlignment, LineStyle, Row, Table, TableStyle};

use super::short::{range, short};
use super::{Barrier, Floor, Header, Results, delivery};
use crate::summary::GroupSummary;
use crate::topology;

/// Tables without frames: a rule below the header, blanks between columns.
pub(crate) const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A column: its name in two lines, and the blanks before it. Groups of columns stand apart.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) blanks: u16,
}

const COLUMNS: [Column; 12] = [
    Column { name: "\nmode", blanks: 2 },
    Column { name: "\nrate", blanks: 2 },
    Column { name: "convergence\nms ± 95 %", blanks: 2 },
    Column { name: "median\nms", blanks: 1 },
    Column { name: "ticks\nuntil", blanks: 2 },
    Column { name: "ticks\nwindow", blanks: 1 },
    Column { name: "at\nonce", blanks: 1 },
    Column { name: "piggy-\nback", blanks: 1 },
    Column { name: "data-\ngrams", blanks: 2 },
    Column { name: "\nbytes", blanks: 1 },
    Column { name: "\nRMR", blanks: 2 },
    Column { name: "last\nhop", blanks: 1 },
];

/// Two lines of names and a rule.
const HEADER_LINES: usize = 3;

const LEGEND: &str = "\
Convergence: creation to latest first receipt, mean over repeats ± 95 % confidence. Copies of the
rumour: sent by gossip ticks, until convergence and in the window; forwarded at once; riding on
probes. Datagrams and bytes carried them. RMR = copies in the window / (nodes reached − 1) − 1.
";

/// Groups that share a heading, in the order of their modes.
pub(crate) struct Section<'a> {
    /// The graph, its size and what else holds for all of them.
    pub(crate) title: String,
    pub(crate) groups: Vec<&'a GroupSummary>,
}

/// The summary by heading, in the order of the table.
pub(crate) fn sections(results: &Results) -> Vec<Section<'_>> {
    let heading = |group: &GroupSummary| {
        (group.topology, group.dim, group.nodes, group.runtime, group.preset)
    };
    let mut groups: Vec<&GroupSummary> = results.summary.iter().collect();
    groups.sort_by_key(|group| heading(group));
    groups
        .chunk_by(|a, b| heading(a) == heading(b))
        .map(|section| Section { title: title(section), groups: section.to_vec() })
        .collect()
}

/// The names of the columns; a `\n` where they break into two lines.
pub(crate) fn names() -> [&'static str; COLUMNS.len()] {
    COLUMNS.map(|column| column.name)
}

/// What stands below the table: what its columns mean, how nodes came up, the floors of the
/// machine, and which figures may be too low.
pub(crate) fn notes(results: &Results) -> Vec<String> {
    let mut notes = vec![LEGEND.to_owned(), delivery::LEGEND.to_owned()];
    notes.extend(delivery::below_floor(results));
    notes.extend(delivery::conditions(results));
    if !results.header.overrides.is_empty() {
        notes.push(format!("With {}.\n", results.header.overrides.join(" ")));
    }
    notes.extend(results.header.barrier.iter().map(barrier_line));
    let header = &results.header;
    notes.extend(header.world.iter().map(|world| format!("Virtual time: {world}.\n")));
    notes.extend(header.calibrate.iter().map(|floor| floor_line(floor, header)));
    notes.extend(header.hosts.iter().map(super::clocks::line));
    let groups = sections(results).into_iter().flat_map(|section| section.groups);
    notes.extend(delivery::unreached(results));
    notes.extend(groups.filter_map(incomplete_line));
    notes
}

/// Renders for a terminal of 100 columns; [`short`] keeps every cell narrow enough for it.
pub(super) fn render(results: &Results) -> String {
    let sections = sections(results);
    let groups = sections.iter().flat_map(|section| section.groups.iter().copied());
    let table = grid(&COLUMNS, groups.map(|group| cells(group).to_vec()).collect());
    let mut text = under_headings(&table, &sections);
    text.push('\n');
    text.push_str(&delivery::render(&sections));
    text.push('\n');
    text.extend(notes(results));
    text
}

/// A table with the title of each section above its rows.
pub(super) fn under_headings(table: &Table, sections: &[Section<'_>]) -> String {
    let mut lines = table.lines();
    // The grid knows no rows across all columns, so headings go between its lines afterwards.
    let mut out: Vec<String> = lines.by_ref().take(HEADER_LINES).collect();
    for section in sections {
        out.push(section.title.clone());
        out.extend(lines.by_ref().take(section.groups.len()));
    }
    out.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

pub(super) fn grid(columns: &[Column], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(columns.iter().map(|column| Cell::new(column.name)));
    table.add_rows(rows.into_iter().map(Row::from));
    for (index, column) in table.column_iter_mut().enumerate() {
        // The style puts a blank between columns; the first one is the heading's indentation.
        let blanks = columns[index].blanks;
        column.set_padding((if index == 0 { blanks } else { blanks - 1 }, 0));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A group's cells, in the order of [`names`].
pub(crate) fn cells(group: &GroupSummary) -> [String; COLUMNS.len()] {
    let convergence = match (group.mean, group.ci95) {
        (Some(mean), Some(ci95)) => format!("{} ± {}", short(mean), short(ci95)),
        (mean, _) => cell(mean),
    };
    [
        group.mode.to_string(),
        format!("{:.3}", group.convergence_rate),
        convergence,
        cell(group.median),
        cell(group.tick_copies_until_convergence),
        cell(group.tick_copies_in_window),
        cell(group.immediate_copies),
        cell(group.piggybacked_copies),
        cell(group.datagrams_in_window),
        cell(group.bytes_in_window),
        cell(group.rmr),
        cell(group.last_delivery_hop),
    ]
}

fn title(section: &[&GroupSummary]) -> String {
    let group = section[0];
    let repeats = range(section.iter().map(|group| group.repeats));
    let times = if repeats == "1" { "repeat" } else { "repeats" };
    format!(
        "{}, {repeats} {times}, {}, preset {}",
        topology::title(group.topology, group.nodes as usize),
        group.runtime,
        group.preset
    )
}

fn barrier_line(barrier: &Barrier) -> String {
    let Barrier { push_pull_ms, retransmit_mult, spacing_ms, warm_up_ms } = barrier;
    let warm_up = match warm_up_ms {
        0 => String::new(),
        ms => format!("The key was written {ms} ms after the first start or later.\n"),
    };
    format!(
        "Nodes started {spacing_ms} ms apart; until all saw all, push/pull every {push_pull_ms} ms \
         and factor {retransmit_mult}.\n{warm_up}"
    )
}

fn floor_line(floor: &Floor, header: &Header) -> String {
    let Floor { topology, nodes, median_ms, repeats, .. } = *floor;
    let network = topology::short_title(topology, nodes as usize);
    let median = short(median_ms);
    let place = match (header.world, header.hosts.is_empty()) {
        (Some(_), _) => return format!("Floor of {network} in this world: {median} ms.\n"),
        (None, true) => "on this machine",
        (None, false) => "on these hosts",
    };
    format!("Floor of {network} {place}: {median} ms (a bare flood, median of {repeats}).\n")
}

fn incomplete_line(group: &GroupSummary) -> Option<String> {
    let GroupSummary { topology, nodes, mode, repeats, incomplete_repeats, .. } = group;
    let network = topology::short_title(*topology, *nodes as usize);
    (*incomplete_repeats > 0).then(|| {
        format!(
            "Too low, perhaps: {network} {mode}, where {incomplete_repeats} of {repeats} \
             repeats lack traces (see `error`).\n"
        )
    })
}

/// A dash for a figure that no repeat has.
pub(super) fn cell(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), short)
}

#[cfg(test)]
mod tests {
    use super::super::tests::results;
    use crate::config::Mode;

    /// Columns of the terminal that the table is made for.
    const WIDTH_MAX: usize = 100;

    #[test]
    fn the_table_looks_like_this() {
        let table = results().to_table();
        let start = "
                          convergence median  ticks  ticks   at piggy-  data-             last
  mode              rate    ms ± 95 %     ms  until window once   back  grams bytes   RMR  hop
──────────────────────────────────────────────────────────────────────────────────────────────
bus: 4 nodes, 3 repeats, udp, preset lan
  thesis-classic   1.000   228 ± 43.5    228   2848  11.4k    0      1   5696  684k  3796    2
  thesis-matching  1.000   292 ± 55.9    292     80    320    0      1    160 19.2k   106    2
  classic          1.000   260 ± 49.7    260     72    291    0      1    145 17.5k    96    2
  matching         1.000  0.33 ± 0.06   0.33      0      0    7      1      7   630  1.33    2
hypercube of dimension 4: 16 nodes, 3 repeats, udp, preset lan
  thesis-classic   1.000  1068 ± 43.5   1068   2848  11.4k    0      1   5696  684k   758    4
";
        assert!(table.starts_with(&start[1..]), "{table}");
    }

    #[test]
    fn it_stays_readable_in_a_hundred_columns() {
        let mut results = results();
        for group in &mut results.summary {
            group.mode = Mode::ThesisMatching;
            let widest = Some(99_949.0);
            for figure in [
                &mut group.mean,
                &mut group.ci95,
                &mut group.median,
                &mut group.tick_copies_until_convergence,
                &mut group.tick_copies_in_window,
                &mut group.immediate_copies,
                &mut group.piggybacked_copies,
                &mut group.datagrams_in_window,
                &mut group.bytes_in_window,
                &mut group.rmr,
                &mut group.last_delivery_hop,
            ] {
                *figure = widest;
            }
            group.incomplete_repeats = 1_000;
        }
        for line in results.to_table().lines() {
            assert!(line.chars().count() <= WIDTH_MAX, "{line}");
        }
    }

    #[test]
    fn the_floor_stands_below_when_it_is_known() {
        let mut results = results();
        let line =
            "\nFloor of hypercube 4 on this machine: 0.42 ms (a bare flood, median of 20).\n";
        assert!(results.to_table().ends_with(line));
        results.header.calibrate.clear();
        assert!(!results.to_table().contains("Floor"));
    }

    #[test]
    fn what_replaced_the_presets_numbers_is_told() {
        let mut results = results();
        results.header.overrides = vec!["--prune".into(), "off".into()];
        assert!(results.to_table().contains("\nWith --prune off.\n"));
    }

    #[test]
    fn incomplete_repeats_are_pointed_out() {
        let mut results = results();
        results.summary[1].incomplete_repeats = 2;
        assert!(results.to_table().ends_with(
            "Too low, perhaps: bus of 4 thesis-matching, \
             where 2 of 3 repeats lack traces (see `error`).\n"
        ));
    }

    #[test]
    fn missing_figures_are_dashes() {
        let mut results = results();
        results.summary.truncate(1);
        let group = &mut results.summary[0];
        (group.mean, group.ci95, group.rmr, group.last_delivery_hop) = (None, None, None, None);
        let table = results.to_table();
        let row = table.lines().nth(4).unwrap();
        assert_eq!(row.matches('–').count(), 3, "{row}");
    }
}
