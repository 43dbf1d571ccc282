//! What must hold in every world, seen from outside: from what travels, from what nodes tell, and
//! from what anybody may ask them. No code of the core decides here whether the core is right.
//!
//! | rule | says |
//! |---|---|
//! | [`Rule::IncarnationFell`] | what a node knows of a member never gets older, unless it forgot it or the name moved |
//! | [`Rule::TwoStatements`] | one incarnation of a member has one address and one meta, unless links change bytes and nothing notices |
//! | [`Rule::Resurrected`] | who is dead or left comes back with a higher incarnation only, unless forgotten or moved |
//! | [`Rule::DatagramTooLong`] | no datagram exceeds the limit |
//! | [`Rule::OverLimit`] | nothing that a node tells the size of exceeds its limit: members, updates, rumours and their payloads, events, seeds, streams and their buffers, keys, proxies, health |
//! | [`Rule::Unaccounted`] | datagrams and events are counted, each of them, and so are the rumours, questions and messages that a member's datagram brings |
//! | [`Rule::RumorTwice`] | no rumour is told twice to one life of a process while it is remembered |
//! | [`Rule::OverBudget`] | no rumour is repeated more often than its budget allows |
//! | [`Rule::SentBack`] | no rumour is forwarded to whom it came from |
//! | [`Rule::Starved`] | no rumour waits while tick after tick carries other news to those who understand it |
//! | [`Rule::Hasty`] | no probe fails at the moment at which whoever stood still wakes |
//! | [`Rule::Reflected`] | nobody sends to an address that only a stranger named |
//! | [`Rule::Merged`] | nobody sees a member of a cluster with another label |
//! | [`Rule::FalseAlarm`] | in a healthy cluster nobody who runs is reported as failed |
//! | [`Rule::LeaveAsFailure`] | in a healthy cluster nobody who said goodbye is reported as failed |
//! | [`Rule::NonceTwice`] | no two encrypted datagrams have the same nonce |
//! | [`Rule::GossipToLeft`] | nobody gossips to a member that it knows to have left |
//! | [`Rule::Leapt`] | nobody who knows a member believes a number far beyond what it said itself |
//! | [`Rule::Hijacked`] | no name goes where its owner never was, before the gone may be replaced |
//! | [`Rule::Harried`] | nobody refutes more than once in a gossip interval |
//! | [`Rule::Garbled`] | applications get what applications told, unless links change bytes and nothing notices |

mod carried;
mod forged;
mod nonces;
mod silence;

use core::fmt;
use core::hash::Hasher as _;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rumormill::{
    Cause, Delivery, Event, Fact, Incarnation, Instant, KEYS_MAX, Member, MemberState, Mode, Node,
    NodeName, SEEDS_MAX, ShortId,
};
use siphasher::sip::SipHasher13;
use thiserror::Error;

use crate::world::{ProcessId, Watch};
use carried::{Books, Carried, Load, Told};
use forged::Owners;
use nonces::Nonces;
use silence::told_after_goodbye;

/// Most links that follow from names alone: two in each of two rings.
const FLOOR_LINKS: u32 = 4;
/// Datagrams that are kept for whoever wants to send them again.
const CAPTURED_MAX: usize = 256;
/// Members of a node that are looked at in every turn; more of them less often.
const WALKED_EACH_TURN: usize = 64;
/// One in this many is kept.
const CAPTURE_EVERY: u64 = 7;

/// This many datagrams of ticks in a row may go out without a rumour that waits.
const PASSED_OVER_MAX: u32 = 20;

