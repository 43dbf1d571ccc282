//! Figures for people.

/// A figure in five characters or six with its sign: three digits, of whole numbers up to four.
pub(crate) fn short(figure: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut rest = figure.abs();
    let mut unit = 0;
    while rest >= 9_999.5 || (unit > 0 && rest >= 999.5) {
        if unit + 1 == UNITS.len() {
            return "huge".to_owned();
        }
        rest /= 1_000.0;
        unit += 1;
    }
    let sign = if figure < 0.0 { "-" } else { "" };
    let is_whole = unit == 0 && (rest - rest.round()).abs() < 1e-9;
    let digits = match rest {
        _ if is_whole => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{sign}{rest:.digits$}{}", UNITS[unit])
}

/// The range of some counts: `20`, or `5 to 20`.
pub(crate) fn range(counts: impl Iterator<Item = usize> + Clone) -> String {
    let fewest = counts.clone().min().unwrap_or_default();
    let most = counts.max().unwrap_or_default();
    if fewest == most { most.to_string() } else { format!("{fewest} to {most}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_equal_counts_is_one_count() {
        assert_eq!(range([20, 20].into_iter()), "20");
        assert_eq!(range([20, 5, 7].into_iter()), "5 to 20");
        assert_eq!(range([].into_iter()), "0");
    }

    #[test]
    fn figures_keep_three_digits_and_whole_ones_four() {
        let cases = [
            (0.0, "0"),
            (0.004, "0.00"),
            (2.5, "2.50"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (43.51, "43.5"),
            (228.4, "228"),
            (9_999.0, "9999"),
            (9_999.6, "10.0k"),
            (11_392.0, "11.4k"),
            (999_400.0, "999k"),
            (999_500.0, "1.00M"),
            (2_592_001.0, "2.59M"),
            (7e13, "70.0T"),
            (1e16, "huge"),
            (f64::MAX, "huge"),
            (-1.0, "-1"),
            (-0.25, "-0.25"),
        ];
        for (figure, text) in cases {
            assert_eq!(short(figure), text);
        }
    }
}
