//! What a rumour costs: copies in the window, by mode and by what made a node send them.

use plotters::style::RGBColor;

use super::canvas::{Axis, Canvas, FRAME, Look, Scale, palette, point, sheet, text_width};
use super::{Network, PlotError};
use crate::report::{range, short};
use crate::summary::GroupSummary;

/// Where bars stand: a logarithmic axis has no zero, and one copy must still be a bar.
const BASE: f64 = 0.3;

/// Room above the highest bar, as a share of its height.
const ROOM_ABOVE: f64 = 0.08;

/// Share of a mode's room that its bars fill; the rest keeps modes apart.
const FILLED: f64 = 0.72;

/// Widest bar; the rest of a lone mode's room stays empty.
const BAR_WIDTH_MAX: f64 = 52.0;

/// A kind of copy: its name, its colour, and a group's mean count of it.
struct Kind {
    name: &'static str,
    color: RGBColor,
    count: fn(&GroupSummary) -> Option<f64>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "sent by gossip ticks",
        color: palette::DARK,
        count: |group| group.tick_copies_in_window,
    },
    Kind {
        name: "forwarded at once",
        color: palette::GREEN,
        count: |group| group.immediate_copies,
    },
    Kind {
        name: "riding on probes",
        color: palette::PURPLE,
        count: |group| group.piggybacked_copies,
    },
];

/// Draws the copies that each mode in `groups` sent in the window, which are of one network: three
/// bars per mode on a logarithmic axis, with their mean counts above them.
///
/// # Errors
///
/// [`PlotError::NoRuns`] and [`PlotError::SeveralNetworks`].
pub fn load_bars(groups: &[GroupSummary]) -> Result<String, PlotError> {
    let network = Network::of_all(groups)?;
    let mut groups: Vec<&GroupSummary> = groups.iter().collect();
    groups.sort_by_key(|group| (group.mode, group.overlay));
    let counts = count_axis(&groups);
    sheet(|canvas| {
        canvas.heading(
            &format!("What a rumour costs: {}", network.title()),
            &format!(
                "copies of one rumour in the window, mean of n = {} \
                 (RMR: copies per node reached, beyond the one it needs); {}",
                range(groups.iter().map(|group| group.repeats)),
                network.conditions()
            ),
        )?;
        draw_axis(canvas, &counts)?;
        for (index, group) in groups.iter().enumerate() {
            draw_group(canvas, group, Slot::of(index, groups.len()), &counts)?;
        }
        draw_legend(canvas)
    })
}

/// From below one copy to above the highest bar, so that its number has room there.
fn count_axis(groups: &[&GroupSummary]) -> Axis {
    let counts =
        groups.iter().flat_map(|group| KINDS.iter().filter_map(|kind| (kind.count)(group)));
    let highest = counts.fold(10.0, f64::max);
    let top = highest * (highest / BASE).powf(ROOM_ABOVE);
    Axis { scale: Scale::Log, values: (BASE, top), places: (FRAME.bottom, FRAME.top) }
}

fn draw_axis(canvas: &Canvas<'_>, counts: &Axis) -> Result<(), PlotError> {
    for exponent in 0..=18 {
        let decade = 10_f64.powi(exponent);
        if decade <= counts.values.1 {
            canvas.y_tick(counts.place(decade), &decade_label(exponent))?;
        }
    }
    let base = [point(FRAME.left, FRAME.bottom), point(FRAME.right, FRAME.bottom)];
    canvas.line(base, palette::INK, 1.0, 1.0)?;
    canvas.y_label("copies sent, logarithmic")
}

/// 10^`exponent` in few letters: 1, 10, 100, 1k, …
fn decade_label(exponent: i32) -> String {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let (thousands, zeros) = (exponent.unsigned_abs() / 3, exponent.unsigned_abs() % 3);
    format!("{}{}", 10_u32.pow(zeros), UNITS[thousands as usize])
}

/// A mode's room along the horizontal axis.
#[derive(Clone, Copy)]
struct Slot {
    centre: f64,
    width: f64,
}

impl Slot {
    fn of(index: usize, slots: usize) -> Self {
        // Modes are few.
        let width = (FRAME.right - FRAME.left) / slots as f64;
        Self { centre: FRAME.left + (index as f64 + 0.5) * width, width }
    }
}