/// Something that must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table of the module says what each is")]
pub enum Rule {
    IncarnationFell,
    TwoStatements,
    Resurrected,
    DatagramTooLong,
    OverLimit,
    Unaccounted,
    RumorTwice,
    OverBudget,
    SentBack,
    Starved,
    Hasty,
    Reflected,
    Merged,
    FalseAlarm,
    LeaveAsFailure,
    NonceTwice,
    GossipToLeft,
    Leapt,
    Hijacked,
    Harried,
    Garbled,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IncarnationFell => "a member's incarnation fell",
            Self::TwoStatements => "one incarnation has two addresses or metas",
            Self::Resurrected => "a dead member came back without a higher incarnation",
            Self::DatagramTooLong => "a datagram is too long",
            Self::OverLimit => "a limit is exceeded",
            Self::Unaccounted => "something is not counted",
            Self::RumorTwice => "a rumour was told twice",
            Self::OverBudget => "a rumour was repeated too often",
            Self::SentBack => "a rumour was forwarded to whom it came from",
            Self::Starved => "a rumour starves",
            Self::Hasty => "a probe failed by the time for which its process stood still",
            Self::Reflected => "a datagram went to a stranger's victim",
            Self::Merged => "two clusters have merged",
            Self::FalseAlarm => "a healthy member was reported as failed",
            Self::LeaveAsFailure => "a goodbye was reported as a failure",
            Self::NonceTwice => "a nonce was used twice",
            Self::GossipToLeft => "a member that left was gossiped to",
            Self::Leapt => "a member's incarnation leapt where it never was",
            Self::Hijacked => "a name went where its owner never was",
            Self::Harried => "refutations follow each other too fast",
            Self::Garbled => "an application got what nobody told",
        })
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{rule}: {detail} (process {} at {at:?})", process.index())]
pub struct Breach {
    /// Which.
    pub rule: Rule,
    /// When.
    pub at: Instant,
    /// By whom.
    pub process: ProcessId,
    /// How.
    pub detail: String,
}

/// What a process is known to know of a member.
#[derive(Clone, Debug)]
struct Seen {
    name: NodeName,
    addr: SocketAddr,
    incarnation: Incarnation,
    state: MemberState,
    meta: u64,
    /// Since when it is known to be gone.
    gone_at: Option<Instant>,
}

/// Whether somebody is there, as the sender sees it. Copies for either have a budget of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Recipient {
    Alive,
    Doubtful,
}

/// What was seen of one life of a process.
#[derive(Debug, Default)]
struct Observed {
    /// In the order in which the node lists its members.
    members: Vec<Seen>,
    /// They were forgotten here, because events were lost.
    resynced: bool,
    next_event: u64,
    /// Most that waited at a time in this turn.
    events: usize,
    events_dropped: u64,
    sent: (u64, u64),
    received: (u64, u64),
    rumors: BTreeMap<ShortId, Instant>,
    copies: BTreeMap<(ShortId, Recipient), u32>,
    /// What was forwarded in this turn, before the application was told where it had come from.
    forwarded: Vec<(ShortId, SocketAddr)>,
    passed_over: u32,
    refuted_at: Option<Instant>,
    most_live: usize,
    turns: usize,
    told: Told,
    /// At the end of the last turn.
    books: Books,
    /// What came in this turn, if it is known.
    load: Option<Load>,
}

/// What was stated under one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Statement {
    addr: SocketAddr,
    meta: u64,
}

/// Watches a world, and keeps the first breach.
#[derive(Debug, Default)]
pub struct Checker {
    breach: Option<Breach>,
    observed: Vec<Observed>,
    statements: BTreeMap<NodeName, BTreeMap<Incarnation, Statement>>,
    /// Names of which one incarnation may have been stated twice, by no fault of the core.
    excused: BTreeSet<NodeName>,
    /// Which cluster a name belongs to, if there is more than one.
    clusters: BTreeMap<NodeName, u8>,
    /// Where those of the other cluster are, and how often they called.
    apart: BTreeSet<IpAddr>,
    crossed: u64,
    victims: BTreeSet<SocketAddr>,
    owners: Owners,
    /// Whether statements may change on the way without anybody noticing.
    is_garbling: bool,
    /// Who runs, while the cluster is healthy.
    healthy: Option<BTreeSet<NodeName>>,
    leaving: BTreeSet<NodeName>,
    nonces: Nonces,
    carried: Carried,
    captured: VecDeque<(SocketAddr, Box<[u8]>)>,
    traffic: u64,
    captures: bool,
}

