//! A topology laid out on hosts: who binds what, who joins whom, who is linked with whom.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeSet;

use super::{Graph, GraphError, Topology};

/// Where gossip ports start unless told otherwise; the original's number.
const GOSSIP_PORT_DEFAULT: u16 = 30_000;
/// Where HTTP ports start unless told otherwise; the original's number. Five hundred nodes on one
/// host fit between the two.
const HTTP_PORT_DEFAULT: u16 = 30_500;

/// Every node of one experiment, and where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The graph.
    pub topology: Topology,
    /// The nodes in order of their index in the graph.
    pub nodes: Vec<NodePlan>,
}

/// One node of a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// `Node1`, `Node2`, …: index + 1, as in the original.
    pub name: String,
    /// Where it listens for gossip, UDP and TCP. The host's own address when the plan has one host
    /// or the host is loopback; otherwise every address of the host, as in the original.
    pub bind: SocketAddr,
    /// What it tells others to send to: the host's address, and the port of `bind`.
    pub advertise: SocketAddr,
    /// Where it answers HTTP: on loopback only.
    pub http: SocketAddr,
    /// Whom it joins: Node1's `advertise`; `None` for Node1 itself.
    pub seed: Option<SocketAddr>,
    /// The `advertise` addresses of the nodes it is linked with, in the graph's order.
    pub neighbors: Vec<SocketAddr>,
}

/// The first port of each kind on every host; node i of a host's block gets the i-th from there.
///
/// A port that is not given is the original's (30000 for gossip, 30500 for HTTP), or follows the
/// other block where the two would overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// First gossip port.
    pub gossip: Option<u16>,
    /// First HTTP port.
    pub http: Option<u16>,
}

/// Why no plan can be made. Every case is the caller's to mend; nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no such graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The list of hosts is empty.
    #[error("no host to put nodes on: name at least one")]
    NoHosts,
    /// A host would stay without a node.
    #[error("{hosts} hosts for {nodes} nodes: name at most {nodes} hosts or raise the dimension")]
    MoreHostsThanNodes {
        /// How many hosts were given.
        hosts: usize,
        /// How many nodes the topology has.
        nodes: usize,
    },
    /// Two blocks would share one host and thus its ports.
    #[error("host {host} is named twice: name each host once")]
    HostTwice {
        /// The host.
        host: IpAddr,
    },
    /// `0.0.0.0` or `::` cannot be sent to.
    #[error("{host} is no host's address: name the one that the other hosts reach it by")]
    HostUnspecified {
        /// The host.
        host: IpAddr,
    },
    /// A socket speaks one family, so half of the cluster could not reach the other.
    #[error("hosts mix IPv4 ({v4}) and IPv6 ({v6}): give all of them in one family")]
    MixedFamilies {
        /// One host of the first family.
        v4: IpAddr,
        /// One host of the second family.
        v6: IpAddr,
    },
    /// Port 0 means "any", which nobody could be told.
    #[error("a {kind} port of 0 cannot be planned with: give 1 to 65535")]
    PortZero {
        /// `gossip` or `http`.
        kind: &'static str,
    },
    /// A host's block of ports leaves the range of ports.
    #[error(
        "{count} {kind} ports from {first} run past 65535: give a lower first port or more hosts"
    )]
    PortsTooHigh {
        /// `gossip` or `http`.
        kind: &'static str,
        /// First port of the block.
        first: u32,
        /// Nodes on the fullest host.
        count: u32,
    },
    /// Both blocks were given, and they meet.
    #[error(
        "gossip ports from {gossip} and http ports from {http} overlap for {count} nodes a host: \
         move them {count} apart"
    )]
    PortsOverlap {
        /// First gossip port.
        gossip: u16,
        /// First HTTP port.
        http: u16,
        /// Nodes on the fullest host.
        count: u32,
    },
}

impl Plan {
    /// Lays out a topology of dimension `dim`, drawn by the seed 0, on `hosts`, in contiguous blocks: of N nodes on H
    /// hosts, node i lives on host ⌊i·H/N⌋.
    ///
    /// ```
    /// use kv_demo::topology::{Plan, Ports, Topology};
    ///
    /// let hosts = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    /// let plan = Plan::new(Topology::Ring, 2, &hosts, Ports::default()).unwrap();
    /// assert_eq!(plan.nodes[2].name, "Node3");
    /// assert_eq!(plan.nodes[2].advertise.to_string(), "10.0.0.2:30000");
    /// ```
    ///
    /// # Errors
    ///
    /// [`PlanError`] when the dimension, the hosts or the ports cannot be planned with.
    pub fn new(
        topology: Topology,
        dim: u32,
        hosts: &[IpAddr],
        ports: Ports,
    ) -> Result<Self, PlanError> {
        Self::of(&Graph::of_dim(topology, dim, 0)?, hosts, ports)
    }

