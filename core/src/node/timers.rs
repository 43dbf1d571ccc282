//! What is due when.
//!
//! There is no table of timers that could disagree with the state: every organ knows its own
//! deadline, and the next one is their minimum.

use core::time::Duration;

use super::outbox::Intent;
use super::{Leaving, Node};
use crate::config::{Params, Stagger};
use crate::event::Fact;
use crate::member::MemberState;
use crate::member::ring::{Next, Sampling, sample};
use crate::probe::{Due, Probe};
use crate::rng::Rng;
use crate::scale::push_pull_interval;
use crate::time::Instant;
use crate::wire::NACK_SINCE;

/// When the periodic actions are due; `None` is off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    probe: Option<Instant>,
    gossip: Option<Instant>,
    push_pull: Option<Instant>,
    heal: Option<Instant>,
}

impl Ticks {
    /// `rngs` are those of gossip, probing, push/pull and healing.
    pub(super) fn start(now: Instant, params: &Params, rngs: &mut [&mut Rng; 4]) -> Self {
        let [gossip, probe, push_pull, heal] = rngs;
        let first = |interval: Option<Duration>, rng: &mut Rng| {
            interval.map(|interval| match params.stagger {
                Stagger::Random => now + rng.below_duration(interval),
                Stagger::Start => now + interval,
            })
        };
        Self {
            probe: first(params.probe_interval, probe),
            gossip: first(params.gossip_interval, gossip),
            push_pull: first(params.push_pull_interval, push_pull),
            heal: first(params.heal_interval, heal),
        }
    }

    /// Lets the next exchange of state begin then, if there are any.
    pub(super) fn sync_at(&mut self, at: Instant) {
        self.push_pull = self.push_pull.map(|due| due.min(at));
    }

    /// Begins those anew whose interval changed.
    pub(super) fn change(
        &mut self,
        now: Instant,
        old: &Params,
        new: &Params,
        rngs: &mut [&mut Rng; 4],
    ) {
        let anew = Self::start(now, new, rngs);
        if old.probe_interval != new.probe_interval {
            self.probe = anew.probe;
        }
        if old.gossip_interval != new.gossip_interval {
            self.gossip = anew.gossip;
        }
        if old.push_pull_interval != new.push_pull_interval {
            self.push_pull = anew.push_pull;
        }
        if old.heal_interval != new.heal_interval {
            self.heal = anew.heal;
        }
    }
}

/// The first multiple of `interval` after `at` that lies after `now`: ticks that were missed are
/// skipped, and the phase is kept.
fn next_tick(at: Instant, interval: Duration, now: Instant) -> Instant {
    let missed = now.saturating_since(at).as_micros() / interval.as_micros().max(1);
    let steps = u32::try_from(missed + 1).unwrap_or(u32::MAX);
    at + interval.saturating_mul(steps)
}

/// The parts of a node that want to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Probe,
    ProbeTick,
    Relays,
    Suspicions,
    Refutation,
    Gossip,
    Overlay,
    Stranded,
    PushPull,
    Heal,
    Seeds,
    Streams,
    Asks,
    Leave,
}

impl Node {
    fn deadlines(&self) -> [(Timer, Option<Instant>); 14] {
        let leave = match self.leaving {
            Leaving::Until(at) => Some(at),
            Leaving::No | Leaving::Done => self.serf.deadline(),
        };
        [
            // The end of a probe and the next tick fall on one instant: the end makes way.
            (Timer::Probe, self.probe.as_ref().map(Probe::deadline)),
            (Timer::ProbeTick, self.ticks.probe),
            (Timer::Relays, self.relay_deadline()),
            (Timer::Suspicions, self.suspicions.peek().map(|entry| entry.0.0)),
            // Before the tick of the same instant, which takes it along.
            (Timer::Refutation, self.refutations.deadline()),
            (Timer::Gossip, self.ticks.gossip),
            (Timer::Overlay, self.overlay.deadline()),
            (Timer::Stranded, self.stranded_at),
            (Timer::PushPull, self.ticks.push_pull),
            (Timer::Heal, self.ticks.heal),
            (Timer::Seeds, self.seeds.deadline()),
            (Timer::Streams, self.streams.deadline()),
            (Timer::Asks, self.asks.deadline()),
            (Timer::Leave, leave),
        ]
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines().iter().filter_map(|&(_, at)| at).min()
    }

    /// Fires everything that is due, once each: an action never makes itself due again at the
    /// same instant.
    pub(super) fn run_timers(&mut self) {
        for (timer, at) in self.deadlines() {
            if at.is_some_and(|at| at <= self.now) {
                self.fire(timer);
            }
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Probe => self.run_probe(),
            Timer::ProbeTick => self.on_probe_tick(),
            Timer::Relays => self.run_relays(),
            Timer::Suspicions => self.run_suspicions(),
            Timer::Refutation => self.run_refutation(),
            Timer::Gossip => self.on_gossip_tick(),
            Timer::Overlay => self.run_overlay(),
            Timer::Stranded => self.expire_stranded_rumors(),
            Timer::PushPull => self.on_push_pull_tick(),
            Timer::Heal => self.on_heal_tick(),
            Timer::Seeds => self.try_due_seeds(),
            Timer::Streams => self.run_stream_deadlines(),
            Timer::Asks => self.run_asks(),
            Timer::Leave => {
                self.finish_intent();
                self.finish_leaving();
            }
        }
    }

