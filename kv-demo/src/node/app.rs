//! The node's application: the replica, its messages, the changes, the trace.

use std::collections::HashSet;
use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rumormill::{Datagram, Event, Fact, Instant, Node, Params};
use rumormill_mio::{App, Ctl, NodeKey, wall_clock};
use tokio::sync::oneshot;

use super::changes::{Change, ChangeLog};
use super::command::Command;
use super::control::{self, Order, Report};
use super::joins::{Joins, Reached};
use super::seeds::Names;
use super::view::MembersView;
use crate::peer::{self, Arrival, Peer, Wall};
use crate::replica::{CHANNEL, WriteError};
use crate::settings::Settings;
use crate::store::Version;
use crate::trace::{RumorTag, TraceWriter};

/// The coordinator hears of a receipt this much later: its wake-up would disturb the spreading that
/// is being measured. The trace has the true time.
const REPORT_AFTER: Duration = Duration::from_millis(50);
/// Longest queue of those who wait for the next change.
const WAITING_MAX: usize = 64;
/// The whole state is encoded for push/pulls at most for this part of the time: 1 in 20.
const STATE_COST_SHARE: u32 = 20;

/// Whom the node works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Master {
    /// People and programs, through its doors.
    Itself,
    /// The coordinator of an experiment.
    Coordinator,
}

#[derive(Debug)]
pub(crate) struct KvApp {
    settings: Settings,
    master: Master,
    peer: Peer<File>,
    changes: ChangeLog,
    names: Names,
    /// Seeds that were given as addresses: they are tried for ever.
    seeds: Vec<SocketAddr>,
    joins: Joins,
    waiting: Vec<(u64, oneshot::Sender<Vec<Change>>)>,
    /// When the state may be encoded again, after it changed.
    state_at: Instant,
    is_state_stale: bool,
    key: Option<NodeKey>,
    live_reported: usize,
    barrier: Barrier,
    /// Receipts that the coordinator has not heard of, and when it will.
    infected: Vec<(u64, RumorTag)>,
    report_at: Instant,
    is_leaving: bool,
    /// Those who wait until the goodbye has been said.
    leave_replies: Vec<oneshot::Sender<()>>,
}

/// Where a node stands at the experiment's barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Barrier {
    /// Not all nodes see all nodes yet.
    Ahead,
    /// They do, and the last news about members is being told.
    Settling,
    /// There is none left.
    Passed,
}

impl KvApp {
    pub(crate) fn new(
        settings: Settings,
        master: Master,
        trace: Option<TraceWriter<File>>,
    ) -> Self {
        Self {
            peer: Peer::new(settings.mode, trace),
            settings,
            master,
            changes: ChangeLog::default(),
            names: Names::default(),
            seeds: Vec::new(),
            joins: Joins::default(),
            waiting: Vec::new(),
            state_at: Instant::ZERO,
            is_state_stale: false,
            key: None,
            live_reported: 0,
            barrier: Barrier::Ahead,
            infected: Vec::new(),
            report_at: Instant::ZERO,
            is_leaving: false,
            leave_replies: Vec::new(),
        }
    }

    /// Tells the application which node is its own, and begins the trace under its label.
    pub(crate) fn adopt(&mut self, key: NodeKey, node: &Node, label: &str) {
        self.key = Some(key);
        self.peer.adopt(wall(), node, label);
    }

    // ── The store ───────────────────────────────────────────────────────────────────────────────

    fn write(
        &mut self,
        ctl: &mut Ctl<'_>,
        key: &[u8],
        value: Option<Bytes>,
    ) -> Result<Version, WriteError> {
        let Some(node) = self.key.filter(|_| !self.is_leaving) else {
            return Err(WriteError::Leaving);
        };
        let wall = wall();
        let peer = &mut self.peer;
        let version = ctl.act(node, |node, now| peer.write(wall, node, now, key, value))?;
        let id = self.peer.created();
        self.note_infection(wall, ctl.now(), id);
        Ok(version)
    }

    /// Encodes the state for push/pulls after it changed, at the end of a turn, and not so often
    /// that it would take a large part of the time.
    fn refresh_state(&mut self, ctl: &mut Ctl<'_>) {
        self.is_state_stale |= self.peer.take_changed();
        let Some(node) = self.key else { return };
        let began = ctl.now();
        if !self.is_state_stale || began < self.state_at {
            return;
        }
        self.is_state_stale = false;
        if let Some(state) = self.peer.state() {
            ctl.act(node, |node, _| node.set_channel_state(CHANNEL, state));
        }
        let cost = ctl.now().saturating_since(began);
        self.state_at = ctl.now() + cost * STATE_COST_SHARE;
    }

    // ── Experiments ─────────────────────────────────────────────────────────────────────────────

