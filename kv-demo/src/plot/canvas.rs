//! A sheet to draw on, in the units of the finished figure, and axes that know where a value goes.

use plotters::coord::Shift;
use plotters::prelude::{
    Circle, Color as _, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform};

use super::PlotError;
use crate::config::Mode;

/// Width of a figure; fits a page and half a slide.
pub(super) const WIDTH: u32 = 900;
/// Height of a figure.
pub(super) const HEIGHT: u32 = 540;

/// The library draws at whole units only, which shows in curves: draw larger than life.
const ZOOM: u32 = 4;

/// What the backend divides the size of a font by.
const FONT_SIZE_FACTOR: f64 = 1.24;

/// Okabe and Ito's palette, which stays distinct to the colour-blind and in grey print.
pub(super) mod palette {
    use super::RGBColor;

    pub(in super::super) const ORANGE: RGBColor = RGBColor(0xE6, 0x9F, 0x00);
    pub(in super::super) const SKY_BLUE: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
    pub(in super::super) const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
    pub(in super::super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
    pub(in super::super) const VERMILION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
    pub(in super::super) const PURPLE: RGBColor = RGBColor(0xCC, 0x79, 0xA7);
    /// Not theirs, as what follows: all of it is for orientation.
    pub(in super::super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
    pub(in super::super) const DARK: RGBColor = RGBColor(0x4D, 0x4D, 0x4D);
    pub(in super::super) const GREY: RGBColor = RGBColor(0x6E, 0x6E, 0x6E);
    pub(in super::super) const PALE: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
    pub(in super::super) const FAINT: RGBColor = RGBColor(0xF2, 0xF2, 0xF2);
    pub(in super::super) const WHITE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
}

/// Warm colours for random members, cold ones for links; the thesis's modes are the lighter ones.
pub(super) const fn mode_color(mode: Mode) -> RGBColor {
    match mode {
        Mode::ThesisClassic => palette::ORANGE,
        Mode::ThesisMatching => palette::SKY_BLUE,
        Mode::Classic => palette::VERMILION,
        Mode::Matching => palette::BLUE,
    }
}

/// A point of the figure, from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

pub(super) const fn point(x: f64, y: f64) -> Point {
    Point { x, y }
}

/// The rectangle in which data is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// Where both figures draw their data: the same place, so that they stack.
pub(super) const FRAME: Frame = Frame { left: 78.0, right: 880.0, top: 98.0, bottom: 478.0 };

/// How a text looks, and which of its points it is placed by.
#[derive(Clone, Copy)]
pub(super) struct Look {
    size: f64,
    color: RGBColor,
    style: FontStyle,
    anchor: HPos,
    is_upwards: bool,
}

impl Look {
    /// Text that starts at its point and is centred on it vertically.
    pub(super) const fn plain(size: f64, color: RGBColor) -> Self {
        Self { size, color, style: FontStyle::Normal, anchor: HPos::Left, is_upwards: false }
    }

    pub(super) const fn bold(self) -> Self {
        Self { style: FontStyle::Bold, ..self }
    }

    pub(super) const fn centred(self) -> Self {
        Self { anchor: HPos::Center, ..self }
    }

    pub(super) const fn right(self) -> Self {
        Self { anchor: HPos::Right, ..self }
    }

    /// Reads from the bottom to the top.
    pub(super) const fn upwards(self) -> Self {
        Self { is_upwards: true, ..self }
    }
}

/// A sheet of [`WIDTH`] by [`HEIGHT`].
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Has `paint` draw on a white sheet and returns it as SVG.
pub(super) fn sheet(
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let size = (WIDTH * ZOOM, HEIGHT * ZOOM);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let canvas = Canvas { area };
        canvas.rectangle(
            point(0.0, 0.0),
            point(f64::from(WIDTH), f64::from(HEIGHT)),
            palette::WHITE,
        )?;
        paint(&canvas)?;
        canvas.area.present().map_err(refused)?;
    }
    // The view box keeps the drawing's units; only the size on the screen changes.
    let drawn = format!("width=\"{}\" height=\"{}\"", WIDTH * ZOOM, HEIGHT * ZOOM);
    let shown = format!("width=\"{WIDTH}\" height=\"{HEIGHT}\"");
    Ok(svg.replacen(&drawn, &shown, 1))
}

impl Canvas<'_> {
    /// A line through `points`, `width` wide; `opacity` from 0 to 1.
    pub(super) fn line(
        &self,
        points: impl IntoIterator<Item = Point>,
        color: RGBColor,
        width: f64,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let points: Vec<(i32, i32)> = points.into_iter().map(units).collect();
        let width = unit(width).unsigned_abs();
        let style = color.mix(opacity).stroke_width(width);
        self.area.draw(&PathElement::new(points, style)).map_err(refused)
    }

    pub(super) fn rectangle(&self, a: Point, b: Point, color: RGBColor) -> Result<(), PlotError> {
        let rectangle = Rectangle::new([units(a), units(b)], color.filled());
        self.area.draw(&rectangle).map_err(refused)
    }