    fn on_gossip_tick(&mut self) {
        let due = self.ticks.gossip.zip(self.params.gossip_interval);
        self.ticks.gossip = due.map(|(at, interval)| next_tick(at, interval, self.now));
        self.reconcile();
        self.gossip();
        self.repair();
    }

    fn on_push_pull_tick(&mut self) {
        let interval = self.params.push_pull_interval;
        let interval = interval.map(|interval| push_pull_interval(interval, self.table.len()));
        let due = self.ticks.push_pull.zip(interval);
        self.ticks.push_pull = due.map(|(at, interval)| next_tick(at, interval, self.now));
        self.push_pull_with_random_member();
    }

    fn on_heal_tick(&mut self) {
        let due = self.ticks.heal.zip(self.params.heal_interval);
        self.ticks.heal = due.map(|(at, interval)| next_tick(at, interval, self.now));
        let is_live = |addr| {
            let member = self.table.find_addr(addr).and_then(|id| self.table.get(id));
            member.is_some_and(|record| record.state.is_live())
        };
        let (keep, live) = (self.params.heal_for, self.table.live());
        let missing = self.healer.pick(self.now, keep, live, &mut self.heal_rng, is_live);
        if let Some(addr) = missing.filter(|_| self.leaving == Leaving::No) {
            self.heal(addr);
        }
    }

    // ── Probing ─────────────────────────────────────────────────────────────────────────────────

    fn on_probe_tick(&mut self) {
        let due = self.ticks.probe.zip(self.params.probe_interval);
        self.ticks.probe = due.map(|(at, interval)| next_tick(at, interval, self.now));
        // A probe that lasts longer than the interval, because we are slow, takes the next tick's
        // place.
        if self.probe.is_none() {
            self.start_probe();
        }
    }

    fn start_probe(&mut self) {
        let mut checked = 0;
        let target = loop {
            match self.round.next(&self.table, self.me, &mut checked) {
                Next::Target(target) => break target,
                Next::Wrap => self.reap(),
                Next::Nobody => return,
            }
        };
        let Some(record) = self.table.get(target) else { return };
        let incarnation = record.incarnation;
        let seq = self.take_seq();
        let timeout = self.params.probe_timeout;
        let interval = self.awareness.scale(self.suspicion_interval());
        self.probe = Some(Probe::start(self.now, target, seq, incarnation, timeout, interval));
        self.stats.probes += 1;
        self.intend(Intent::Ping { target, seq });
        if self.doubts_streams(target) {
            self.check_streams(target);
        }
    }

    fn run_probe(&mut self) {
        let Some(probe) = &self.probe else { return };
        match probe.due(self.now) {
            Due::Wait => {}
            Due::AskOthers => self.ask_others(),
            Due::StreamOnly => self.end_probe_by_stream(),
            Due::Failed => self.fail_probe(),
        }
    }

    fn ask_others(&mut self) {
        let Some(mut probe) = self.probe.take() else { return };
        let (target, seq, me) = (probe.target, probe.seq, self.me);
        probe.go_indirect();
        probe.stream = self.ping_by_stream(target, seq, probe.until());
        let relays = sample(
            self.params.indirect_checks,
            self.table.order(),
            &self.table,
            Sampling::Exhaustive,
            &mut self.membership_rng,
            |id, record| id != me && id != target && record.state == MemberState::Alive,
        );
        for relay in relays {
            let nacks = self
                .table
                .get(relay)
                .is_some_and(|record| record.versions.protocol_max() >= NACK_SINCE);
            probe.asked(relay, nacks);
            self.intend(Intent::AskRelay { relay, target, seq });
        }
        self.probe = Some(probe);
    }

    /// The probe under way is over, however it ended.
    pub(super) fn end_probe(&mut self) -> Option<Probe> {
        let probe = self.probe.take()?;
        self.hang_up(probe.stream);
        Some(probe)
    }

    fn end_probe_by_stream(&mut self) {
        let Some(probe) = self.end_probe() else { return };
        self.stats.probes_by_stream_only += 1;
        self.awareness.apply(-1);
        self.only_streams_pass(probe.target);
        if let Some(name) = self.name_of(probe.target) {
            self.tell(Fact::DatagramsLost { name });
        }
    }

    fn fail_probe(&mut self) {
        let Some(probe) = self.end_probe() else { return };
        self.stats.probes_failed += 1;
        self.awareness.apply(probe.failure_delta());
        self.suspect_member(probe.target, probe.incarnation, self.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_are_skipped_and_the_phase_is_kept() {
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        let interval = Duration::from_millis(100);
        for (now, next) in [(30, 130), (129, 130), (130, 230), (131, 230), (1_000, 1_030)] {
            assert_eq!(next_tick(at(30), interval, at(now)), at(next), "at {now}");
        }
    }
}