    fn on_order(&mut self, ctl: &mut Ctl<'_>, order: Order) {
        let Some(node) = self.key else { return };
        match order {
            Order::Start { neighbors, seed, push_pull_ms, retransmit_mult } => {
                self.settings.neighbors = neighbors;
                let mut config = self.settings.config();
                config.push_pull_interval = Some(Duration::from_millis(push_pull_ms));
                config.retransmit_mult = retransmit_mult;
                self.set_params(ctl, config);
                let seeds: Vec<SocketAddr> = seed.into_iter().collect();
                ctl.act(node, |node, now| node.join(now, &seeds));
            }
            Order::Settle => {
                self.set_params(ctl, self.settings.config());
                self.barrier = Barrier::Settling;
            }
            Order::Mark => {
                self.peer.mark(wall(), ctl.node(node));
                control::report(&Report::Marked);
            }
            Order::Finish => self.finish(ctl),
            Order::Flood { .. } => tracing::error!("only a calibration node floods"),
        }
    }

    fn set_params(&self, ctl: &mut Ctl<'_>, config: rumormill::Config) {
        let Some(node) = self.key else { return };
        match Params::try_from(config) {
            Ok(params) => ctl.act(node, |node, now| node.set_params(now, params)),
            Err(error) => {
                tracing::error!(%error, "the experiment's parameters do not fit together");
                ctl.stop();
            }
        }
    }

    fn finish(&mut self, ctl: &mut Ctl<'_>) {
        if let Some(key) = self.key {
            self.peer.end(wall(), ctl.node(key));
        }
        control::report(&Report::Done);
        ctl.stop();
    }

    fn note_infection(&mut self, wall: Wall, now: Instant, id: Option<RumorTag>) {
        if self.master == Master::Coordinator {
            self.infected.extend(id.map(|id| (wall.0, id)));
            self.report_at = now + REPORT_AFTER;
        }
    }

    fn report_progress(&mut self, ctl: &Ctl<'_>) {
        let Some(node) = self.key else { return };
        if ctl.now() >= self.report_at {
            for (t, id) in self.infected.drain(..) {
                control::report(&Report::Infected { t, id });
            }
        }
        let live = ctl.node(node).live_members();
        if live != self.live_reported {
            self.live_reported = live;
            control::report(&Report::Live { members: live });
        }
        if self.barrier == Barrier::Settling && ctl.node(node).updates_waiting() == 0 {
            self.barrier = Barrier::Passed;
            control::report(&Report::Settled);
        }
    }

    pub(crate) fn flush_trace(&mut self) {
        self.peer.flush_trace();
    }

    // ── Changes ─────────────────────────────────────────────────────────────────────────────────

    fn on_change(&mut self, ctl: &Ctl<'_>, node: NodeKey, fact: &Fact) {
        let own = ctl.node(node).local().name.clone();
        let Some(change) = self.changes.record(wall().ms(), fact, &own) else { return };
        tracing::info!(member = %change.member, cause = %change.cause, "{}", change.what.name());
        for (after, reply) in self.waiting.drain(..) {
            // Whoever gave up waiting has dropped the other end.
            let _ = reply.send(self.changes.since(after));
        }
    }

    fn on_changes_wanted(&mut self, after: u64, reply: oneshot::Sender<Vec<Change>>) {
        self.waiting.retain(|(_, reply)| !reply.is_closed());
        // A number from a later life of this node would wait for ever.
        let after = after.min(self.changes.last());
        let news = self.changes.since(after);
        if news.is_empty() && self.waiting.len() < WAITING_MAX {
            self.waiting.push((after, reply));
        } else {
            let _ = reply.send(news);
        }
    }

    // ── Seeds ───────────────────────────────────────────────────────────────────────────────────

    fn on_resolved(&mut self, ctl: &mut Ctl<'_>, names: Vec<Vec<SocketAddr>>) {
        let Some(key) = self.key else { return };
        let node = ctl.node(key);
        let own = node.local().addr;
        let live = node.members().filter(|member| member.state.is_live());
        let others: HashSet<SocketAddr> =
            live.map(|member| member.addr).filter(|&addr| addr != own).collect();
        let is_known = |addr| others.contains(&addr);
        let plan = self.names.resolved(names, is_known, others.is_empty());
        ctl.act(key, |node, now| {
            node.forget_seeds(&plan.forget);
            node.join(now, &plan.join);
        });
    }

    /// The node tries these addresses for ever, whoever else joins or gives up on them.
    pub(crate) fn keep_trying(&mut self, seeds: &[SocketAddr]) {
        self.seeds.extend_from_slice(seeds);
    }

    fn reach(
        &mut self,
        ctl: &mut Ctl<'_>,
        seeds: &[SocketAddr],
        within: Duration,
        reply: oneshot::Sender<Option<Vec<(SocketAddr, Reached)>>>,
    ) {
        let Some(key) = self.key.filter(|_| !self.is_leaving) else { return };
        let own = ctl.node(key).local().addr;
        if let Err(reply) = self.joins.add(seeds, own, ctl.now() + within, reply) {
            let _ = reply.send(None);
            return;
        }
        ctl.act(key, |node, now| {
            // One that failed before would be tried after its pause only.
            node.forget_seeds(seeds);
            node.join(now, seeds);
        });
    }

