//! The floor of a machine: the same processes, a bare UDP flood over the same links, and nothing
//! else. No protocol can spread news faster here.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::cluster::{Cluster, ClusterError, Site};
use crate::agent::job::{Job, Task};
use crate::node::control::{self, Order, Report};
use crate::node::wall;
use crate::report::offset_of;
use crate::summary::Statistics;
use crate::topology::Graph;

/// Bytes of a flooded datagram: about those of a rumour in its envelope.
const DATAGRAM_LEN: usize = 100;
/// A node reports receipts when nothing came for this long, so as not to disturb the flood.
const QUIET: Duration = Duration::from_millis(20);
/// Longest wait for a round: many times what a flood takes.
const ROUND_MAX: Duration = Duration::from_secs(2);
/// Longest wait for the processes to come up.
const START_MAX: Duration = Duration::from_secs(30);

/// What a calibration found.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Time from the start to the last receipt, in milliseconds, of each round that reached all.
    pub rounds_ms: Vec<f64>,
    /// Rounds that lost a datagram and did not reach all.
    pub incomplete: u32,
}

impl Calibration {
    /// The median round, in milliseconds; `None` if no round reached all.
    #[must_use]
    pub fn median_ms(&self) -> Option<f64> {
        self.rounds_ms.iter().copied().collect::<Statistics>().median()
    }
}

/// Floods a graph of processes some times.
///
/// # Errors
///
/// [`ClusterError`] if the processes fail.
pub fn calibrate(
    site: &mut Site,
    dir: &Path,
    graph: &Graph,
    rounds: u32,
) -> Result<Calibration, ClusterError> {
    let nodes = graph.nodes();
    let numbers = 1..=u32::try_from(nodes).unwrap_or(u32::MAX);
    let jobs = numbers.map(|number| Job { number, task: Task::Flood }).collect();
    let mut cluster = Cluster::spawn(site, dir, jobs)?;
    let addrs = bound(&mut cluster)?;
    for index in 0..nodes {
        let neighbors = graph.neighbors(index).iter().map(|&end| addrs[end]).collect();
        let start = Order::Start { neighbors, seed: None, push_pull_ms: 0, retransmit_mult: 0 };
        cluster.order(index, &start);
    }
    await_links(&mut cluster)?;
    let mut calibration = Calibration { rounds_ms: Vec::new(), incomplete: 0 };
    for round in 0..rounds {
        match flood_once(&mut cluster, round)? {
            Some(ms) => calibration.rounds_ms.push(ms),
            None => calibration.incomplete += 1,
        }
    }
    Ok(calibration)
}

fn bound(cluster: &mut Cluster<'_>) -> Result<Vec<SocketAddr>, ClusterError> {
    let mut addrs = vec![None; cluster.len()];
    let mut missing = addrs.len();
    let take = |index: usize, report| {
        if let Report::Bound { gossip, .. } = report {
            addrs[index] = Some(gossip);
            missing -= 1;
        }
        missing == 0
    };
    cluster.wait_until("all processes are up", START_MAX, take, String::new)?;
    Ok(addrs.into_iter().flatten().collect())
}

/// A node that does not know its links yet would swallow the flood.
fn await_links(cluster: &mut Cluster<'_>) -> Result<(), ClusterError> {
    let mut missing = cluster.len();
    let take = |_: usize, report| {
        missing -= usize::from(report == Report::Linked);
        missing == 0
    };
    cluster.wait_until("all processes know their links", START_MAX, take, String::new)
}

/// The time from the start to the last receipt, in milliseconds.
fn flood_once(cluster: &mut Cluster<'_>, wanted: u32) -> Result<Option<f64>, ClusterError> {
    let mut times = Vec::with_capacity(cluster.len());
    let (nodes, clocks) = (cluster.len(), cluster.clocks()?);
    cluster.order(0, &Order::Flood { round: wanted });
    let take = |index: usize, report| {
        if let Report::Flooded { round, t } = report
            && round == wanted
        {
            times.push(t.saturating_add_signed(offset_of(&clocks, index).saturating_neg()));
        }
        times.len() == nodes
    };
    match cluster.wait_until("the flood has reached all", ROUND_MAX, take, String::new) {
        Ok(()) => {}
        Err(ClusterError::TimedOut { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let (first, last) = (times.iter().min(), times.iter().max());
    let span = first.zip(last).map_or(0, |(first, last)| last - first);
    Ok(Some(Duration::from_nanos(span).as_secs_f64() * 1_000.0))
}

/// What the two threads of a flooding process share.
#[derive(Debug)]
struct Flooder {
    socket: UdpSocket,
    neighbors: OnceLock<Vec<SocketAddr>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    rounds: BTreeSet<u32>,
    unreported: Vec<(u32, u64)>,
}

/// Runs one process of a calibration on an address until its coordinator hangs up.
///
/// # Errors
///
/// What the system says about the socket.
pub fn run_node(bind: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((bind, 0))?;
    socket.set_read_timeout(Some(QUIET))?;
    let gossip = socket.local_addr()?;
    let flooder =
        Arc::new(Flooder { socket, neighbors: OnceLock::new(), seen: Mutex::new(Seen::default()) });
    control::report(&Report::Bound { gossip, http: None });
    let orders = Arc::clone(&flooder);
    std::thread::spawn(move || orders.obey());
    let mut datagram = [0; DATAGRAM_LEN];
    loop {
        match flooder.socket.recv_from(&mut datagram) {
            Ok((len, from)) if len == DATAGRAM_LEN => {
                let round =
                    u32::from_be_bytes([datagram[0], datagram[1], datagram[2], datagram[3]]);
                flooder.flood(round, Some(from));
            }
            Ok(_) => {}
            Err(error) if is_quiet(&error) => flooder.report(),
            Err(error) => return Err(error),
        }
    }
}

fn is_quiet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

impl Flooder {
    /// Carries out the coordinator's orders; its end is the process' end.
    fn obey(&self) {
        for line in io::stdin().lines().map_while(Result::ok) {
            match control::parse_order(&line) {
                Ok(Order::Start { neighbors, .. }) => {
                    // A second list would be a mistake of the coordinator; the first one holds.
                    let _ = self.neighbors.set(neighbors);
                    control::report(&Report::Linked);
                }
                Ok(Order::Flood { round }) => self.flood(round, None),
                Ok(Order::Settle | Order::Mark) => {}
                Ok(Order::Finish) | Err(_) => break,
            }
        }
        std::process::exit(0);
    }

    /// Sends a round to all neighbours but the sender, the first time it is seen.
    fn flood(&self, round: u32, from: Option<SocketAddr>) {
        let t = wall().0;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.rounds.insert(round) {
                return;
            }
            seen.unreported.push((round, t));
        }
        let mut datagram = [0; DATAGRAM_LEN];
        datagram[..4].copy_from_slice(&round.to_be_bytes());
        let neighbors = self.neighbors.get().map_or(&[][..], Vec::as_slice);
        for &to in neighbors.iter().filter(|&&to| Some(to) != from) {
            // A datagram that is lost makes the round incomplete, which is reported.
            let _ = self.socket.send_to(&datagram, to);
        }
    }

    fn report(&self) {
        let unreported = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut seen.unreported)
        };
        for (round, t) in unreported {
            control::report(&Report::Flooded { round, t });
        }
    }
}