impl Checker {
    /// What was broken first, if anything was.
    #[must_use]
    pub const fn breach(&self) -> Option<&Breach> {
        self.breach.as_ref()
    }

    /// Somebody makes statements in this name: the rules about incarnations do not hold for it.
    pub fn excuse(&mut self, name: &[u8]) {
        if let Ok(name) = NodeName::new(name) {
            self.excused.insert(name);
        }
    }

    /// Links change bytes and not all datagrams have a checksum: what is stated is not compared.
    pub const fn expect_garbling(&mut self) {
        self.is_garbling = true;
    }

    /// This name belongs to this cluster, and must not be seen from another.
    pub fn belongs(&mut self, name: NodeName, cluster: u8) {
        self.clusters.insert(name, cluster);
    }

    /// The members of another cluster than the first live at this address.
    pub fn lives_apart(&mut self, ip: IpAddr) {
        self.apart.insert(ip);
    }

    /// How many calls came to the first cluster from another one.
    #[must_use]
    pub const fn crossed(&self) -> u64 {
        self.crossed
    }

    fn cross(&mut self, from: SocketAddr, node: &Node) {
        let crosses =
            self.apart.contains(&from.ip()) && !self.apart.contains(&node.local().addr.ip());
        self.crossed += u64::from(crosses);
    }

    /// Nobody may send anything there.
    pub fn protect(&mut self, victim: SocketAddr) {
        self.victims.insert(victim);
    }

    /// From now on the cluster is healthy, and these run.
    pub fn is_healthy(&mut self, running: impl IntoIterator<Item = NodeName>) {
        self.healthy = Some(running.into_iter().collect());
    }

    /// This one says goodbye in a healthy cluster.
    pub fn leaves(&mut self, name: NodeName) {
        self.leaving.insert(name);
    }

    /// Keeps some of the datagrams that arrive.
    pub const fn capture(&mut self) {
        self.captures = true;
    }

    /// Some of the last datagrams, with where they came from.
    #[must_use]
    pub const fn captured(&self) -> &VecDeque<(SocketAddr, Box<[u8]>)> {
        &self.captured
    }

    pub(crate) fn broken(&mut self, rule: Rule, at: Instant, process: ProcessId, detail: String) {
        self.breach.get_or_insert(Breach { rule, at, process, detail });
    }

    fn observed(&mut self, id: ProcessId) -> &mut Observed {
        if self.observed.len() <= id.index() {
            self.observed.resize_with(id.index() + 1, Observed::default);
        }
        &mut self.observed[id.index()]
    }

    // ── Members ─────────────────────────────────────────────────────────────────────────────────

    fn check_members(&mut self, at: Instant, id: ProcessId, node: &Node) {
        // Taken out, so that the rest of the checker can be told while it is walked.
        let mut seen = core::mem::take(&mut self.observed(id).members);
        let resynced = core::mem::take(&mut self.observed(id).resynced);
        for (index, member) in node.members().enumerate() {
            align(&mut seen, index, &member);
            match seen.get_mut(index).filter(|seen| seen.name == *member.name) {
                Some(seen) if is_same(seen, &member) => {}
                Some(seen) => {
                    let mut now = sight(at, &member);
                    if !seen.state.is_live() && !now.state.is_live() {
                        now.gone_at = seen.gone_at;
                    }
                    self.compare(at, id, seen, &now);
                    self.check_owner(at, id, node, (seen, &now));
                    *seen = now;
                }
                None => {
                    let mut now = sight(at, &member);
                    if resynced {
                        // Since when it is gone is forgotten here, not there.
                        now.gone_at = now.gone_at.and(Some(Instant::ZERO));
                    }
                    self.check_cluster(at, id, node, &now);
                    self.check_statement(at, id, &now);
                    seen.insert(index, now);
                }
            }
        }
        seen.truncate(node.members().count());
        self.observed(id).members = seen;
    }

