//! How a rumour spreads: the share of nodes that have it, over time, a curve per mode.

use plotters::style::RGBColor;

use super::canvas::{
    Axis, Canvas, FRAME, HEIGHT, Look, Point, Scale, grouped, mode_color, palette, point, sheet,
    text_width,
};
use super::{Network, PlotError, SPREAD_LINEAR_MAX, TimeAxis};
use crate::config::Mode;
use crate::metrics::RunFigures;
use crate::report::{range, short};
use crate::summary::median_run;

/// Decades that a logarithmic time axis shows at most: more, and no curve has room to bend.
const DECADES_MAX: i32 = 6;

/// Draws the infection curves of the modes in `runs`, which are of one network: of each mode the
/// run whose convergence time is the median of its repeats.
///
/// Behind each classic mode stands, lighter, the SI model of an epidemic among `n` nodes,
/// i(t) = 1 / (1 + (n − 1)·e^(−βnt)). Its one free parameter is fitted at the time t50 at which
/// half of the nodes have the rumour, so βn = ln(n − 1) / t50. Least squares on the logit would
/// weigh the tails most, which is where a real run leaves the model.
///
/// # Errors
///
/// [`PlotError::NoRuns`] and [`PlotError::SeveralNetworks`].
pub fn infection_curves(runs: &[RunFigures], axis: TimeAxis) -> Result<String, PlotError> {
    let network = Network::of_all(runs)?;
    let curves: Vec<Curve> =
        Mode::ALL.into_iter().filter_map(|mode| Curve::of_median_run(runs, mode)).collect();
    let times = time_axis(&curves, axis);
    let shares =
        Axis { scale: Scale::Linear, values: (0.0, 1.0), places: (FRAME.bottom, FRAME.top) };
    sheet(|canvas| {
        canvas.heading(
            &format!("How a rumour spreads: {}", network.title()),
            &format!(
                "each mode's median run of n = {}{}; {}",
                range(curves.iter().map(|curve| curve.runs)),
                model_note(&curves),
                network.conditions()
            ),
        )?;
        draw_axes(canvas, &times, &shares)?;
        for curve in curves.iter().filter(|curve| curve.has_model()) {
            draw_model(canvas, curve, &times, &shares)?;
        }
        for curve in &curves {
            draw_curve(canvas, curve, &times, &shares)?;
        }
        for curve in &curves {
            draw_end(canvas, curve, &times, &shares)?;
        }
        draw_legend(canvas, &curves)
    })
}

/// One run, as a curve.
#[derive(Clone, Debug)]
struct Curve {
    mode: Mode,
    nodes: u32,
    /// How many runs this one is the median of.
    runs: usize,
    /// First receipts in milliseconds since the creation, ascending.
    receipts_ms: Vec<f64>,
}

impl Curve {
    /// The run of [`median_run`]. `None` when the mode was not run.
    fn of_median_run(runs: &[RunFigures], mode: Mode) -> Option<Self> {
        let repeats = || runs.iter().filter(|run| run.mode == mode);
        let median = median_run(repeats())?;
        let (nodes, receipts_ms) = (median.nodes, median.receipts_ms.clone());
        Some(Self { mode, nodes, runs: repeats().count(), receipts_ms })
    }