fn draw_group(
    canvas: &Canvas<'_>,
    group: &GroupSummary,
    slot: Slot,
    counts: &Axis,
) -> Result<(), PlotError> {
    let bar_width = (slot.width * FILLED / KINDS.len() as f64).min(BAR_WIDTH_MAX);
    let mut left = slot.centre - bar_width * KINDS.len() as f64 / 2.0;
    for kind in &KINDS {
        let count = (kind.count)(group);
        let top = counts.place(count.unwrap_or(0.0));
        if count.is_some_and(|count| count > 0.0) {
            let (upper, lower) =
                (point(left + 2.0, top), point(left + bar_width - 2.0, FRAME.bottom));
            canvas.rectangle(upper, lower, kind.color)?;
        }
        let text = count.map_or_else(|| "?".to_owned(), short);
        draw_number(canvas, &text, left + bar_width / 2.0, top - 10.0)?;
        left += bar_width;
    }
    let name = group.mode.to_string();
    let at = |below| point(slot.centre, FRAME.bottom + below);
    canvas.text(&name, at(18.0), Look::plain(13.5, palette::INK).bold().centred())?;
    canvas.text(&total_line(group), at(36.0), Look::plain(12.0, palette::GREY).centred())
}

/// A number on a ground of its own, so that no line runs through it.
fn draw_number(canvas: &Canvas<'_>, text: &str, x: f64, y: f64) -> Result<(), PlotError> {
    const SIZE: f64 = 12.0;
    let half = text_width(text, SIZE) / 2.0;
    canvas.rectangle(point(x - half, y - 7.0), point(x + half, y + 7.0), palette::WHITE)?;
    canvas.text(text, point(x, y), Look::plain(SIZE, palette::INK).centred())
}

/// All kinds together, in copies per node reached and as datagrams.
fn total_line(group: &GroupSummary) -> String {
    let known: Vec<String> = [
        group.rmr.map(|rmr| format!("RMR {}", short(rmr))),
        group.datagrams_in_window.map(|datagrams| format!("{} datagrams", short(datagrams))),
    ]
    .into_iter()
    .flatten()
    .collect();
    known.join(", ")
}

/// One line above the frame, where no data is.
fn draw_legend(canvas: &Canvas<'_>) -> Result<(), PlotError> {
    const SIZE: f64 = 12.5;
    let y = FRAME.top - 22.0;
    let mut x = FRAME.left;
    for kind in &KINDS {
        canvas.rectangle(point(x, y - 6.0), point(x + 14.0, y + 6.0), kind.color)?;
        canvas.text(kind.name, point(x + 20.0, y), Look::plain(SIZE, palette::INK))?;
        x += 20.0 + text_width(kind.name, SIZE) + 18.0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::canvas::mode_color;
    use super::*;
    use crate::config::Mode;
    use crate::report::tests::results;
    use crate::topology::Topology;

    #[test]
    fn every_kind_of_every_mode_has_a_number() {
        let svg = load_bars(&hypercube()).unwrap();
        for text in ["\">\n11.4k\n", "\">\n320\n", "\">\n291\n", "\">\n19\n"] {
            assert_eq!(svg.matches(text).count(), 1, "{text}");
        }
        // Matching sends nothing by tick, the others nothing at once.
        assert_eq!(svg.matches("\">\n0\n").count(), 4);
    }

    #[test]
    fn nothing_sent_has_no_bar_and_nothing_known_a_question_mark() {
        let bars = |groups: &[GroupSummary]| {
            let svg = load_bars(groups).unwrap();
            let white = svg.matches("fill=\"#FFFFFF\"").count();
            svg.matches("<rect").count() - white - KINDS.len()
        };
        let mut groups = hypercube();
        assert_eq!(bars(&groups), 2 * 4);
        for group in &mut groups {
            group.piggybacked_copies = None;
        }
        assert_eq!(bars(&groups), 4);
        assert_eq!(load_bars(&groups).unwrap().matches("\">\n?\n").count(), 4);
    }

    #[test]
    fn the_highest_number_stays_within_the_frame() {
        for highest in [0.0, 1.0, 9.0, 9.9, 10.0, 99_000.0, 2_592_001.0] {
            let mut groups = hypercube();
            for group in &mut groups {
                group.tick_copies_in_window = Some(highest);
                group.immediate_copies = None;
            }
            let groups: Vec<&GroupSummary> = groups.iter().collect();
            assert!(count_axis(&groups).place(highest) - 16.0 > FRAME.top, "{highest}");
        }
    }

    #[test]
    fn decades_are_named_in_few_letters() {
        let labels: Vec<String> = [0, 1, 2, 3, 5, 6, 18].map(decade_label).into();
        assert_eq!(labels, ["1", "10", "100", "1k", "100k", "1M", "1E"]);
    }

    #[test]
    fn kinds_and_modes_have_colours_of_their_own() {
        for kind in &KINDS {
            assert!(Mode::ALL.iter().all(|mode| mode_color(*mode) != kind.color), "{}", kind.name);
        }
    }

    fn hypercube() -> Vec<GroupSummary> {
        let mut groups = results().summary;
        groups.retain(|group| group.topology == Topology::Hypercube);
        groups
    }
}
