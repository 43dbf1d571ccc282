//! The findings as text.

use comfy_table::{Cell, CellAlignment, Table};
use csv::Writer;

use super::{Findings, Partner, Printed, Published, Row, Verdict};
use crate::report::STYLE;

const NAMES: [&str; 11] =
    ["k", "s", "±", "published", "", "m", "published", "", "t_ave", "t_last", "e^-m"];

/// What the rules mean that no published table has.
const PARTNERS: &str = "\
Partners, where not any: not-back, never the site that told it first; unsent, nor one that it told
already. A site with nobody left loses interest. e^-m is the law for any only.
";

const LEGEND: &str = "\
s, residue: the share of the sites that were never told, ± 95 % confidence. m, traffic: copies
sent per site. t_ave, t_last: cycles until a site, and the last one, was told; published ones in
brackets, not judged. e^-m: the residue of any push. ok: within 10 % or half a unit of the last
published digit; OUT: not within; few: fewer than 100 sites missed in all runs, too few to know
s to 10 %.
";

pub(super) fn table(findings: &Findings) -> String {
    let mut text = String::new();
    let is_any = |row: &Row| row.partner == Partner::Any.word();
    let policy = |row: &Row| [row.exchange, row.interest, row.stop, row.partner];
    for rows in findings.rows.chunk_by(|a, b| policy(a) == policy(b)) {
        let [exchange, interest, stop, partner] = policy(&rows[0]);
        text.push_str(&format!("{exchange}, {interest}, {stop}"));
        if !is_any(&rows[0]) {
            text.push_str(&format!(", partner {partner}"));
        }
        text.push_str(&rows[0].table.map(|name| format!(" (Demers {name})")).unwrap_or_default());
        text.push('\n');
        text.extend(grid(rows).lines().map(|line| format!("{}\n", line.trim_end())));
        for (row, runs) in rows.iter().filter_map(|row| Some((row, row.runs_to_judge?))) {
            text.push_str(&format!("few: k = {} is judged with --runs {runs}\n", row.k));
        }
        text.push('\n');
    }
    text.push_str(LEGEND);
    if !findings.rows.iter().all(is_any) {
        text.push_str(PARTNERS);
    }
    let Findings { sites, runs, seed, .. } = findings;
    text.push_str(&format!("{sites} sites, {runs} runs of each, seed {seed}.\n"));
    text
}

fn grid(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(NAMES.map(Cell::new));
    table.add_rows(rows.iter().map(|row| comfy_table::Row::from(cells(row).to_vec())));
    for column in table.column_iter_mut() {
        column.set_padding((1, 0));
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(row: &Row) -> [String; NAMES.len()] {
    let published = |figure: fn(&Published) -> Printed| row.published.as_ref().map(figure);
    let text = |printed: Option<Printed>| printed.map_or(String::new(), |it| it.0.to_owned());
    let cycles = |found: Option<f64>, printed: Option<Printed>| {
        let found = found.map_or("-".to_owned(), |cycles| format!("{cycles:.1}"));
        printed.map_or(found.clone(), |printed| format!("{found} ({})", printed.0))
    };
    [
        row.k.to_string(),
        share(row.residue),
        row.residue_ci95.map_or("-".to_owned(), share),
        text(published(|row| row.residue)),
        word(row.residue_is).to_owned(),
        format!("{:.3}", row.traffic),
        text(published(|row| row.traffic)),
        word(row.traffic_is).to_owned(),
        cycles(row.t_ave, published(|row| row.t_ave)),
        cycles(row.t_last, published(|row| row.t_last)),
        share(row.push_law),
    ]
}

/// A share in three digits, however small it is.
fn share(share: f64) -> String {
    match share {
        0.0 => "0".to_owned(),
        0.1.. => format!("{share:.3}"),
        0.01.. => format!("{share:.4}"),
        0.001.. => format!("{share:.5}"),
        _ => format!("{share:.1e}"),
    }
}

fn word(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("", Verdict::word)
}

pub(super) fn json(findings: &Findings) -> String {
    let text = serde_json::to_string_pretty(findings);
    text.expect("findings have no keys that JSON cannot hold") + "\n"
}

/// A field of a row: its name, and what its cell holds.
type Column = (&'static str, fn(&Row) -> String);

const COLUMNS: [Column; 20] = [
    ("exchange", |row| row.exchange.to_owned()),
    ("interest", |row| row.interest.to_owned()),
    ("stop", |row| row.stop.to_owned()),
    ("partner", |row| row.partner.to_owned()),
    ("k", |row| row.k.to_string()),
    ("residue", |row| row.residue.to_string()),
    ("residue_ci95", |row| cell(row.residue_ci95)),
    ("missed", |row| row.missed.to_string()),
    ("traffic", |row| row.traffic.to_string()),
    ("traffic_ci95", |row| cell(row.traffic_ci95)),
    ("t_ave", |row| cell(row.t_ave)),
    ("t_last", |row| cell(row.t_last)),
    ("push_law", |row| row.push_law.to_string()),
    ("published_residue", |row| cell(row.published.map(|row| row.residue.0))),
    ("published_traffic", |row| cell(row.published.map(|row| row.traffic.0))),
    ("published_t_ave", |row| cell(row.published.map(|row| row.t_ave.0))),
    ("published_t_last", |row| cell(row.published.map(|row| row.t_last.0))),
    ("residue_is", |row| word(row.residue_is).to_owned()),
    ("traffic_is", |row| word(row.traffic_is).to_owned()),
    ("runs_to_judge", |row| cell(row.runs_to_judge)),
];

pub(super) fn csv(findings: &Findings) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    let write = "writing records of one length to memory cannot fail";
    writer.write_record(COLUMNS.map(|(name, _)| name)).expect(write);
    for row in &findings.rows {
        writer.write_record(COLUMNS.map(|(_, cell)| cell(row))).expect(write);
    }
    String::from_utf8(writer.into_inner().expect(write)).expect("cells are text")
}

/// Empty for a figure that there is not.
fn cell(figure: Option<impl ToString>) -> String {
    figure.map(|figure| figure.to_string()).unwrap_or_default()
}