    fn compare(&mut self, at: Instant, id: ProcessId, before: &Seen, now: &Seen) {
        self.check_statement(at, id, now);
        if before.addr != now.addr || self.excused.contains(&now.name) {
            return;
        }
        let detail = || {
            let (was, is) = (before.incarnation, now.incarnation);
            format!("{} was {} at {was}, is {} at {is}", now.name, before.state, now.state)
        };
        if now.incarnation < before.incarnation {
            self.broken(Rule::IncarnationFell, at, id, detail());
        }
        let is_back = !before.state.is_live() && now.state.is_live();
        if is_back && now.incarnation <= before.incarnation {
            self.broken(Rule::Resurrected, at, id, detail());
        }
    }

    /// What strangers say of a member, in its name or another, stays within bounds.
    fn check_owner(
        &mut self,
        at: Instant,
        id: ProcessId,
        node: &Node,
        (before, now): (&Seen, &Seen),
    ) {
        if self.owners.has_leapt(before, now) {
            let detail =
                format!("{}: from {} to {}", now.name, before.incarnation, now.incarnation);
            self.broken(Rule::Leapt, at, id, detail);
        }
        if before.addr != now.addr && self.owners.is_hijacked(at, before, now, node.params()) {
            let detail =
                format!("{}, {}: from {} to {}", now.name, before.state, before.addr, now.addr);
            self.broken(Rule::Hijacked, at, id, detail);
        }
    }

    fn check_refutation(&mut self, at: Instant, id: ProcessId, node: &Node) {
        let before = self.observed(id).refuted_at.replace(at);
        let pause = node.params().gossip_interval.unwrap_or_default() * 9 / 10;
        if let Some(since) = before.map(|before| at.saturating_since(before)).filter(|s| *s < pause)
        {
            self.broken(Rule::Harried, at, id, format!("the last was {since:?} ago"));
        }
    }

    /// Who is alive was stated to be so, under this incarnation, by itself. An accusation raises
    /// what is known without saying anything new.
    fn check_statement(&mut self, at: Instant, id: ProcessId, now: &Seen) {
        let is_stated = now.state == MemberState::Alive && !self.is_garbling;
        if !is_stated || self.excused.contains(&now.name) {
            return;
        }
        let statement = Statement { addr: now.addr, meta: now.meta };
        let known = self.statements.entry(now.name.clone()).or_default();
        let first = *known.entry(now.incarnation).or_insert(statement);
        if first != statement {
            let detail = format!("{} at {}: {first:?}, {statement:?}", now.name, now.incarnation);
            self.broken(Rule::TwoStatements, at, id, detail);
        }
    }

    fn check_cluster(&mut self, at: Instant, id: ProcessId, node: &Node, now: &Seen) {
        if self.clusters.is_empty() {
            return;
        }
        let ours = self.clusters.get(node.local().name);
        let theirs = self.clusters.get(&now.name);
        if theirs.is_some() && ours != theirs {
            self.broken(Rule::Merged, at, id, format!("it sees {}", now.name));
        }
    }

    // ── Limits and counters ─────────────────────────────────────────────────────────────────────

    fn check_limits(&mut self, at: Instant, id: ProcessId, node: &Node, streams: usize) {
        let params = node.params();
        let members = node.members().count();
        let limits = [
            ("bytes of rumours", node.rumor_bytes_waiting(), 2 * params.rumor_queue_bytes_max),
            ("bytes of payloads", node.payload_bytes_kept(), params.payload_cache_bytes_max),
            ("remembered rumours", node.rumors_remembered(), 2 * params.seen_max),
            ("bytes of streams", node.stream_bytes(), params.stream_buffers_max),
            ("streams of its own", node.streams_open(), params.streams_max),
            ("keys", node.keyring().keys().count(), KEYS_MAX),
            ("plain members served", node.stands_in_for().count(), members),
            ("members", members, params.members_max),
            ("updates", node.updates_waiting(), members),
            ("seeds", node.seeds_waiting(), SEEDS_MAX),
            ("streams", streams, params.streams_max),
            ("events", core::mem::take(&mut self.observed(id).events), params.events_max),
            ("health", node.health() as usize, params.awareness_max as usize - 1),
        ];
        for (what, is, max) in limits {
            if is > max {
                self.broken(Rule::OverLimit, at, id, format!("{is} {what}, at most {max}"));
            }
        }
    }

