//! How limits and timeouts grow with the cluster, in integers.
//!
//! memberlist computes these with floating-point logarithms (protocol page §5.2). Floats may
//! differ between platforms, so this file computes the same values in fixed point. The tests hold
//! every cluster size up to 2^20 against values that Go printed.

use core::time::Duration;

/// `mult * ceil(log10(n + 1))`: how often a broadcast is sent in a cluster of `n` nodes.
pub(crate) fn retransmit_limit(mult: u32, nodes: usize) -> u32 {
    let mut digits = 0_u32;
    let mut power = 1_u64;
    while power < (nodes as u64).saturating_add(1) {
        power = power.saturating_mul(10);
        digits += 1;
    }
    mult.saturating_mul(digits)
}

/// `mult * trunc(1000 * max(1, log10(max(1, n)))) * interval / 1000`: the shortest time that a
/// member stays suspect in a cluster of `n` nodes.
pub(crate) fn suspicion_timeout(mult: u32, nodes: usize, interval: Duration) -> Duration {
    let scale = milli_log10(nodes).max(1_000);
    interval.saturating_mul(mult).saturating_mul(scale) / 1_000
}

/// `n <= 32: interval; else interval * (ceil(log2(n) - 5) + 1)`: the pause between two push/pulls
/// in a cluster of `n` nodes, so that their number in the cluster grows slower than `n`.
pub(crate) fn push_pull_interval(interval: Duration, nodes: usize) -> Duration {
    const THRESHOLD: usize = 32;
    if nodes <= THRESHOLD {
        return interval;
    }
    let ceil_log2 = usize::BITS - (nodes - 1).leading_zeros();
    interval.saturating_mul(ceil_log2 - THRESHOLD.ilog2() + 1)
}

/// How long a suspicion lasts in total after `confirmations` of `expected` independent accusers
/// (Lifeguard §IV-B): from `max` down to `min` with the logarithm of their number, cut to whole
/// milliseconds as memberlist does.
pub(crate) fn confirmed_timeout(
    min: Duration,
    max: Duration,
    confirmations: u32,
    expected: u32,
) -> Duration {
    if expected == 0 || confirmations >= expected {
        return min;
    }
    let span = max.saturating_sub(min).as_micros();
    let part = u128::from(log2_q57(confirmations + 1));
    let whole = u128::from(log2_q57(expected + 1));
    let shortened_by = span * part / whole;
    let micros = max.as_micros() - shortened_by;
    let millis = u64::try_from(micros / 1_000).unwrap_or(u64::MAX);
    Duration::from_millis(millis).max(min)
}

/// `floor(1000 * log10(n))`, 0 for `n` of 0.
fn milli_log10(nodes: usize) -> u32 {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
    let exact = nodes.ilog10();
    if 10_u32.pow(exact) == nodes {
        // The fixed-point product lies a hair below these whole numbers.
        return exact * 1_000;
    }
    /// `log10(2) * 2^64`.
    const LOG10_OF_2: u128 = 5_553_023_288_523_357_132;
    let scaled = (u128::from(log2_q57(nodes)) * LOG10_OF_2) >> 57;
    u32::try_from((scaled * 1_000) >> 64).unwrap_or(u32::MAX)
}