    pub(super) fn dot(&self, at: Point, radius: f64, color: RGBColor) -> Result<(), PlotError> {
        self.area.draw(&Circle::new(units(at), unit(radius), color.filled())).map_err(refused)
    }

    pub(super) fn text(&self, text: &str, at: Point, look: Look) -> Result<(), PlotError> {
        let size = look.size * f64::from(ZOOM) * FONT_SIZE_FACTOR;
        let turn = if look.is_upwards { FontTransform::Rotate270 } else { FontTransform::None };
        let font = ("sans-serif", size).into_font().style(look.style).transform(turn);
        let style =
            TextStyle::from(font).color(&look.color).pos(Pos::new(look.anchor, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), units(at), style)).map_err(refused)
    }

    /// The title, and below it what else one has to know.
    pub(super) fn heading(&self, title: &str, subtitle: &str) -> Result<(), PlotError> {
        self.text(title, point(20.0, 26.0), Look::plain(18.0, palette::INK).bold())?;
        self.text(subtitle, point(20.0, 48.0), Look::plain(12.5, palette::GREY))
    }

    /// What the vertical axis shows, along it.
    pub(super) fn y_label(&self, text: &str) -> Result<(), PlotError> {
        let at = point(20.0, f64::midpoint(FRAME.top, FRAME.bottom));
        self.text(text, at, Look::plain(13.0, palette::INK).centred().upwards())
    }

    /// A line across the frame at height `y`, named at its left end.
    pub(super) fn y_tick(&self, y: f64, text: &str) -> Result<(), PlotError> {
        self.line([point(FRAME.left, y), point(FRAME.right, y)], palette::PALE, 1.0, 1.0)?;
        let at = point(FRAME.left - 8.0, y);
        self.text(text, at, Look::plain(12.0, palette::INK).right())
    }
}

/// Width of a text, near enough to put the next thing behind it: sans-serif letters are a little
/// over half as wide as they are high.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    // No label is longer than a few dozen letters.
    text.chars().count() as f64 * size * 0.56
}

/// An axis: values on one side, places in the figure on the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    /// Values at both ends, the lower one first; above 0 on a logarithmic scale.
    pub(super) values: (f64, f64),
    /// Places of both ends.
    pub(super) places: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
}

impl Axis {
    /// The place of `value`; beyond an end, that end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let value = value.clamp(low, high);
        let share = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value / low).ln() / (high / low).ln(),
        };
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// The value at `share` of the way from the lower to the upper end.
    pub(super) fn value(&self, share: f64) -> f64 {
        let (low, high) = self.values;
        match self.scale {
            Scale::Linear => low + share * (high - low),
            Scale::Log => low * (high / low).powf(share),
        }
    }
}

/// A number with blanks between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| str::from_utf8(group).expect("digits are ASCII"))
        .collect();
    groups.join("\u{202f}")
}

fn refused(error: impl std::fmt::Display) -> PlotError {
    PlotError::Drawing { reason: error.to_string() }
}

fn units(at: Point) -> (i32, i32) {
    (unit(at.x), unit(at.y))
}

fn unit(length: f64) -> i32 {
    let zoomed = (length * f64::from(ZOOM)).round();
    // Places come from `Axis::place` or from constants, both within the sheet; `as` saturates.
    #[allow(clippy::cast_possible_truncation)]
    let unit = zoomed as i32;
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_is_even_and_a_logarithmic_one_has_equal_decades() {
        let linear = Axis { scale: Scale::Linear, values: (0.0, 10.0), places: (100.0, 0.0) };
        assert_places(&linear, &[(0.0, 100.0), (2.5, 75.0), (10.0, 0.0)]);
        let log = Axis { scale: Scale::Log, values: (0.1, 100.0), places: (0.0, 300.0) };
        assert_places(&log, &[(0.1, 0.0), (1.0, 100.0), (10.0, 200.0), (100.0, 300.0)]);
    }

    #[test]
    fn values_beyond_the_ends_stay_at_the_ends() {
        let log = Axis { scale: Scale::Log, values: (1.0, 100.0), places: (0.0, 300.0) };
        assert_places(&log, &[(0.0, 0.0), (1e9, 300.0)]);
    }

    #[test]
    fn value_is_the_inverse_of_place() {
        for scale in [Scale::Linear, Scale::Log] {
            let axis = Axis { scale, values: (0.5, 80.0), places: (0.0, 1.0) };
            for share in [0.0, 0.25, 0.5, 1.0] {
                assert!((axis.place(axis.value(share)) - share).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1\u{202f}000")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(grouped(2_592_001), "2\u{202f}592\u{202f}001");
    }

    #[test]
    fn a_sheet_is_shown_at_its_size_and_drawn_finer() {
        let svg = sheet(|_| Ok(())).unwrap();
        assert!(
            svg.starts_with("<svg width=\"900\" height=\"540\" viewBox=\"0 0 3600 2160\""),
            "{svg}"
        );
    }

    fn assert_places(axis: &Axis, expected: &[(f64, f64)]) {
        for (value, place) in expected {
            assert!((axis.place(*value) - place).abs() < 1e-9, "{value}");
        }
    }
}