    /// Lays out a graph.
    ///
    /// # Errors
    ///
    /// [`PlanError`] when the hosts or the ports cannot be planned with.
    pub fn of(graph: &Graph, hosts: &[IpAddr], ports: Ports) -> Result<Self, PlanError> {
        let nodes = graph.nodes();
        check_hosts(hosts, nodes)?;
        let (gossip_port, http_port) = first_ports(ports, block_size(nodes, hosts.len()))?;

        let places: Vec<Place> = (0..nodes).map(|index| Place::of(index, nodes, hosts)).collect();
        let advertise: Vec<SocketAddr> =
            places.iter().map(|place| place.address(gossip_port)).collect();
        let nodes = places
            .iter()
            .enumerate()
            .map(|(index, place)| NodePlan {
                name: format!("Node{}", index + 1),
                bind: SocketAddr::new(bind_ip(place.host, hosts.len()), advertise[index].port()),
                advertise: advertise[index],
                http: SocketAddr::new(door_ip(place.host), place.address(http_port).port()),
                seed: (index > 0).then_some(advertise[0]),
                neighbors: graph
                    .neighbors(index)
                    .iter()
                    .map(|&neighbor| advertise[neighbor])
                    .collect(),
            })
            .collect();
        Ok(Self { topology: graph.topology(), nodes })
    }
}