    /// Nodes that have the rumour in the end, the creator among them.
    fn reached(&self) -> u32 {
        u32::try_from(self.receipts_ms.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// When the last of them received it; `None` when nobody did.
    fn converged_ms(&self) -> Option<f64> {
        self.receipts_ms.last().copied()
    }

    /// When half of the nodes have the rumour, if ever.
    fn half_ms(&self) -> Option<f64> {
        let receipts = (self.nodes.div_ceil(2) as usize).checked_sub(1)?;
        self.receipts_ms.get(receipts.checked_sub(1)?).copied()
    }

    /// Growth rate βn of the SI model, per millisecond; `None` where the model has no shape: for
    /// two nodes, or when half of them were never reached.
    fn growth(&self) -> Option<f64> {
        let half_ms = self.half_ms().filter(|half| *half > 0.0)?;
        let others = f64::from(self.nodes) - 1.0;
        (others > 1.0).then(|| others.ln() / half_ms)
    }

    fn has_model(&self) -> bool {
        self.mode.is_classic() && self.growth().is_some()
    }

    /// What the legend calls it: its mode, its convergence time, and how far it came if not to all.
    fn name(&self) -> String {
        let mode = self.mode;
        let Some(converged_ms) = self.converged_ms() else { return format!("{mode}, to nobody") };
        let time = format!("{mode}, {}\u{202f}ms", short(converged_ms));
        if self.reached() < self.nodes {
            let percent = 100.0 * f64::from(self.reached()) / f64::from(self.nodes);
            format!("{time} ({percent:.0}\u{202f}%)")
        } else {
            time
        }
    }

    fn point(&self, ms: f64, reached: u32, times: &Axis, shares: &Axis) -> Point {
        let share = f64::from(reached) / f64::from(self.nodes);
        point(times.place(ms), shares.place(share))
    }
}

fn time_axis(curves: &[Curve], axis: TimeAxis) -> Axis {
    let places = (FRAME.left, FRAME.right);
    let converged = || curves.iter().filter_map(Curve::converged_ms).filter(|ms| *ms > 0.0);
    let slowest = converged().fold(0.0, f64::max);
    let fastest = converged().fold(f64::INFINITY, f64::min);
    let is_log = match axis {
        TimeAxis::Auto => slowest > SPREAD_LINEAR_MAX * fastest,
        TimeAxis::Linear => false,
        TimeAxis::Log => true,
    };
    // Nothing took any time: any axis will do.
    let slowest = if slowest > 0.0 { slowest } else { 1.0 };
    if !is_log {
        return Axis { scale: Scale::Linear, values: (0.0, slowest * 1.05), places };
    }
    let first_receipts = curves.iter().filter_map(|curve| curve.receipts_ms.first().copied());
    let first = first_receipts.filter(|ms| *ms > 0.0).fold(slowest, f64::min);
    let high = slowest * 1.5;
    let low = 10_f64.powf(first.log10().floor()).max(high / 10_f64.powi(DECADES_MAX));
    Axis { scale: Scale::Log, values: (low, high), places }
}

fn draw_axes(canvas: &Canvas<'_>, times: &Axis, shares: &Axis) -> Result<(), PlotError> {
    let ticks = time_ticks(times);
    for tick in ticks.iter().filter(|tick| tick.label.is_none()) {
        draw_time_line(canvas, times.place(tick.ms), palette::FAINT)?;
    }
    for tick in ticks.iter().filter(|tick| tick.label.is_some()) {
        let x = times.place(tick.ms);
        draw_time_line(canvas, x, palette::PALE)?;
        let look = Look::plain(12.0, palette::INK).centred();
        canvas.text(
            tick.label.as_deref().unwrap_or_default(),
            point(x, FRAME.bottom + 16.0),
            look,
        )?;
    }
    for percent in (0..=100).step_by(20) {
        let y = shares.place(f64::from(percent) / 100.0);
        canvas.y_tick(y, &format!("{percent}\u{202f}%"))?;
    }
    canvas.y_label("nodes that have the rumour")?;
    let scale = if times.scale == Scale::Log { ", logarithmic" } else { "" };
    let label = format!("time since the rumour's creation in ms{scale}");
    let at = point(f64::midpoint(FRAME.left, FRAME.right), f64::from(HEIGHT) - 22.0);
    canvas.text(&label, at, Look::plain(13.0, palette::INK).centred())
}

fn draw_time_line(canvas: &Canvas<'_>, x: f64, color: RGBColor) -> Result<(), PlotError> {
    canvas.line([point(x, FRAME.top), point(x, FRAME.bottom)], color, 1.0, 1.0)
}

/// A line of the time axis; only some have a label.
#[derive(Clone, Debug, PartialEq)]
struct Tick {
    ms: f64,
    label: Option<String>,
}

/// On a logarithmic axis the decades with labels and their multiples without; on a linear one four
/// to ten steps of 1, 2 or 5 times a power of ten.
fn time_ticks(times: &Axis) -> Vec<Tick> {
    let (low, high) = times.values;
    let within = |tick: &Tick| tick.ms >= low * (1.0 - 1e-9) && tick.ms <= high * (1.0 + 1e-9);
    match times.scale {
        Scale::Log => (-9..=12)
            .flat_map(|exponent| {
                let decade = 10_f64.powi(exponent);
                (1..10).map(move |multiple| Tick {
                    ms: decade * f64::from(multiple),
                    label: (multiple == 1).then(|| label(exponent, 1)),
                })
            })
            .filter(within)
            .collect(),
        Scale::Linear => {
            let (exponent, multiple) = linear_step(high);
            let step = f64::from(multiple) * 10_f64.powi(exponent);
            (0..=10)
                .map(|count| Tick {
                    ms: f64::from(count) * step,
                    label: Some(label(exponent, count * multiple)),
                })
                .filter(within)
                .collect()
        }
    }
}

/// The smallest step `multiple`·10^`exponent` that divides `high` into ten at most.
fn linear_step(high: f64) -> (i32, u32) {
    let steps = (-9..=12).flat_map(|exponent| [1, 2, 5].map(|multiple| (exponent, multiple)));
    let mut fitting = steps.filter(|(exponent, multiple)| {
        f64::from(*multiple) * 10_f64.powi(*exponent) * 10.0 >= high
    });
    fitting.next().unwrap_or((12, 5))
}

/// `multiple`·10^`exponent` in digits.
fn label(exponent: i32, multiple: u32) -> String {
    if multiple == 0 {
        return "0".to_owned();
    }
    match usize::try_from(-exponent) {
        Ok(decimals) => format!("{:.decimals$}", f64::from(multiple) * 10_f64.powi(exponent)),
        Err(_) => grouped(u64::from(multiple) * 10_u64.pow(exponent.unsigned_abs())),
    }
}

/// A step for each receipt, from the creator alone to the last node reached.
fn draw_curve(
    canvas: &Canvas<'_>,
    curve: &Curve,
    times: &Axis,
    shares: &Axis,
) -> Result<(), PlotError> {
    let at = |ms, reached| curve.point(ms, reached, times, shares);
    let mut points = vec![at(times.values.0, 1)];
    for (ms, reached) in curve.receipts_ms.iter().zip(1..) {
        points.push(at(*ms, reached));
        points.push(at(*ms, reached + 1));
    }
    // Most receipts of a fast mode on a slow axis fall into one place.
    points.dedup();
    canvas.line(points, mode_color(curve.mode), 2.5, 1.0)
}

/// A dot where the mode converged, and a pale line on from there if it never reached all.
fn draw_end(
    canvas: &Canvas<'_>,
    curve: &Curve,
    times: &Axis,
    shares: &Axis,
) -> Result<(), PlotError> {
    let at = |ms| curve.point(ms, curve.reached(), times, shares);
    let color = mode_color(curve.mode);
    let end = curve.converged_ms().map(at);
    if curve.reached() < curve.nodes {
        let start = end.unwrap_or_else(|| at(times.values.0));
        canvas.line([start, at(times.values.1)], color, 2.5, MODEL_OPACITY)?;
    }
    end.map_or(Ok(()), |end| canvas.dot(end, 4.5, color))
}

fn draw_model(
    canvas: &Canvas<'_>,
    curve: &Curve,
    times: &Axis,
    shares: &Axis,
) -> Result<(), PlotError> {
    const STEPS: u32 = 240;
    let Some(growth) = curve.growth() else { return Ok(()) };
    let others = f64::from(curve.nodes) - 1.0;
    let points = (0..=STEPS).map(|step| {
        let ms = times.value(f64::from(step) / f64::from(STEPS));
        let share = 1.0 / (1.0 + others * (-growth * ms).exp());
        point(times.place(ms), shares.place(share))
    });
    canvas.line(points, mode_color(curve.mode), 6.0, MODEL_OPACITY)
}

const MODEL_OPACITY: f64 = 0.3;

/// Above the frame, where no data is; in two rows where one is too narrow.
fn draw_legend(canvas: &Canvas<'_>, curves: &[Curve]) -> Result<(), PlotError> {
    const SIZE: f64 = 12.5;
    let width = |curve: &Curve| 28.0 + text_width(&curve.name(), SIZE) + 18.0;
    let fits_one_row = curves.iter().map(width).sum::<f64>() <= FRAME.right - FRAME.left;
    let (per_row, mut y) = if fits_one_row {
        (curves.len(), FRAME.top - 22.0)
    } else {
        (curves.len().div_ceil(2), FRAME.top - 32.0)
    };
    for row in curves.chunks(per_row.max(1)) {
        let mut x = FRAME.left;
        for curve in row {
            canvas.line([point(x, y), point(x + 22.0, y)], mode_color(curve.mode), 2.5, 1.0)?;
            canvas.text(&curve.name(), point(x + 28.0, y), Look::plain(SIZE, palette::INK))?;
            x += width(curve);
        }
        y += 18.0;
    }
    Ok(())
}

fn model_note(curves: &[Curve]) -> &'static str {
    if curves.iter().any(Curve::has_model) {
        " (wide and pale: the SI model, fitted at half of the nodes)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::run;
    use crate::topology::Topology;

    #[test]
    fn the_median_run_stands_for_its_mode() {
        let mut runs: Vec<RunFigures> =
            (0..4).map(|repeat| run(Topology::Ring, 2, Mode::Classic, repeat)).collect();
        runs.reverse();
        let curve = Curve::of_median_run(&runs, Mode::Classic).unwrap();
        assert_eq!(
            curve.receipts_ms, runs[2].receipts_ms,
            "repeat 1 is the lower median of 0 to 3"
        );
        assert!(Curve::of_median_run(&runs, Mode::Matching).is_none());
    }

    #[test]
    fn the_model_passes_through_half_of_the_nodes() {
        let curve = Curve {
            mode: Mode::Classic,
            nodes: 8,
            runs: 1,
            receipts_ms: vec![1.0, 2.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        };
        assert_eq!(curve.half_ms(), Some(5.0));
        let growth = curve.growth().unwrap();
        let share = 1.0 / (1.0 + 7.0 * (-growth * 5.0).exp());
        assert!((share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_model_is_left_out_where_it_has_no_shape() {
        let growth = |nodes, receipts_ms: &[f64]| {
            let receipts_ms = receipts_ms.to_vec();
            Curve { mode: Mode::Classic, nodes, runs: 1, receipts_ms }.growth()
        };
        assert_eq!(growth(2, &[3.0]), None);
        assert_eq!(growth(8, &[3.0, 4.0]), None, "half was never reached");
        assert_eq!(growth(4, &[0.0, 0.0]), None);
        assert!(growth(4, &[3.0]).is_some());
    }

    #[test]
    fn the_axis_turns_logarithmic_when_modes_are_far_apart() {
        let axis = |slow: f64, axis| {
            let curve = |mode, ms| Curve { mode, nodes: 2, runs: 1, receipts_ms: vec![ms] };
            let curves = [curve(Mode::Classic, slow), curve(Mode::Matching, 3.0)];
            time_axis(&curves, axis)
        };
        assert_eq!(axis(60.0, TimeAxis::Auto).scale, Scale::Linear);
        assert_eq!(axis(60.1, TimeAxis::Auto).scale, Scale::Log);
        assert_eq!(axis(900.0, TimeAxis::Linear).scale, Scale::Linear);
        assert_eq!(axis(3.0, TimeAxis::Log).scale, Scale::Log);
        let (low, high) = axis(900.0, TimeAxis::Auto).values;
        assert!((low - 1.0).abs() < 1e-9);
        assert!((high - 1_350.0).abs() < 1e-9);
    }

    #[test]
    fn runs_that_took_no_time_still_have_an_axis() {
        let curve = Curve { mode: Mode::Matching, nodes: 2, runs: 1, receipts_ms: vec![0.0] };
        for axis in [TimeAxis::Auto, TimeAxis::Linear, TimeAxis::Log] {
            let (low, high) = time_axis(std::slice::from_ref(&curve), axis).values;
            assert!(low < high && high.is_finite(), "{low} {high}");
        }
    }

    #[test]
    fn decades_have_labels_and_their_multiples_lines() {
        let axis = Axis { scale: Scale::Log, values: (0.1, 2_000.0), places: (0.0, 1.0) };
        let ticks = time_ticks(&axis);
        let labels: Vec<String> = ticks.iter().filter_map(|tick| tick.label.clone()).collect();
        assert_eq!(labels, ["0.1", "1", "10", "100", "1\u{202f}000"]);
        assert_eq!(ticks.len(), 4 * 9 + 2);
    }

    #[test]
    fn linear_steps_are_round() {
        let labels = |high| -> Vec<String> {
            let axis = Axis { scale: Scale::Linear, values: (0.0, high), places: (0.0, 1.0) };
            time_ticks(&axis).into_iter().filter_map(|tick| tick.label).collect()
        };
        assert_eq!(
            labels(0.9),
            ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
        );
        assert_eq!(labels(21.0), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(3_600.0)[1], "500");
        assert_eq!(labels(3_600.0)[2], "1\u{202f}000");
    }

    #[test]
    fn a_mode_that_nobody_received_is_not_forgotten() {
        let mut lost = run(Topology::Ring, 2, Mode::Classic, 0);
        (lost.receipts_ms, lost.convergence_ms) = (vec![], None);
        let svg = infection_curves(&[lost], TimeAxis::Auto).unwrap();
        assert!(svg.contains("classic, to nobody"));
    }

    #[test]
    fn a_legend_too_long_for_one_row_takes_two() {
        let mut runs: Vec<RunFigures> =
            Mode::ALL.iter().map(|mode| run(Topology::Bus, 7, *mode, 0)).collect();
        let rows = |runs: &[RunFigures]| {
            let svg = infection_curves(runs, TimeAxis::Auto).unwrap();
            let lines: Vec<&str> = svg.lines().collect();
            let text_of_mode =
                |line: &str| Mode::ALL.iter().any(|mode| line.starts_with(&format!("{mode},")));
            let mut heights: Vec<&str> = lines
                .windows(2)
                .filter(|pair| text_of_mode(pair[1]))
                .map(|pair| pair[0].split(" y=").nth(1).unwrap().split(' ').next().unwrap())
                .collect();
            heights.dedup();
            heights.len()
        };
        assert_eq!(rows(&runs), 1);
        for run in &mut runs {
            run.nodes *= 2;
        }
        assert_eq!(rows(&runs), 2);
    }

    #[test]
    fn a_mode_that_did_not_reach_all_says_how_far_it_came() {
        let mut partial = run(Topology::Ring, 2, Mode::Classic, 0);
        partial.receipts_ms.truncate(2);
        let svg = infection_curves(&[partial], TimeAxis::Auto).unwrap();
        assert!(svg.contains("classic, 160\u{202f}ms (75\u{202f}%)"));
    }

    #[test]
    fn the_figure_says_what_it_shows() {
        let runs: Vec<RunFigures> =
            Mode::ALL.iter().map(|mode| run(Topology::Hypercube, 4, *mode, 0)).collect();
        let svg = infection_curves(&runs, TimeAxis::Auto).unwrap();
        for text in [
            "How a rumour spreads: hypercube of dimension 4 (16 nodes)",
            "each mode&apos;s median run of n = 1 \
             (wide and pale: the SI model, fitted at half of the nodes); udp, preset lan",
            "time since the rumour&apos;s creation in ms, logarithmic",
            "thesis-classic, 1050\u{202f}ms",
            "matching, 1.50\u{202f}ms",
        ] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