    fn settle_joins(&mut self, ctl: &mut Ctl<'_>) {
        let Some(key) = self.key.filter(|_| self.joins.deadline().is_some()) else { return };
        let mut given_up = self.joins.settle(ctl.now());
        given_up.retain(|seed| !self.seeds.contains(seed) && !self.names.include(*seed));
        ctl.act(key, |node, _| node.forget_seeds(&given_up));
    }

    fn leave(&mut self, ctl: &mut Ctl<'_>) {
        match self.key {
            Some(key) if !self.is_leaving => {
                self.is_leaving = true;
                tracing::info!("leaving the cluster; interrupt again to end at once");
                ctl.act(key, Node::leave);
            }
            _ => ctl.stop(),
        }
    }

    fn leave_and_tell(&mut self, ctl: &mut Ctl<'_>, reply: oneshot::Sender<()>) {
        self.leave_replies.push(reply);
        if !self.is_leaving {
            self.leave(ctl);
        }
    }

    fn on_left(&mut self, ctl: &mut Ctl<'_>) {
        for reply in self.leave_replies.drain(..) {
            let _ = reply.send(());
        }
        ctl.stop();
    }
}

impl App for KvApp {
    type Command = Command;

    fn on_event(&mut self, ctl: &mut Ctl<'_>, node: NodeKey, event: Event) {
        self.on_change(ctl, node, &event.fact);
        match event.fact {
            Fact::Rumor { id, channel, hop, from, payload } => {
                // The receipt counts from when the datagram was handed in.
                let since = ctl.now().saturating_since(event.at);
                let wall = Wall(wall().0.saturating_sub(nanos(since)));
                let arrival = Arrival { id: &id, channel, payload: &payload, from, hop };
                self.peer.receive(wall, &arrival);
                self.note_infection(wall, ctl.now(), Some(peer::tag(&id)));
            }
            Fact::PeerState { from, channel: CHANNEL, bytes, .. } => {
                self.peer.merge_state(wall(), from, &bytes);
            }
            Fact::SeedReached { seed } => {
                self.joins.note(seed, &Reached::Joined);
                let others = self.names.answered(seed);
                ctl.act(node, |node, _| node.forget_seeds(&others));
            }
            Fact::SeedFailed { seed, reason, .. } => {
                self.joins.note(seed, &Reached::Failed(reason.to_string()));
            }
            Fact::LeaveDone => self.on_left(ctl),
            _ => {}
        }
    }

    fn on_command(&mut self, ctl: &mut Ctl<'_>, command: Command) {
        // A reply that nobody waits for any more is dropped.
        match command {
            Command::Write { key, value, reply } => {
                let _ = reply.send(self.write(ctl, &key, value));
            }
            Command::Get { key, reply } => {
                let entry = self.peer.replica().store().entry(&key);
                let found = entry.and_then(|entry| {
                    entry.value.clone().map(|value| (value, entry.version.clone()))
                });
                let _ = reply.send(found);
            }
            Command::Members { reply } => {
                if let Some(key) = self.key {
                    let last = self.changes.last();
                    let _ = reply.send(MembersView::of(ctl.node(key), ctl.now(), last));
                }
            }
            Command::Changes { after, reply } => self.on_changes_wanted(after, reply),
            Command::Join(names) => self.on_resolved(ctl, names),
            Command::Reach { seeds, within, reply } => self.reach(ctl, &seeds, within, reply),
            Command::Leave => self.leave(ctl),
            Command::LeaveAndTell { reply } => self.leave_and_tell(ctl, reply),
            Command::Keys { reply } => {
                if let Some(key) = self.key {
                    let _ = reply.send(ctl.node(key).keyring().clone());
                }
            }
            Command::SetKeys { ring, reply } => {
                if let Some(key) = self.key {
                    ctl.act(key, |node, _| *node.keyring_mut() = ring);
                    let _ = reply.send(());
                }
            }
            Command::Order(order) => self.on_order(ctl, order),
            Command::Abandoned => {
                self.flush_trace();
                ctl.stop();
            }
        }
    }

    fn on_datagram(&mut self, _: NodeKey, to: SocketAddr, len: usize, datagram: &Datagram) {
        self.peer.note_datagram(wall(), to, len, datagram);
    }

    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        self.refresh_state(ctl);
        self.settle_joins(ctl);
        if self.master == Master::Coordinator {
            self.report_progress(ctl);
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let state = self.is_state_stale.then_some(self.state_at);
        let report = (!self.infected.is_empty()).then_some(self.report_at);
        state.into_iter().chain(report).chain(self.joins.deadline()).min()
    }
}

pub(crate) fn wall() -> Wall {
    Wall(nanos(wall_clock()))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