    fn check_counters(&mut self, at: Instant, id: ProcessId, node: &Node) {
        let stats = node.stats();
        let observed = self.observed(id);
        let pairs = [
            ("datagrams sent", stats.packets_sent, observed.sent.0),
            ("bytes sent", stats.bytes_sent, observed.sent.1),
            ("datagrams received", stats.packets_received, observed.received.0),
            ("bytes received", stats.bytes_received, observed.received.1),
            ("events dropped", stats.events_dropped, observed.events_dropped),
        ];
        for (what, counted, seen) in pairs {
            if counted != seen {
                let detail = format!("{what}: it counts {counted}, {seen} were seen");
                self.broken(Rule::Unaccounted, at, id, detail);
            }
        }
    }

    fn check_books(&mut self, at: Instant, id: ProcessId, node: &Node) {
        let observed = self.observed(id);
        let books = Books::of(node.stats(), observed.told);
        let (before, load) = (core::mem::replace(&mut observed.books, books), observed.load.take());
        if let Some(detail) = books.lacks(&before, load, &node.params().label) {
            self.broken(Rule::Unaccounted, at, id, detail);
        }
    }

    fn check_copies(&mut self, at: Instant, id: ProcessId, node: &Node, to: SocketAddr) {
        let datagram = node.last_datagram();
        let is_repeated = datagram.cause != Cause::Forward && !datagram.rumors().is_empty();
        if !is_repeated || !node.params().drops_duplicates() {
            return;
        }
        let Some(recipient) = recipient(node, to) else { return };
        let observed = self.observed(id);
        observed.most_live = observed.most_live.max(node.live_members());
        let params = node.params();
        let has_trees = params.rumor_mode == Mode::Matching && params.prune;
        if has_trees && datagram.cause == Cause::Repair {
            // Who asks twice gets it twice.
            return;
        }
        let budget = if has_trees {
            // Once along each link.
            u32::try_from(params.neighbors.len()).unwrap_or(u32::MAX) + FLOOR_LINKS
        } else {
            budget(params.rumor_retransmit_mult, observed.most_live)
        };
        let mut over = None;
        for &(rumor, copies) in datagram.rumors() {
            let sent = observed.copies.entry((rumor, recipient)).or_default();
            *sent += copies;
            if *sent > budget {
                over = Some((rumor, *sent));
            }
        }
        if let Some((rumor, sent)) = over {
            let detail = format!("{rumor:?} for the {sent}. time, its budget is {budget}");
            self.broken(Rule::OverBudget, at, id, detail);
        }
    }

