//! The messages of a run in virtual time, and what is done to the cluster meanwhile.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use rumormill::Instant;
use rumormill_sim::ProcessId;

use super::{LOOK_EVERY, Play, check_interrupt, params};
use crate::experiment::conditions::ORIGIN;
use crate::experiment::run::{KEY_AND_VALUE, MARGIN, RunError, Stage};
use crate::metrics::Outage;
use crate::peer::Peer;
use crate::sim_node::{self, SimNode};
use crate::trace::{RumorTag, TraceWriter};

/// How long a node that churns is down.
const DOWN_FOR: Duration = Duration::from_secs(5);

/// Who has which of the messages that are looked at now.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    wanted: Vec<RumorTag>,
    /// How many of them each node is known to have, in their order.
    had: Vec<usize>,
}

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

impl Play<'_> {
    /// Writes all messages and lets windows and horizons pass.
    pub(super) fn spread(&mut self, progress: &mut dyn FnMut(Stage)) -> Result<(), RunError> {
        let conditions = self.plan.file.conditions;
        for _ in 0..conditions.warm {
            self.pause();
            self.receipts = Receipts::default();
            self.write()?;
            if conditions.rate.is_none() {
                self.watch(Duration::ZERO, progress)?;
            }
        }
        self.mark();
        self.receipts = Receipts::default();
        for number in 0..conditions.messages {
            self.pause();
            if number == 0 {
                self.strike();
            }
            self.write()?;
            if conditions.rate.is_none() || number + 1 == conditions.messages {
                let window = Duration::from_millis(self.plan.file.run.window_ms);
                self.watch(window + MARGIN, progress)?;
            }
        }
        Ok(())
    }

    /// Until the next message is written.
    fn pause(&mut self) {
        let pause = self.plan.file.conditions.gap().unwrap_or_else(|| {
            // What went before lies close behind somebody's tick; the message must not.
            self.chance.below_duration(Duration::from_millis(self.plan.file.run.interval_ms))
        });
        self.run_for(pause);
    }

    fn write(&mut self) -> Result<(), RunError> {
        check_interrupt()?;
        let (key, value) = KEY_AND_VALUE;
        let (written, created) = self.world.act(ProcessId::new(ORIGIN), |ctl, app| {
            let value = Bytes::from_static(value.as_bytes());
            (app.write(ctl, key.as_bytes(), Some(value)), app.created())
        });
        written.map_err(|error| RunError::Write(error.to_string()))?;
        self.receipts.wanted.extend(created);
        Ok(())
    }

    /// Waits until all who live have all messages, at most until the horizon, and at least for the
    /// window.
    fn watch(&mut self, window: Duration, progress: &mut dyn FnMut(Stage)) -> Result<(), RunError> {
        let horizon = Duration::from_millis(self.plan.file.run.horizon_ms);
        let (window_ends, horizon_ends) = (self.world.now() + window, self.world.now() + horizon);
        let (mut infected, mut live) = (0, usize::MAX);
        while self.world.now() < window_ends || (infected < live && self.world.now() < horizon_ends)
        {
            check_interrupt()?;
            self.run_for(LOOK_EVERY);
            (infected, live) = self.infected();
            progress(if infected < live { Stage::Spreading(infected) } else { Stage::Watching });
        }
        Ok(())
    }

    /// How many nodes have all messages, and how many live.
    fn infected(&mut self) -> (usize, usize) {
        let Receipts { wanted, had } = &mut self.receipts;
        had.resize(self.world.size(), 0);
        let apps = self.world.ids().filter_map(|id| Some((id, self.world.app(id)?)));
        let (mut infected, mut live) = (0, 0);
        for (id, app) in apps {
            let had = &mut had[id.index()];
            while wanted.get(*had).is_some_and(|rumor| app.has(*rumor)) {
                *had += 1;
            }
            infected += usize::from(*had == wanted.len());
            live += 1;
        }
        (infected, live)
    }

    /// The measuring begins.
    fn mark(&mut self) {
        for id in self.world.ids() {
            self.world.act(id, |ctl, app| app.mark(ctl.now(), ctl.node()));
        }
    }

    /// The faults begin.
    fn strike(&mut self) {
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
        self.outages.push(Outage {
            node: u32::try_from(id.index() + 1).unwrap_or(u32::MAX),
            from_ns: sim_node::wall(self.world.now()).0,
            until_ns: back_at.map(|back_at| sim_node::wall(back_at).0),
        });
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
    fn run_for(&mut self, duration: Duration) {
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
