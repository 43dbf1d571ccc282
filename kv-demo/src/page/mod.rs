//! A page to look at: one file that opens from disk and loads nothing.
//!
//! It draws each topology of an experiment, replays a run of each mode on it, all on one clock, and
//! has the table and the plots below. This module is pure: results and histories go in, text comes
//! out, and the same ones give the same bytes. `page.html`, `page.css` and `page.js` are put into it
//! as they are; the script gets its data as JSON in an element of its own.
//!
//! Of the repeats of a mode the page shows the run of [`median_run`], which is the one that the
//! plots show too; where nodes are killed, the median of the first messages after that, for later ones
//! find everything mended. What a page can hold is limited, and what a limit left out is told on the page.

mod below;
mod cuts;
mod layout;
mod links;
mod replay;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::metrics::{History, Run, RunFigures};
use crate::plot::{PlotError, SPREAD_LINEAR_MAX};
use crate::report::Results;
use crate::report::table::{Section, sections};
use crate::summary::{GroupSummary, median_run};
use crate::topology::{Graph, Topology};

use layout::Layout;
use links::USES;
use replay::{Among, KINDS, Limits, Replay};

/// Nodes of a network that is drawn, at most: more would not be told apart on a screen. Of a larger
/// one the page has the table and the plots.
pub const NODES_MAX: u32 = 1_024;

/// Nodes of all runs that are replayed, at most, in the order of the table. It bounds the page, as
/// [`FLIGHTS_MAX`] does.
pub const NODES_TOTAL_MAX: u32 = 16_384;

/// Datagrams that are drawn, at most, shared evenly by the runs. Those that infected a node are
/// always drawn and count in; then the earliest are.
pub const FLIGHTS_MAX: usize = 60_000;

/// Links that are told apart by what they did, at most, shared evenly by the runs. Those that carried
/// payloads come first.
pub const LINKS_MAX: usize = 40_000;

/// Bytes of a page without its plots, at most: what the limits above come to, with some room.
pub const LEN_MAX: usize = 3_500_000;

/// The replay ends this much after the last receipt, so that the last frame can be seen.
const END_SHARE: f64 = 1.03;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A run that is replayed, and what happened in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown<'a> {
    /// Which run.
    pub figures: &'a RunFigures,
    /// What happened.
    pub history: History,
    /// Its graph.
    pub graph: Graph,
}

/// The runs that a page of `results` replays, in the order of the table.
#[must_use]
pub fn runs_to_show(results: &Results) -> Vec<&RunFigures> {
    let mut nodes_left = NODES_TOTAL_MAX;
    let groups = sections(results).into_iter().flat_map(|section| section.groups);
    let mut runs = Vec::new();
    for group in groups.filter(|group| is_drawable(group)) {
        // The first group that does not fit ends it: a later, smaller one would look like a choice.
        let Some(left) = nodes_left.checked_sub(group.nodes) else { break };
        nodes_left = left;
        runs.extend(median_run(candidates(group, results)));
    }
    runs
}

/// Whether `figures` are those of `run`.
#[must_use]
pub fn is_of(figures: &RunFigures, run: &Run) -> bool {
    let Run { topology, dim, nodes, mode, overlay, repeat, runtime, preset, .. } = *run;
    let of_figures = (figures.topology, figures.dim, figures.nodes, figures.mode, figures.overlay);
    of_figures == (topology, dim, nodes, mode, overlay)
        && (figures.repeat, figures.runtime, figures.preset) == (repeat, runtime, preset)
}