/// Where an HTTP door opens for a node that gossips on `host`: the loopback address itself if it
/// is one, so that 127.0.0.1 and 127.0.0.2 can play two hosts; else the loopback of its family.
pub(crate) fn door_ip(host: IpAddr) -> IpAddr {
    match host {
        host if host.is_loopback() => host,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// With several hosts, the address that others know may sit on another interface or behind a
/// translator, so bind them all; with one host or on loopback nobody else needs to get in.
fn bind_ip(host: IpAddr, hosts: usize) -> IpAddr {
    match host {
        host if hosts == 1 || host.is_loopback() => host,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The host, by its number from 0, on which node `index` of `nodes` lives: ⌊index · hosts / nodes⌋.
///
/// # Panics
///
/// When `nodes` is 0.
#[must_use]
pub const fn host_of(index: usize, nodes: usize, hosts: usize) -> usize {
    index * hosts / nodes
}

/// A node's host, and its number within that host's block.
struct Place {
    host: IpAddr,
    within: u16,
}

impl Place {
    fn of(index: usize, nodes: usize, hosts: &[IpAddr]) -> Self {
        let host = host_of(index, nodes, hosts.len());
        let block_start = (host * nodes).div_ceil(hosts.len());
        let within = u16::try_from(index - block_start).expect("NODES_MAX keeps indices in a u16");
        Self { host: hosts[host], within }
    }

    fn address(&self, first_port: u16) -> SocketAddr {
        let port = first_port.checked_add(self.within).expect("first_ports checked the block");
        SocketAddr::new(self.host, port)
    }
}

/// Nodes on the fullest host.
fn block_size(nodes: usize, hosts: usize) -> u32 {
    u32::try_from(nodes.div_ceil(hosts)).expect("NODES_MAX keeps node counts in a u32")
}

fn check_hosts(hosts: &[IpAddr], nodes: usize) -> Result<(), PlanError> {
    if hosts.is_empty() {
        return Err(PlanError::NoHosts);
    }
    if hosts.len() > nodes {
        return Err(PlanError::MoreHostsThanNodes { hosts: hosts.len(), nodes });
    }
    let mut seen = BTreeSet::new();
    for host in hosts {
        if host.is_unspecified() {
            return Err(PlanError::HostUnspecified { host: *host });
        }
        if !seen.insert(host) {
            return Err(PlanError::HostTwice { host: *host });
        }
    }
    let v4 = hosts.iter().find(|host| host.is_ipv4());
    let v6 = hosts.iter().find(|host| host.is_ipv6());
    match (v4, v6) {
        (Some(v4), Some(v6)) => Err(PlanError::MixedFamilies { v4: *v4, v6: *v6 }),
        _ => Ok(()),
    }
}

/// The first gossip and the first HTTP port, for blocks of `count` ports each that do not meet.
fn first_ports(ports: Ports, count: u32) -> Result<(u16, u16), PlanError> {
    let meets = |a: u32, b: u32| a.abs_diff(b) < count;
    let beside = |default: u16, taken: u32| match u32::from(default) {
        default if meets(default, taken) => taken + count,
        default => default,
    };
    let (gossip, http) = match (ports.gossip.map(u32::from), ports.http.map(u32::from)) {
        (Some(gossip), Some(http)) => (gossip, http),
        (None, Some(http)) => (beside(GOSSIP_PORT_DEFAULT, http), http),
        (gossip, None) => {
            let gossip = gossip.unwrap_or(GOSSIP_PORT_DEFAULT.into());
            (gossip, beside(HTTP_PORT_DEFAULT, gossip))
        }
    };
    let (gossip, http) = (first_port("gossip", gossip, count)?, first_port("http", http, count)?);
    if meets(gossip.into(), http.into()) {
        return Err(PlanError::PortsOverlap { gossip, http, count });
    }
    Ok((gossip, http))
}

fn first_port(kind: &'static str, first: u32, count: u32) -> Result<u16, PlanError> {
    if first == 0 {
        return Err(PlanError::PortZero { kind });
    }
    match u16::try_from(first) {
        Ok(port) if first + count - 1 <= u32::from(u16::MAX) => Ok(port),
        _ => Err(PlanError::PortsTooHigh { kind, first, count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_gets_consecutive_ports_and_is_bound_itself() {
        let plan = plan(Topology::Bus, 2, &["10.0.0.7"]);
        let first = &plan.nodes[0];
        assert_eq!(first.name, "Node1");
        assert_eq!(first.bind, address("10.0.0.7:30000"));
        assert_eq!(first.advertise, first.bind);
        assert_eq!(first.http, address("127.0.0.1:30500"));
        let last = &plan.nodes[3];
        assert_eq!(last.name, "Node4");
        assert_eq!(last.bind, address("10.0.0.7:30003"));
        assert_eq!(last.http, address("127.0.0.1:30503"));
        assert_eq!(last.neighbors, [address("10.0.0.7:30002")]);
    }

    #[test]
    fn several_hosts_get_contiguous_blocks_and_bind_every_address() {
        let plan = plan(Topology::Hypercube, 3, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let advertised: Vec<String> =
            plan.nodes.iter().map(|node| node.advertise.to_string()).collect();
        assert_eq!(
            advertised,
            [
                "10.0.0.1:30000",
                "10.0.0.1:30001",
                "10.0.0.1:30002",
                "10.0.0.2:30000",
                "10.0.0.2:30001",
                "10.0.0.2:30002",
                "10.0.0.3:30000",
                "10.0.0.3:30001",
            ]
        );
        assert_eq!(plan.nodes[4].bind, address("0.0.0.0:30001"));
        assert_eq!(plan.nodes[4].http, address("127.0.0.1:30501"));
    }

    #[test]
    fn loopback_addresses_can_play_several_hosts() {
        let plan = plan(Topology::Ring, 2, &["127.0.0.1", "127.0.0.2"]);
        assert_eq!(plan.nodes[2].bind, address("127.0.0.2:30000"));
        assert_eq!(plan.nodes[2].http, address("127.0.0.2:30500"));
    }

    #[test]
    fn ipv6_hosts_stay_in_their_family() {
        let plan = plan(Topology::Ring, 2, &["2001:db8::1", "2001:db8::2"]);
        assert_eq!(plan.nodes[3].bind, address("[::]:30001"));
        assert_eq!(plan.nodes[3].advertise, address("[2001:db8::2]:30001"));
        assert_eq!(plan.nodes[3].http, address("[::1]:30501"));
    }

    #[test]
    fn everybody_joins_the_first_node_except_itself() {
        let plan = plan(Topology::Hypercube, 4, &["10.0.0.1"]);
        assert_eq!(plan.nodes[0].seed, None);
        for node in &plan.nodes[1..] {
            assert_eq!(node.seed, Some(plan.nodes[0].advertise));
        }
    }

    #[test]
    fn neighbours_are_the_graph_in_addresses() {
        let plan = plan(Topology::Hypercube, 5, &["10.0.0.1", "10.0.0.2"]);
        let graph = Graph::of(Topology::Hypercube, 32, 0).unwrap();
        for (index, node) in plan.nodes.iter().enumerate() {
            let expected: Vec<SocketAddr> = graph
                .neighbors(index)
                .iter()
                .map(|&neighbor| plan.nodes[neighbor].advertise)
                .collect();
            assert_eq!(node.neighbors, expected);
        }
    }

    #[test]
    fn http_ports_move_beyond_a_block_of_more_than_five_hundred() {
        let full = plan_with_ports(9, &["10.0.0.1"], Ports::default()).unwrap();
        assert_eq!(full.nodes[511].advertise.port(), 30_511);
        assert_eq!(full.nodes[0].http.port(), 30_512);
        let small = plan_with_ports(8, &["10.0.0.1"], Ports::default()).unwrap();
        assert_eq!(small.nodes[0].http.port(), 30_500);
        assert_eq!(first_ports(Ports::default(), 499), Ok((30_000, 30_500)));
        assert_eq!(first_ports(Ports::default(), 500), Ok((30_000, 30_500)));
        assert_eq!(first_ports(Ports::default(), 501), Ok((30_000, 30_501)));
    }

    #[test]
    fn default_ports_evade_a_given_block() {
        let http_only = Ports { gossip: None, http: Some(30_100) };
        assert_eq!(first_ports(http_only, 256), Ok((30_356, 30_100)));
        let gossip_only = Ports { gossip: Some(30_450), http: None };
        assert_eq!(first_ports(gossip_only, 64), Ok((30_450, 30_514)));
        let far = Ports { gossip: Some(65_000), http: None };
        assert_eq!(first_ports(far, 64), Ok((65_000, 30_500)));
    }

    #[test]
    fn no_two_nodes_share_a_door() {
        for dim in [1, 4, 9, 10, 14] {
            for hosts in [1_u8, 2, 3, 7].into_iter().filter(|hosts| u32::from(*hosts) <= 1 << dim) {
                let hosts: Vec<IpAddr> =
                    (1..=hosts).map(|host| Ipv4Addr::new(127, 0, 0, host).into()).collect();
                let plan = Plan::new(Topology::Bus, dim, &hosts, Ports::default()).unwrap();
                let doors: BTreeSet<SocketAddr> =
                    plan.nodes.iter().flat_map(|node| [node.bind, node.http]).collect();
                assert_eq!(doors.len(), 2 * plan.nodes.len(), "{dim} {}", hosts.len());
            }
        }
    }

    #[test]
    fn ports_fit_exactly_and_not_one_further() {
        let at = |gossip| Ports { gossip: Some(gossip), http: Some(1) };
        assert!(first_ports(at(65_535 - 15), 16).is_ok());
        assert_eq!(
            first_ports(at(65_535 - 14), 16),
            Err(PlanError::PortsTooHigh { kind: "gossip", first: 65_521, count: 16 })
        );
    }

    #[test]
    fn given_blocks_may_touch_and_not_overlap() {
        let apart = |http| Ports { gossip: Some(4_000), http: Some(http) };
        assert!(first_ports(apart(4_016), 16).is_ok());
        assert!(first_ports(apart(3_984), 16).is_ok());
        for http in [4_015, 4_000, 3_985] {
            assert_eq!(
                first_ports(apart(http), 16),
                Err(PlanError::PortsOverlap { gossip: 4_000, http, count: 16 })
            );
        }
    }

    #[test]
    fn every_refusal_names_its_fix_in_one_line() {
        let bus = |dim, hosts: &[&str], ports| plan_with_ports(dim, hosts, ports).unwrap_err();
        let ports = |gossip, http| Ports { gossip: Some(gossip), http: Some(http) };
        let none = Ports::default();
        let cases = [
            (bus(0, &["::1"], none), "dimension 0 is out of range: use 1 to 16"),
            (bus(17, &["::1"], none), "dimension 17 is out of range: use 1 to 16"),
            (bus(1, &[], none), "no host to put nodes on: name at least one"),
            (
                bus(1, &["::1", "::2", "::3"], none),
                "3 hosts for 2 nodes: name at most 2 hosts or raise the dimension",
            ),
            (bus(1, &["::1", "::1"], none), "host ::1 is named twice: name each host once"),
            (
                bus(1, &["0.0.0.0"], none),
                "0.0.0.0 is no host's address: name the one that the other hosts reach it by",
            ),
            (
                bus(1, &["10.0.0.1", "2001:db8::1"], none),
                "hosts mix IPv4 (10.0.0.1) and IPv6 (2001:db8::1): give all of them in one family",
            ),
            (
                bus(1, &["::1"], ports(0, 1)),
                "a gossip port of 0 cannot be planned with: give 1 to 65535",
            ),
            (
                bus(16, &["10.0.0.1"], none),
                "65536 gossip ports from 30000 run past 65535: \
                 give a lower first port or more hosts",
            ),
            (
                bus(4, &["10.0.0.1"], ports(4000, 4004)),
                "gossip ports from 4000 and http ports from 4004 overlap for 16 nodes a host: \
                 move them 16 apart",
            ),
        ];
        for (error, message) in cases {
            assert_eq!(error.to_string(), message);
        }
    }

    fn plan(topology: Topology, dim: u32, hosts: &[&str]) -> Plan {
        let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Plan::new(topology, dim, &hosts, Ports::default()).unwrap()
    }

    fn plan_with_ports(dim: u32, hosts: &[&str], ports: Ports) -> Result<Plan, PlanError> {
        let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Plan::new(Topology::Bus, dim, &hosts, ports)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }
}