    /// Where ticks carry members' news and rumours alike.
    fn check_starving(&mut self, at: Instant, id: ProcessId, node: &Node, to: SocketAddr) {
        let (datagram, mode) = (node.last_datagram(), node.params().rumor_mode);
        if datagram.cause != Cause::Tick || mode.is_thesis() || mode.follows_links() {
            return;
        }
        let waits = datagram.rumors().is_empty() && node.rumors_waiting() > 0;
        let could_hear = |member: &Member<'_>| {
            member.addr == to && member.state == MemberState::Alive && member.advert.is_some()
        };
        let observed = self.observed(id);
        if !waits {
            observed.passed_over = 0;
        } else if node.members().any(|member| could_hear(&member)) {
            observed.passed_over += 1;
        }
        if observed.passed_over > PASSED_OVER_MAX {
            let detail = format!("{} wait", node.rumors_waiting());
            self.broken(Rule::Starved, at, id, detail);
        }
    }

    fn check_sender(&mut self, at: Instant, id: ProcessId, rumor: ShortId, from: SocketAddr) {
        if self.observed(id).forwarded.contains(&(rumor, from)) {
            self.broken(Rule::SentBack, at, id, format!("{rumor:?} to {from}"));
        }
    }

    fn check_alarm(&mut self, at: Instant, id: ProcessId, name: &NodeName) {
        let Some(healthy) = &self.healthy else { return };
        let rule = if self.leaving.contains(name) {
            Rule::LeaveAsFailure
        } else if healthy.contains(name) {
            Rule::FalseAlarm
        } else {
            return;
        };
        self.broken(rule, at, id, format!("it reports {name}"));
    }

    fn check_rumor(&mut self, at: Instant, id: ProcessId, node: &Node, rumor: ShortId) {
        if !node.params().drops_duplicates() {
            return;
        }
        // Clocks run apart by a tenth at most.
        let remembered: Duration = node.params().seen_for * 9 / 10;
        let before = self.observed(id).rumors.insert(rumor, at);
        if before.is_some_and(|before| at.saturating_since(before) < remembered) {
            self.broken(Rule::RumorTwice, at, id, format!("{rumor:?}"));
        }
    }
}

impl Watch for Checker {
    fn started(&mut self, _: Instant, id: ProcessId, node: &Node) {
        *self.observed(id) = Observed::default();
        self.owners.note(node);
        let local = node.local();
        // An earlier life may have used up what this one begins with, if its clock was ahead.
        let used = self.statements.get(local.name).and_then(|known| known.last_key_value());
        if used.is_some_and(|(used, _)| *used >= local.incarnation) {
            self.excused.insert(local.name.clone());
        }
    }

    fn sent(&mut self, at: Instant, id: ProcessId, node: &Node, to: SocketAddr, bytes: &[u8]) {
        self.carried.sent(node, bytes);
        let observed = self.observed(id);
        observed.told.acks += u64::from(node.last_datagram().cause == Cause::Ack);
        observed.sent.0 += 1;
        observed.sent.1 += bytes.len() as u64;
        let max = node.params().packet_size_max();
        if bytes.len() > max {
            let detail = format!("{} bytes, at most {max}", bytes.len());
            self.broken(Rule::DatagramTooLong, at, id, detail);
        }
        if !node.keyring().is_empty() && !self.nonces.is_new(&node.params().label, bytes) {
            self.broken(Rule::NonceTwice, at, id, format!("to {to}"));
        }
        if let Some(name) = told_after_goodbye(node, to) {
            self.broken(Rule::GossipToLeft, at, id, format!("to {name} at {to}"));
        }
        if self.victims.contains(&to) {
            self.broken(Rule::Reflected, at, id, format!("it sends to {to}"));
        }
        let datagram = node.last_datagram();
        if datagram.cause == Cause::Forward {
            let rumors = datagram.rumors().iter().map(|&(rumor, _)| (rumor, to));
            self.observed(id).forwarded.extend(rumors);
        }
        self.check_copies(at, id, node, to);
        self.check_starving(at, id, node, to);
    }

    fn received(&mut self, _: Instant, id: ProcessId, from: SocketAddr, bytes: &[u8]) {
        let load = self.carried.load(bytes);
        let observed = self.observed(id);
        observed.load = load;
        observed.received.0 += 1;
        observed.received.1 += bytes.len() as u64;
        self.traffic += 1;
        if self.captures && self.traffic.is_multiple_of(CAPTURE_EVERY) {
            if self.captured.len() == CAPTURED_MAX {
                self.captured.pop_front();
            }
            self.captured.push_back((from, bytes.into()));
        }
    }

    fn called(&mut self, _: Instant, _: ProcessId, node: &Node, caller: SocketAddr) {
        self.cross(caller, node);
    }

