//! The arithmetic of repeats.

/// A sample, ready to be summed up. Holds only finite numbers, so nothing here is ever NaN.
///
/// ```
/// use kv_demo::summary::Statistics;
///
/// let sample: Statistics = [4.0, 1.0, 3.0].into_iter().collect();
/// assert_eq!(sample.median(), Some(3.0));
/// assert_eq!(Statistics::default().median(), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Ascending.
    values: Vec<f64>,
}

impl FromIterator<f64> for Statistics {
    /// Collects a sample; infinities and NaN are left out.
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Self { values }
    }
}

impl Statistics {
    /// The sum over the number of values; `None` for an empty sample, here and below.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        mean(&self.values)
    }

    /// The mean without the smallest and the largest ⌊n/10⌋ values: nothing is left out of fewer
    /// than ten.
    #[must_use]
    pub fn trimmed_mean(&self) -> Option<f64> {
        let cut = self.values.len() / 10;
        mean(&self.values[cut..self.values.len() - cut])
    }

    /// The mean of the smallest ⌈n/4⌉ values.
    #[must_use]
    pub fn best_quartile_mean(&self) -> Option<f64> {
        mean(&self.values[..self.values.len().div_ceil(4)])
    }

    /// The middle value, or the mean of the two in the middle.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let (last, middle) = (self.values.len().checked_sub(1)?, self.values.len() / 2);
        mean(&self.values[last / 2..=middle])
    }

    /// The variance of the sample: squared distances from the mean over n − 1; 0 for one value.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        let freedom = self.values.len().saturating_sub(1).max(1);
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(squares / freedom as f64).filter(|variance| variance.is_finite())
    }

    /// The standard deviation: the root of [`variance`](Self::variance).
    #[must_use]
    pub fn std(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// Half the width of the 95 % confidence interval of the mean, by Student's t; `None` for
    /// fewer than two values, which say nothing about their spread.
    #[must_use]
    pub fn ci95(&self) -> Option<f64> {
        let freedom = self.values.len().checked_sub(1)?;
        let quantile = match freedom {
            0 => return None,
            1..=30 => T_975[freedom - 1],
            _ => NORMAL_975,
        };
        Some(quantile * self.std()? / (self.values.len() as f64).sqrt())
    }
}

/// The 97.5 % quantiles of Student's t distribution for 1 to 30 degrees of freedom.
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// The same of the normal distribution, which t approaches; 4 % too narrow at 31.
const NORMAL_975: f64 = 1.96;

fn mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let mean = sum / values.len() as f64;
    mean.is_finite().then_some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sample_of_eight_by_hand() {
        // Mean 5, squared distances 9 1 1 1 0 0 4 16 = 32.
        let sample = sample(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(sample.mean(), Some(5.0));
        assert_eq!(sample.trimmed_mean(), Some(5.0));
        assert_eq!(sample.best_quartile_mean(), Some(3.0));
        assert_eq!(sample.median(), Some(4.5));
        close(sample.variance(), 32.0 / 7.0);
        close(sample.std(), 2.138_089_935);
        close(sample.ci95(), 2.365 * 2.138_089_935 / 8_f64.sqrt());
    }

    #[test]
    fn trimming_starts_at_ten_values() {
        let nine = [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 92.0];
        close(sample(&nine).trimmed_mean(), 11.0);
        let ten = [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 92.0];
        assert_eq!(sample(&ten).trimmed_mean(), Some(1.0));
        let mut twenty = [3.0; 20];
        twenty[..2].copy_from_slice(&[-100.0, -200.0]);
        twenty[18..].copy_from_slice(&[900.0, 800.0]);
        assert_eq!(sample(&twenty).trimmed_mean(), Some(3.0));
    }

    #[test]
    fn the_best_quartile_rounds_up() {
        assert_eq!(sample(&[4.0, 3.0, 2.0, 1.0]).best_quartile_mean(), Some(1.0));
        assert_eq!(sample(&[5.0, 4.0, 3.0, 2.0, 1.0]).best_quartile_mean(), Some(1.5));
    }

    #[test]
    fn the_median_of_an_odd_sample_is_a_value() {
        assert_eq!(sample(&[9.0, 1.0, 5.0]).median(), Some(5.0));
    }

    #[test]
    fn one_value_has_no_variance_and_no_interval() {
        let one = sample(&[7.0]);
        assert_eq!(one.mean(), Some(7.0));
        assert_eq!(one.trimmed_mean(), Some(7.0));
        assert_eq!(one.best_quartile_mean(), Some(7.0));
        assert_eq!(one.median(), Some(7.0));
        assert_eq!(one.variance(), Some(0.0));
        assert_eq!(one.std(), Some(0.0));
        assert_eq!(one.ci95(), None);
    }

    #[test]
    fn an_empty_sample_has_nothing() {
        let empty = sample(&[f64::NAN, f64::INFINITY]);
        for figure in [
            empty.mean(),
            empty.trimmed_mean(),
            empty.best_quartile_mean(),
            empty.median(),
            empty.variance(),
            empty.std(),
            empty.ci95(),
        ] {
            assert_eq!(figure, None);
        }
    }

    #[test]
    fn the_interval_turns_normal_beyond_thirty_degrees_of_freedom() {
        let half_width = |n: usize| {
            let sample: Statistics = (0..n).map(|i| if i % 2 == 0 { 0.0 } else { 1.0 }).collect();
            sample.ci95().unwrap() / sample.std().unwrap() * (n as f64).sqrt()
        };
        close(Some(half_width(2)), 12.706);
        close(Some(half_width(20)), 2.093);
        close(Some(half_width(31)), 2.042);
        close(Some(half_width(32)), 1.96);
    }

    proptest! {
        #[test]
        fn nothing_is_ever_nan(values in proptest::collection::vec(any::<f64>(), 0..40)) {
            let sample: Statistics = values.into_iter().collect();
            for figure in [
                sample.mean(),
                sample.trimmed_mean(),
                sample.best_quartile_mean(),
                sample.median(),
                sample.variance(),
                sample.std(),
                sample.ci95(),
            ] {
                prop_assert!(figure.is_none_or(f64::is_finite));
            }
        }
    }

    fn sample(values: &[f64]) -> Statistics {
        values.iter().copied().collect()
    }

    fn close(value: Option<f64>, expected: f64) {
        let value = value.unwrap();
        assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
    }
}
