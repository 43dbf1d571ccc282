//! What is done to the nodes of a run in virtual time while its messages spread.

use core::time::Duration;
use std::collections::VecDeque;

use rumormill::Instant;
use rumormill_sim::ProcessId;

use super::{Machines, params};
use crate::experiment::conditions::ORIGIN;
use crate::metrics::Outage;
use crate::peer::Peer;
use crate::sim_node::{self, SimNode};
use crate::trace::TraceWriter;

/// How long a node that churns is down.
const DOWN_FOR: Duration = Duration::from_secs(5);

/// Nodes that die and come back.
#[derive(Debug)]
pub(super) struct Turnover {
    gap: Duration,
    next_death: Instant,
    /// Who is down, and until when, in that order.
    down: VecDeque<(Instant, ProcessId)>,
}

impl Turnover {
    fn next_at(&self) -> Instant {
        self.down.front().map_or(self.next_death, |(back_at, _)| self.next_death.min(*back_at))
    }
}

impl Machines<'_> {
    /// The faults begin.
    pub(super) fn begin_faults(&mut self) {
        self.world.network_mut().loss = self.conditions.loss();
        for &victim in &self.plan.victims {
            self.kill(ProcessId::new(victim), None);
        }
        self.turnover = self.plan.file.conditions.churn.map(|churn| {
            let gap = churn.gap(self.world.size()).max(Duration::from_micros(1));
            let next_death = self.world.now() + gap;
            Turnover { gap, next_death, down: VecDeque::new() }
        });
    }

    fn kill(&mut self, id: ProcessId, back_at: Option<Instant>) {
        if back_at.is_some() {
            // Its counters begin anew, so those of this life are written down.
            self.world.act(id, |ctl, app| app.end(ctl.now(), ctl.node()));
        }
        let Some(app) = self.world.crash(id) else { return };
        self.dead.insert(id, app);
        let until_ns = back_at.map(|back_at| sim_node::wall(back_at).0);
        let from_ns = sim_node::wall(self.world.now()).0;
        self.outages.push(Outage::of(id.index(), from_ns, until_ns));
    }

    fn revive(&mut self, id: ProcessId) {
        let Some(app) = self.dead.remove(&id) else { return };
        let trace = app.into_trace().unwrap_or_default();
        let trace = TraceWriter::new(trace, self.plan.trace_format);
        let app = SimNode::new(Peer::new(self.plan.file.run.mode, Some(trace)));
        let config = self.config_of(id);
        let seed = self.world.addr(ProcessId::new(ORIGIN));
        self.world.restart(id, params(config), app);
        self.world.act(id, |ctl, app| {
            app.adopt_again(ctl.now(), ctl.node());
            ctl.act(|node, now| node.join(now, &[seed]));
        });
        // Nobody sends it what was written before.
        if let Some(had) = self.receipts.had.get_mut(id.index()) {
            *had = self.receipts.wanted.len();
        }
    }

    /// Lets time pass, with deaths and returns in it.
    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.world.now() + duration;
        while let Some(at) = self.turnover.as_ref().map(Turnover::next_at).filter(|at| *at <= end) {
            self.world.run_for(at.saturating_since(self.world.now()));
            self.turn_over();
        }
        self.world.run_for(end.saturating_since(self.world.now()));
    }

    fn turn_over(&mut self) {
        let now = self.world.now();
        let Some(turnover) = &mut self.turnover else { return };
        if turnover.down.front().is_some_and(|(back_at, _)| *back_at <= now) {
            if let Some((_, id)) = turnover.down.pop_front() {
                self.revive(id);
            }
            return;
        }
        turnover.next_death = now + turnover.gap;
        let live: Vec<ProcessId> = self
            .world
            .ids()
            .filter(|id| id.index() != ORIGIN && self.world.app(*id).is_some())
            .collect();
        if live.is_empty() {
            return;
        }
        let (victim, back_at) = (*self.chance.pick(&live), now + DOWN_FOR);
        turnover.down.push_back((back_at, victim));
        self.kill(victim, Some(back_at));
    }
}
