//! The messages of a run with processes, and who is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::cluster::{Cluster, ClusterError};
use super::conditions::ORIGIN;
use super::run::{KEY_AND_VALUE, MARGIN, RunError, RunPlan, Stage};
use crate::metrics::Outage;
use crate::node::control::{Order, Report};
use crate::node::wall;
use crate::trace::RumorTag;

/// Longest wait for the coordinator to hear of all messages that warm the cluster up, and for all
/// counters.
const NEWS_MAX: Duration = Duration::from_secs(10);

/// A cluster into which messages are written.
pub(super) struct Spread<'a, 'b> {
    cluster: &'a mut Cluster<'b>,
    plan: &'a RunPlan,
    door: SocketAddr,
    progress: &'a mut dyn FnMut(Stage),
    /// What the first node wrote, in order, as far as it has told.
    written: Vec<RumorTag>,
    has: BTreeMap<RumorTag, BTreeSet<usize>>,
    live: usize,
}

impl<'a, 'b> Spread<'a, 'b> {
    /// Writes through the first node's HTTP door.
    pub(super) fn new(
        cluster: &'a mut Cluster<'b>,
        plan: &'a RunPlan,
        door: SocketAddr,
        progress: &'a mut dyn FnMut(Stage),
    ) -> Self {
        let live = cluster.len();
        let (written, has) = (Vec::new(), BTreeMap::new());
        Self { cluster, plan, door, progress, written, has, live }
    }

    /// Writes all messages and lets windows and horizons pass. Returns who was killed.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub(super) fn run(mut self) -> Result<Vec<Outage>, RunError> {
        let conditions = self.plan.file.conditions;
        for number in 0..conditions.warm as usize {
            self.pause()?;
            self.write()?;
            if conditions.rate.is_none() {
                self.watch(Duration::ZERO, number)?;
            }
        }
        let warm = conditions.warm as usize;
        self.listen(NEWS_MAX, |spread| spread.written.len() >= warm)?;
        self.mark()?;
        let mut outages = Vec::new();
        for number in 0..conditions.messages {
            self.pause()?;
            if number == 0 {
                outages = self.strike()?;
            }
            self.write()?;
            if conditions.rate.is_none() || number + 1 == conditions.messages {
                let window = Duration::from_millis(self.plan.file.run.window_ms);
                self.watch(window + MARGIN, warm + number as usize)?;
            }
        }
        Ok(outages)
    }

    /// Until the next message is written.
    fn pause(&mut self) -> Result<(), RunError> {
        let pause = match self.plan.file.conditions.gap() {
            Some(gap) => gap,
            // What went before lies close behind somebody's tick; the message must not.
            None => random_part(self.plan.file.run.interval_ms).map_err(RunError::Write)?,
        };
        self.listen(pause, |_| false)?;
        Ok(())
    }

    fn write(&mut self) -> Result<(), RunError> {
        match self.cluster.write(ORIGIN, self.door, KEY_AND_VALUE)? {
            Some(refusal) => Err(RunError::Write(refusal)),
            None => Ok(()),
        }
    }

    /// Waits until all who live have the messages up to this one, at most until the horizon, and at
    /// least for the window.
    fn watch(&mut self, window: Duration, last: usize) -> Result<(), RunError> {
        let clock = rumormill_mio::Clock::start();
        (self.progress)(Stage::Spreading(0));
        let horizon = Duration::from_millis(self.plan.file.run.horizon_ms);
        // Who has not got it by the horizon shows in the figures.
        self.listen(horizon, |spread| spread.all_have(last))?;
        (self.progress)(Stage::Watching);
        let spent = Duration::from_micros(clock.now().as_micros());
        self.listen(window.saturating_sub(spent), |_| false)?;
        Ok(())
    }

    fn all_have(&self, last: usize) -> bool {
        let first = (self.plan.file.conditions.warm as usize).min(last);
        let measured = self.written.get(first..=last);
        measured.is_some_and(|rumors| rumors.iter().all(|rumor| self.count(*rumor) >= self.live))
    }

    fn count(&self, rumor: RumorTag) -> usize {
        self.has.get(&rumor).map_or(0, BTreeSet::len)
    }

    /// Takes in what nodes say, for a while or until `done`.
    fn listen(&mut self, wait: Duration, done: impl Fn(&Self) -> bool) -> Result<(), ClusterError> {
        let clock = rumormill_mio::Clock::start();
        let deadline = clock.now() + wait;
        while !done(self) {
            let left = deadline.saturating_since(clock.now());
            match self.cluster.next(left)? {
                Some((index, Report::Infected { id, .. })) => self.note(index, id),
                None if clock.now() >= deadline => return Ok(()),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn note(&mut self, index: usize, rumor: RumorTag) {
        if index == ORIGIN {
            self.written.push(rumor);
        }
        self.has.entry(rumor).or_default().insert(index);
        let infected = self.count(rumor);
        (self.progress)(Stage::Spreading(infected));
    }

    /// The measuring begins.
    fn mark(&mut self) -> Result<(), ClusterError> {
        self.cluster.order_all(&Order::Mark);
        let mut missing = self.cluster.len();
        let take = |_: usize, report| {
            missing -= usize::from(report == Report::Marked);
            missing == 0
        };
        self.cluster.wait_until("all counters are written down", NEWS_MAX, take, String::new)
    }

    /// The faults begin.
    fn strike(&mut self) -> Result<Vec<Outage>, ClusterError> {
        let victims = &self.plan.victims;
        self.live -= victims.len();
        let from_ns = wall().0;
        self.cluster.kill(victims)?;
        let outage = |&index: &usize| Outage {
            node: u32::try_from(index + 1).unwrap_or(u32::MAX),
            from_ns,
            until_ns: None,
        };
        Ok(victims.iter().map(outage).collect())
    }
}

/// A uniformly random part of the interval.
fn random_part(interval_ms: u64) -> Result<Duration, String> {
    let bytes = rumormill_mio::entropy::<8>().map_err(|error| error.to_string())?;
    let micros = u64::from_be_bytes(bytes) % (interval_ms * 1_000).max(1);
    Ok(Duration::from_micros(micros))
}
