//! The nodes of a run as processes with sockets, on this host or on others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rumormill_mio::Clock;

use super::cluster::{Cluster, ClusterError, Site};
use super::conditions::ORIGIN;
use super::course::{Ending, Nodes, Reach};
use super::run::{KEY_AND_VALUE, RunError, RunPlan};
use crate::agent::job::{Job, Task};
use crate::metrics::Outage;
use crate::node::control::{Order, Report};
use crate::node::wall;
use crate::trace::RumorTag;

/// Longest wait for processes to bind their ports.
const BIND_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the coordinator to hear of all messages that warm the cluster up, and for all
/// counters.
const NEWS_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the last traces.
const FINISH_MAX: Duration = Duration::from_secs(20);

/// Processes, and what they have told.
pub(super) struct Processes<'a> {
    cluster: Cluster<'a>,
    plan: &'a RunPlan,
    /// It runs since they have their ports.
    clock: Clock,
    nodes: Vec<Addresses>,
    heard: Heard,
    /// How many messages were written.
    wrote: usize,
    /// The first of them that is of interest and that somebody may lack.
    lacked: usize,
    outages: Vec<Outage>,
}

/// A node's addresses.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    gossip: SocketAddr,
    http: Option<SocketAddr>,
}

/// What nodes have told.
#[derive(Debug)]
struct Heard {
    /// How many members each sees.
    members: Vec<usize>,
    /// How many have no more to tell about members.
    settled: usize,
    /// How many have written their counters down.
    marked: usize,
    /// What the first one wrote, in order.
    written: Vec<RumorTag>,
    /// Who has what.
    has: BTreeMap<RumorTag, BTreeSet<usize>>,
}

impl Heard {
    fn note(&mut self, index: usize, report: Report) {
        match report {
            Report::Live { members } => self.members[index] = members,
            Report::Settled => self.settled += 1,
            Report::Marked => self.marked += 1,
            Report::Infected { id, .. } => {
                if index == ORIGIN {
                    self.written.push(id);
                }
                self.has.entry(id).or_default().insert(index);
            }
            Report::Bound { .. } | Report::Linked | Report::Flooded { .. } | Report::Done => {}
        }
    }

    /// How many have the message of this number.
    fn count(&self, number: usize) -> usize {
        let has = self.written.get(number).and_then(|rumor| self.has.get(rumor));
        has.map_or(0, BTreeSet::len)
    }
}

impl<'a> Processes<'a> {
    /// Starts them and waits until they have their ports. They end when it is dropped.
    pub(super) fn open(site: &'a mut Site, plan: &'a RunPlan) -> Result<Self, RunError> {
        let mut cluster = Cluster::spawn(site, &plan.dir, jobs(plan))?;
        let nodes = wait_bound(&mut cluster)?;
        // Each sees itself.
        let members = vec![1; nodes.len()];
        let (written, has) = (Vec::new(), BTreeMap::new());
        let heard = Heard { members, settled: 0, marked: 0, written, has };
        let (clock, outages) = (Clock::start(), Vec::new());
        Ok(Self { cluster, plan, clock, nodes, heard, wrote: 0, lacked: 0, outages })
    }

