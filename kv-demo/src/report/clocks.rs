//! How far the clocks of an experiment's hosts are apart, as far as that can be known.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A host of an experiment, and its clock seen from the coordinator's.
///
/// Traces are kept as the host wrote them; `offset_ns` is taken off when they are measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostClock {
    /// What the host is called.
    pub host: String,
    /// The address that its nodes bind.
    pub addr: IpAddr,
    /// How many nodes it had; the first host has the first ones, and so on.
    pub nodes: u32,
    /// The host's clock minus the coordinator's, in nanoseconds.
    pub offset_ns: i64,
    /// The offset is wrong by this much at most, in nanoseconds: half of the fastest exchange.
    pub error_ns: u64,
}

/// The offset of node `index`'s host.
#[must_use]
pub fn offset_of(hosts: &[HostClock], index: usize) -> i64 {
    let mut nodes = 0;
    let host = hosts.iter().find(|host| {
        nodes += host.nodes as usize;
        index < nodes
    });
    host.map_or(0, |host| host.offset_ns)
}

/// Of each host the reading that is known worst, in the order in which the hosts come.
#[must_use]
pub fn worst(readings: impl IntoIterator<Item = HostClock>) -> Vec<HostClock> {
    let mut worst: Vec<HostClock> = Vec::new();
    for reading in readings {
        match worst.iter_mut().find(|known| known.host == reading.host) {
            Some(known) if known.error_ns < reading.error_ns => *known = reading,
            Some(_) => {}
            None => worst.push(reading),
        }
    }
    worst
}

/// One line below the table.
pub(super) fn line(clock: &HostClock) -> String {
    let HostClock { host, addr, offset_ns, error_ns, .. } = clock;
    let sign = if *offset_ns < 0 { '−' } else { '+' };
    let ms = |ns: u64| ns as f64 / 1e6;
    format!(
        "Clock of {host} ({addr}): {sign}{:.3} ms ± {:.3} ms, taken off its times.\n",
        ms(offset_ns.unsigned_abs()),
        ms(*error_ns),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(host: &str, nodes: u32, offset_ns: i64, error_ns: u64) -> HostClock {
        let addr = IpAddr::from([192, 0, 2, 1]);
        HostClock { host: host.to_owned(), addr, nodes, offset_ns, error_ns }
    }

    #[test]
    fn a_node_has_the_offset_of_the_host_whose_block_it_is_in() {
        let hosts = [clock("a", 2, 10, 1), clock("b", 1, -20, 1)];
        let offsets: Vec<i64> = (0..4).map(|index| offset_of(&hosts, index)).collect();
        assert_eq!(offsets, [10, 10, -20, 0]);
        assert_eq!(offset_of(&[], 0), 0, "without hosts there is one clock");
    }

    #[test]
    fn the_worst_reading_of_each_host_stands_for_it() {
        let readings =
            [clock("b", 1, 1, 5), clock("a", 1, 2, 7), clock("b", 1, 3, 6), clock("a", 1, 4, 6)];
        assert_eq!(worst(readings), [clock("b", 1, 3, 6), clock("a", 1, 2, 7)]);
    }

    #[test]
    fn a_clock_is_told_with_its_sign_and_its_error() {
        let text = line(&clock("b", 8, -120_000, 300_000));
        assert_eq!(text, "Clock of b (192.0.2.1): −0.120 ms ± 0.300 ms, taken off its times.\n");
    }
}