/// Writes the page. Groups of `results` without a run in `shown` are in the table and the plots only.
///
/// # Errors
///
/// [`PlotError`], as for the plots as files.
pub fn render(results: &Results, shown: &[Shown<'_>]) -> Result<String, PlotError> {
    let networks: Vec<Network> = sections(results)
        .iter()
        .filter_map(|section| Network::of(section, results, shown))
        .collect();
    let film = Film { networks, log_above: SPREAD_LINEAR_MAX, kinds: KINDS, uses: USES };
    let data = serde_json::to_string(&film).expect("lists and names have no keys of their own");
    Ok(fill(
        HTML,
        &[
            ("style", CSS.trim_end()),
            ("left_out", &left_out(results, shown)),
            ("table", &below::table(results)),
            ("plots", &below::plots(results)?),
            ("data", &script_safe(&data)),
            ("script", SCRIPT.trim_end()),
        ],
    ))
}

/// Everything that the script plays.
#[derive(Serialize)]
struct Film {
    networks: Vec<Network>,
    /// Slowest over fastest mode above which time is logarithmic unless told otherwise.
    log_above: f64,
    /// What flights are told apart by.
    kinds: [&'static str; KINDS.len()],
    /// What links are told apart by.
    uses: [&'static str; USES.len()],
}

/// A topology, and a run of each mode on it.
#[derive(Serialize)]
struct Network {
    title: String,
    shape: &'static str,
    width: f64,
    height: f64,
    radius: f64,
    /// x and y of each node.
    places: Vec<f64>,
    /// Both ends of each link.
    links: Vec<usize>,
    /// Where the replay ends, in microseconds.
    end: i64,
    runs: Vec<Replay>,
}

impl Network {
    /// `None` when no run of the section is shown.
    fn of(section: &Section<'_>, results: &Results, shown: &[Shown<'_>]) -> Option<Self> {
        let runs: Vec<(&GroupSummary, &Shown<'_>)> = section
            .groups
            .iter()
            .filter_map(|group| {
                Some((*group, shown.iter().find(|run| group.sums_up(run.figures))?))
            })
            .collect();
        let (_, Shown { figures, graph, .. }) = runs.first()?;
        let end_us = end_us(&runs);
        let limits = Limits {
            end_us,
            flights_max: FLIGHTS_MAX / shown.len(),
            links_max: LINKS_MAX / shown.len(),
        };
        let replay = |(group, shown): &(&GroupSummary, &Shown<'_>)| {
            Replay::new(title(group, section), shown, among(group, results), limits)
        };
        let Layout { width, height, radius, places } =
            Layout::new(figures.topology, figures.nodes as usize);
        Some(Self {
            title: section.title.clone(),
            shape: figures.topology.name(),
            width: tenths(width),
            height: tenths(height),
            radius: tenths(radius),
            places: places.iter().flat_map(|place| [tenths(place.x), tenths(place.y)]).collect(),
            links: graph.edges().iter().flat_map(|&(a, b)| [a, b]).collect(),
            end: end_us,
            runs: runs.iter().map(replay).collect(),
        })
    }
}

fn end_us(runs: &[(&GroupSummary, &Shown<'_>)]) -> i64 {
    let last = replay::last_us(runs.iter().map(|(_, shown)| &shown.history));
    // Nobody received anything: then the copies that were sent in vain are what can be seen.
    let window_ms = runs.iter().map(|(_, shown)| shown.figures.window_ms).max().unwrap_or(1);
    let last = last.unwrap_or_else(|| i64::try_from(window_ms).unwrap_or(i64::MAX / 1_000) * 1_000);
    // Microseconds of a run are far below 2^53; `as` saturates.
    #[allow(clippy::cast_possible_truncation)]
    let end = (last as f64 * END_SHARE).ceil() as i64;
    end.max(last).max(1)
}

/// The mode; with its overlay where the mode alone does not tell groups apart.
fn title(group: &GroupSummary, section: &Section<'_>) -> String {
    let same_mode = section.groups.iter().filter(|other| other.mode == group.mode).count();
    match same_mode {
        1 => group.mode.to_string(),
        _ => format!("{} ({})", group.mode, group.overlay),
    }
}

fn is_drawable(group: &GroupSummary) -> bool {
    // A cube has as many nodes as its corners, or else nobody knows where they stand.
    let is_whole = group.topology != Topology::Hypercube || group.nodes.is_power_of_two();
    is_whole && group.nodes >= 2 && group.nodes <= NODES_MAX
}

fn repeats_of<'a>(
    group: &GroupSummary,
    results: &'a Results,
) -> impl Iterator<Item = &'a RunFigures> {
    results.runs.iter().filter(|run| group.sums_up(run))
}

/// The runs of which one is shown.
fn candidates<'a>(
    group: &GroupSummary,
    results: &'a Results,
) -> impl Iterator<Item = &'a RunFigures> {
    let kills = results.header.conditions.is_some_and(|conditions| conditions.kill.is_some());
    repeats_of(group, results).filter(move |run| !kills || run.delivery.message == 0)
}

fn among(group: &GroupSummary, results: &Results) -> Among {
    let count = |number: fn(&RunFigures) -> u32| {
        repeats_of(group, results).map(number).collect::<BTreeSet<u32>>().len()
    };
    Among { repeats: count(|run| run.repeat), messages: count(|run| run.delivery.message) }
}

/// Which networks are not replayed, as a paragraph; empty when all are.
fn left_out(results: &Results, shown: &[Shown<'_>]) -> String {
    let is_shown = |group: &GroupSummary| shown.iter().any(|run| group.sums_up(run.figures));
    let sections = sections(results);
    let left_out: Vec<&str> = sections
        .iter()
        .filter(|section| !section.groups.iter().all(|group| is_shown(group)))
        .map(|section| section.title.as_str())
        .collect();
    if left_out.is_empty() {
        return String::new();
    }
    format!(
        "<p>Not replayed, or not in every mode, because {}: {}.</p>",
        why_left_out(results, shown),
        escaped(&left_out.join("; "))
    )
}

fn why_left_out(results: &Results, shown: &[Shown<'_>]) -> String {
    if runs_to_show(results).len() > shown.len() {
        "only figures were kept of some runs (<code>--keep traces</code> keeps more)".to_owned()
    } else {
        format!("a page draws {NODES_MAX} nodes a network and {NODES_TOTAL_MAX} in all at most")
    }
}

/// Puts `parts` into `template`, each where its name stands in double braces. What is put in is not
/// looked at again.
fn fill(template: &str, parts: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").expect("the template closes its braces");
        let part = parts.iter().find(|(part, _)| *part == name);
        page.push_str(part.expect("the template names parts that there are").1);
        page.push_str(rest);
    }
    page
}

/// JSON that cannot end the element that it stands in: `<` is written by its number.
fn script_safe(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// Text that is neither tag nor reference.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// A length to a tenth of its unit, which is finer than a screen.
fn tenths(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