    /// A node that is done ends, so the end of one is no failure while others still write.
    fn wait_until_done(&mut self) -> Result<(), ClusterError> {
        let (size, mut done) = (self.cluster.len() - self.cluster.killed(), 0);
        while done < size {
            match self.cluster.next(FINISH_MAX) {
                Ok(Some((_, Report::Done))) => done += 1,
                Ok(Some(_)) | Err(ClusterError::Ended { .. }) => {}
                Ok(None) => {
                    return Err(ClusterError::TimedOut {
                        seconds: FINISH_MAX.as_secs(),
                        what: "all traces are written",
                        progress: format!("{done} of {size}"),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn jobs(plan: &RunPlan) -> Vec<Job> {
    let (run, overrides, trace_format) = (plan.file.run, plan.overrides, plan.trace_format);
    let task = Task::Node { mode: run.mode, preset: run.preset, overrides, trace_format };
    (1..=run.nodes).map(|number| Job { number, task }).collect()
}

fn wait_bound(cluster: &mut Cluster<'_>) -> Result<Vec<Addresses>, ClusterError> {
    let mut nodes = vec![None; cluster.len()];
    let mut missing = nodes.len();
    let take = |index: usize, report| {
        if let Report::Bound { gossip, http } = report {
            nodes[index] = Some(Addresses { gossip, http });
            missing -= 1;
        }
        missing == 0
    };
    cluster.wait_until("all nodes have their ports", BIND_MAX, take, String::new)?;
    Ok(nodes.into_iter().flatten().collect())
}

impl Nodes for Processes<'_> {
    fn size(&self) -> usize {
        self.nodes.len()
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.clock.now().as_micros())
    }

    fn pass(&mut self, time: Duration) -> Result<(), RunError> {
        self.wait(time, |_| false).map(drop)
    }

    fn wait(
        &mut self,
        most: Duration,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, RunError> {
        let deadline = self.clock.now() + most;
        while !is_so(self) {
            let left = deadline.saturating_since(self.clock.now());
            match self.cluster.next(left)? {
                Some((index, report)) => self.heard.note(index, report),
                None if self.clock.now() >= deadline => return Ok(false),
                None => {}
            }
        }
        Ok(true)
    }

    fn part_of(&mut self, time: Duration) -> Result<Duration, RunError> {
        let bytes = rumormill_mio::entropy::<8>();
        let bytes = bytes.map_err(|error| RunError::Write(error.to_string()))?;
        let whole = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        Ok(Duration::from_micros(u64::from_be_bytes(bytes) % whole))
    }

    fn start(&mut self, index: usize) {
        let ends = self.plan.graph.neighbors(index).iter();
        let start = Order::Start {
            neighbors: ends.map(|&end| self.nodes[end].gossip).collect(),
            seed: (index != ORIGIN).then_some(self.nodes[ORIGIN].gossip),
            push_pull_ms: self.plan.file.barrier.push_pull_ms,
            retransmit_mult: self.plan.file.barrier.retransmit_mult,
        };
        self.cluster.order(index, &start);
    }

    fn seeing_all(&self) -> usize {
        let size = self.size();
        self.heard.members.iter().filter(|&&seen| seen == size).count()
    }

    fn settle(&mut self) {
        self.cluster.order_all(&Order::Settle);
    }

    fn settled(&self) -> usize {
        self.heard.settled
    }

    /// Through its HTTP door.
    fn write(&mut self) -> Result<(), RunError> {
        let door = self.nodes.get(ORIGIN).and_then(|node| node.http);
        let door = door.ok_or_else(|| RunError::Write("it has no HTTP door".to_owned()))?;
        if let Some(refusal) = self.cluster.write(ORIGIN, door, KEY_AND_VALUE)? {
            return Err(RunError::Write(refusal));
        }
        self.wrote += 1;
        Ok(())
    }

    fn forget(&mut self) {
        self.lacked = self.wrote;
    }

    /// Of several messages the first that somebody lacks counts: the others wait for it.
    fn reach(&mut self) -> Reach {
        let live = self.cluster.len() - self.cluster.killed();
        while self.lacked < self.wrote && self.heard.count(self.lacked) >= live {
            self.lacked += 1;
        }
        let has = if self.lacked < self.wrote { self.heard.count(self.lacked) } else { live };
        Reach { has, live }
    }

    fn mark(&mut self) -> Result<(), RunError> {
        // What the first node tells of earlier messages must not be taken for later ones.
        self.wait(NEWS_MAX, |nodes| nodes.heard.written.len() >= nodes.wrote)?;
        self.cluster.order_all(&Order::Mark);
        let size = self.size();
        if self.wait(NEWS_MAX, |nodes| nodes.heard.marked == size)? {
            return Ok(());
        }
        let (seconds, what) = (NEWS_MAX.as_secs(), "all counters are written down");
        let progress = format!("{} of {size}", self.heard.marked);
        Err(ClusterError::TimedOut { seconds, what, progress }.into())
    }

    fn strike(&mut self) -> Result<(), RunError> {
        let (victims, from_ns) = (&self.plan.victims, wall().0);
        self.cluster.kill(victims)?;
        self.outages.extend(victims.iter().map(|&index| Outage::of(index, from_ns, None)));
        Ok(())
    }

    fn end(mut self) -> Result<Ending, RunError> {
        self.cluster.order_all(&Order::Finish);
        self.wait_until_done()?;
        self.cluster.collect(&self.plan.dir)?;
        Ok(Ending { hosts: self.cluster.clocks()?, outages: self.outages })
    }
}