    fn told(&mut self, at: Instant, id: ProcessId, node: &Node, event: &Event) {
        let observed = self.observed(id);
        // This one waited too. That some were dropped is told beside them.
        let this = usize::from(!matches!(event.fact, Fact::Resync { .. }));
        observed.events = observed.events.max(node.events_waiting() + this);
        let expected = observed.next_event;
        observed.next_event = event.number + 1;
        let skipped = if let Fact::Resync { dropped } = event.fact {
            observed.events_dropped += dropped;
            dropped - 1
        } else {
            0
        };
        if event.number != expected + skipped {
            let detail = format!("event {} comes, {expected} is due", event.number);
            self.broken(Rule::Unaccounted, at, id, detail);
        }
        match &event.fact {
            Fact::Failed { name, .. } => self.check_alarm(at, id, name),
            Fact::Refuted { .. } => self.check_refutation(at, id, node),
            // Perhaps that somebody was forgotten.
            Fact::Resync { .. } => {
                let observed = self.observed(id);
                observed.members.clear();
                observed.resynced = true;
            }
            Fact::Reaped { name } => {
                self.observed(id).members.retain(|seen| seen.name != *name);
            }
            Fact::Message { delivery: Delivery::BestEffort, .. } => {
                self.observed(id).told.messages += 1;
            }
            Fact::Rumor { id: rumor, from, .. } => {
                self.observed(id).told.rumors += 1;
                self.check_rumor(at, id, node, rumor.short());
                self.check_sender(at, id, rumor.short(), *from);
            }
            _ => {}
        }
    }

    fn turned(&mut self, at: Instant, id: ProcessId, node: &Node, streams: usize) {
        if self.breach.is_some() {
            return;
        }
        self.owners.note(node);
        self.observed(id).forwarded.clear();
        // Lists of large clusters are walked every few turns.
        let observed = self.observed(id);
        observed.turns += 1;
        if observed.turns.is_multiple_of(node.live_members().div_ceil(WALKED_EACH_TURN).max(1)) {
            self.check_members(at, id, node);
            self.check_limits(at, id, node, streams);
        }
        self.check_counters(at, id, node);
        self.check_books(at, id, node);
    }
}

/// `None` if several members have the address, of which one is alive and another is not.
fn recipient(node: &Node, to: SocketAddr) -> Option<Recipient> {
    let at = |member: &Member<'_>| member.addr == to;
    let mut are_alive = node.members().filter(at).map(|member| member.state == MemberState::Alive);
    let is_alive = are_alive.next().unwrap_or_default() || node.params().rumor_mode.is_thesis();
    let recipient = if is_alive { Recipient::Alive } else { Recipient::Doubtful };
    are_alive.all(|other| other == is_alive).then_some(recipient)
}

/// Brings what was seen of a member to where it is listed now, if it was seen.
fn align(seen: &mut [Seen], index: usize, member: &Member<'_>) {
    if seen.get(index).is_some_and(|seen| seen.name == *member.name) {
        return;
    }
    let later = seen.iter().skip(index).position(|seen| seen.name == *member.name);
    if let Some(offset) = later {
        seen.swap(index, index + offset);
    }
}

fn is_same(seen: &Seen, member: &Member<'_>) -> bool {
    seen.incarnation == member.incarnation
        && seen.state == member.state
        && seen.addr == member.addr
        && (seen.state != MemberState::Alive || seen.meta == digest(member.meta))
}

fn sight(at: Instant, member: &Member<'_>) -> Seen {
    Seen {
        gone_at: (!member.state.is_live()).then_some(at),
        name: member.name.clone(),
        addr: member.addr,
        incarnation: member.incarnation,
        state: member.state,
        meta: digest(member.meta),
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(3, 4);
    hasher.write(bytes);
    hasher.finish()
}

/// How often a rumour may be sent by a node that knew of this many live members: the
/// multiple of the number of decimal digits.
fn budget(mult: u32, live: usize) -> u32 {
    mult * (live.max(1).ilog10() + 1)
}