/// `log2(n) * 2^57` by repeated squaring: each squaring of a mantissa in [1, 2) yields one bit.
fn log2_q57(n: u32) -> u64 {
    const FRACTION_BITS: u32 = 57;
    let whole = n.max(1).ilog2();
    let mut mantissa = u64::from(n.max(1)) << (63 - whole);
    let mut bits = 0_u64;
    for _ in 0..FRACTION_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let carry = square >> 127;
        bits = bits << 1 | u64::from(carry == 1);
        mantissa = u64::try_from(square >> (63 + carry)).unwrap_or(u64::MAX);
    }
    (u64::from(whole) << FRACTION_BITS) | bits
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn retransmit_limit_follows_the_protocol_page() {
        for (nodes, limit) in
            [(0, 0), (1, 4), (9, 4), (10, 8), (99, 8), (100, 12), (999, 12), (10_000, 20)]
        {
            assert_eq!(retransmit_limit(4, nodes), limit, "{nodes} nodes");
        }
    }

    #[test]
    fn suspicion_timeout_follows_the_protocol_page() {
        for (nodes, lan, wan) in [
            (0, 4_000, 30_000),
            (1, 4_000, 30_000),
            (10, 4_000, 30_000),
            (11, 4_164, 31_230),
            (32, 6_020, 45_150),
            (50, 6_792, 50_940),
            (100, 8_000, 60_000),
            (500, 10_792, 80_940),
            (1_000, 12_000, 90_000),
            (10_000, 16_000, 120_000),
        ] {
            let lan_timeout = suspicion_timeout(4, nodes, SECOND);
            assert_eq!(lan_timeout, Duration::from_millis(lan), "{nodes} nodes");
            let wan_timeout = suspicion_timeout(6, nodes, 5 * SECOND);
            assert_eq!(wan_timeout, Duration::from_millis(wan), "{nodes} nodes");
        }
    }

    /// CRC-32 (IEEE) over the little-endian u32 values that `suspicionTimeout(1, n, 1s)` of
    /// memberlist's formula gives in Go, in milliseconds, for n = 0..=2^20.
    #[test]
    fn suspicion_timeout_equals_go_for_every_cluster_size() {
        let mut crc = crc32fast::Hasher::new();
        for nodes in 0..=1 << 20 {
            let millis = suspicion_timeout(1, nodes, SECOND).as_millis() as u32;
            crc.update(&millis.to_le_bytes());
        }
        assert_eq!(crc.finalize(), GO_SUSPICION_CRC);
    }

    const GO_SUSPICION_CRC: u32 = 808_355_640;

    #[test]
    fn push_pull_interval_grows_in_steps_of_doubling() {
        for (nodes, factor) in
            [(0, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (129, 4), (1_000, 6)]
        {
            assert_eq!(push_pull_interval(SECOND, nodes), SECOND * factor, "{nodes} nodes");
        }
    }

    #[test]
    fn confirmations_shorten_a_suspicion_as_lifeguard_says() {
        let (min, max) = (4 * SECOND, 24 * SECOND);
        for (expected, totals) in [
            (2, &[24_000, 11_381, 4_000][..]),
            (3, &[24_000, 14_000, 8_150, 4_000]),
            (4, &[24_000, 15_386, 10_347, 6_772, 4_000]),
        ] {
            for (confirmations, &total) in (0..).zip(totals) {
                assert_eq!(
                    confirmed_timeout(min, max, confirmations, expected),
                    Duration::from_millis(total),
                    "{confirmations} of {expected}"
                );
            }
        }
        assert_eq!(confirmed_timeout(min, max, 0, 0), min);
    }

    #[test]
    fn absurd_sizes_saturate() {
        assert_eq!(retransmit_limit(u32::MAX, usize::MAX), u32::MAX);
        assert!(suspicion_timeout(u32::MAX, usize::MAX, Duration::MAX) > Duration::from_secs(1));
    }

    /// memberlist's cases: k = 3, 2 to 30 s; what remains of the total after the time that passed.
    #[test]
    fn what_remains_of_a_suspicion_is_what_memberlist_computes() {
        let (min, max) = (2 * SECOND, 30 * SECOND);
        for (confirmations, elapsed, remaining) in [
            (0, 0, 30_000),
            (1, 2, 14_000),
            (2, 3, 4_810),
            (3, 4, -2_000),
            (4, 5, -3_000),
            (5, 10, -8_000),
        ] {
            let total = confirmed_timeout(min, max, confirmations, 3).as_millis() as i64;
            assert_eq!(total - elapsed * 1_000, remaining, "{confirmations} confirmations");
        }
    }
}
