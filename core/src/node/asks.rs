//! What waits for a verdict of the application, or for a doubt to pass.
//!
//! memberlist asks its delegates inside the call (protocol page §6, `AliveDelegate` and
//! `MergeDelegate`); this node never calls the application, so what a peer said waits here, in
//! bounded numbers and for a bounded time, and nothing of it is believed or passed on meanwhile.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::Node;
use super::membership::Approval;
use super::streams::Exchange;
use crate::event::{Fact, RemoteMember, StreamFailure};
use crate::hash::Keyed;
use crate::identity::{AskId, NodeName};
use crate::member::{Claim, MemberState, OwnedClaim};
use crate::time::Instant;
use crate::wire::message::{NodeAddr, NodeState, WireState};
use crate::wire::stream::{Inbox, PushPull, StreamMessage};

/// How long a verdict is waited for; after that it counts as a refusal.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Most newcomers that wait for a verdict. Each holds its name and meta, 1 KiB at most.
pub const ASKED_JOINS_MAX: usize = 1_024;

/// Most lists of peers that join us which wait for a verdict, in all and from one IP address. Our
/// own joins have room besides: each seed has one.
const ASKED_MERGES_MAX: (usize, usize) = (16, 4);

/// Most members that [`Fact::AskMerge`] lists.
pub const ASK_MEMBERS_MAX: usize = 1_024;

/// How long a refused newcomer is not asked about again, if it says the same of itself: gossip
/// repeats it many times.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Most refusals that are remembered; the oldest are forgotten.
const REFUSALS_MAX: usize = 4_096;

/// Most names that wait for a doubt to pass.
const DOUBTS_MAX: usize = 64;

/// What the application says to an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Go on as if nobody had been asked.
    Accept,
    /// Drop it.
    Refuse,
}

/// A newcomer that the application was asked about.
#[derive(Debug)]
struct JoinAsk {
    claim: OwnedClaim,
    fingerprint: u64,
    until: Instant,
}

/// A list of members that the application was asked about.
#[derive(Debug)]
struct MergeAsk {
    exchange: Exchange,
    inbox: Inbox,
    until: Instant,
}

/// A takeover of a name whose owner may not have said the goodbye itself.
#[derive(Debug)]
struct Doubt {
    claim: OwnedClaim,
    until: Instant,
}

/// All that waits.
#[derive(Debug)]
pub(super) struct Asks {
    next_id: u64,
    joins: BTreeMap<AskId, JoinAsk>,
    join_names: BTreeMap<NodeName, AskId>,
    merges: BTreeMap<AskId, MergeAsk>,
    merge_bytes: usize,
    doubts: BTreeMap<NodeName, Doubt>,
    refused: BTreeMap<u64, Instant>,
    refused_order: VecDeque<u64>,
    fingerprints: Keyed,
}

impl Asks {
    pub(super) fn new(rng_seed: [u8; 32]) -> Self {
        Self {
            next_id: 0,
            joins: BTreeMap::new(),
            join_names: BTreeMap::new(),
            merges: BTreeMap::new(),
            merge_bytes: 0,
            doubts: BTreeMap::new(),
            refused: BTreeMap::new(),
            refused_order: VecDeque::new(),
            fingerprints: Keyed::new(rng_seed, 2),
        }
    }

    /// Gives lost time back: the application stood still too.
    pub(super) fn postpone(&mut self, by: Duration) {
        for ask in self.joins.values_mut() {
            ask.until += by;
        }
        for ask in self.merges.values_mut() {
            ask.until += by;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        // Joins all wait equally long, so the first asked is the first due.
        let joins = self.joins.values().next().map(|ask| ask.until);
        let merges = self.merges.values().map(|ask| ask.until);
        let doubts = self.doubts.values().map(|doubt| doubt.until);
        joins.into_iter().chain(merges).chain(doubts).min()
    }

    /// Bytes of the lists that wait; the streams' limit covers them too.
    pub(super) const fn merge_bytes(&self) -> usize {
        self.merge_bytes
    }

    fn take_id(&mut self) -> AskId {
        let id = AskId(self.next_id);
        self.next_id += 1;
        id
    }

    /// What a newcomer says of itself, without the incarnation, which changes by itself.
    fn fingerprint(&self, claim: &Claim<'_>) -> u64 {
        let port = claim.addr.port.to_be_bytes();
        self.fingerprints.parts(&[claim.name, claim.addr.ip_bytes(), &port, claim.meta])
    }

    fn is_refused(&self, fingerprint: u64, now: Instant) -> bool {
        self.refused.get(&fingerprint).is_some_and(|&until| until > now)
    }

    fn remember_refusal(&mut self, fingerprint: u64, now: Instant) {
        if self.refused.insert(fingerprint, now + REFUSED_FOR).is_none() {
            self.refused_order.push_back(fingerprint);
        }
        if self.refused_order.len() > REFUSALS_MAX
            && let Some(oldest) = self.refused_order.pop_front()
        {
            self.refused.remove(&oldest);
        }
    }

    fn take_join(&mut self, id: AskId) -> Option<JoinAsk> {
        let ask = self.joins.remove(&id)?;
        self.join_names.remove(&ask.claim.name);
        Some(ask)
    }

    fn take_merge(&mut self, id: AskId) -> Option<MergeAsk> {
        let ask = self.merges.remove(&id)?;
        self.merge_bytes -= ask.inbox.len();
        Some(ask)
    }

    fn take_past_doubt(&mut self, now: Instant) -> Option<OwnedClaim> {
        let name = self.doubts.iter().find(|(_, doubt)| doubt.until <= now)?.0.clone();
        self.doubts.remove(&name).map(|doubt| doubt.claim)
    }

    fn has_room_for(&self, exchange: &Exchange) -> bool {
        if exchange.seed().is_some() {
            return true;
        }
        let served = || self.merges.values().filter(|ask| ask.exchange.seed().is_none());
        let from_there = |ask: &&MergeAsk| ask.exchange.peer.ip() == exchange.peer.ip();
        let (all, per_ip) = ASKED_MERGES_MAX;
        served().count() < all && served().filter(from_there).count() < per_ip
    }

    pub(super) fn check(&self) {
        assert_eq!(self.joins.len(), self.join_names.len(), "every asked newcomer has one name");
        assert!(self.joins.len() <= ASKED_JOINS_MAX, "the asked newcomers stay within their limit");
        assert!(self.doubts.len() <= DOUBTS_MAX, "the doubts stay within their limit");
        assert_eq!(self.refused.len(), self.refused_order.len(), "every refusal has its turn");
        let bytes: usize = self.merges.values().map(|ask| ask.inbox.len()).sum();
        assert_eq!(bytes, self.merge_bytes, "the bytes of the lists are counted");
    }
}

impl Node {
    /// Asks about a newcomer, unless that was done.
    pub(super) fn ask_join(&mut self, claim: &Claim<'_>) {
        let fingerprint = self.asks.fingerprint(claim);
        if self.asks.is_refused(fingerprint, self.now) {
            self.stats.joins_refused += 1;
            return;
        }
        if let Some(id) = self.asks.join_names.get(claim.name)
            && let Some(ask) = self.asks.joins.get_mut(id)
        {
            if ask.fingerprint == fingerprint {
                ask.claim.incarnation = ask.claim.incarnation.max(claim.incarnation);
            }
            return;
        }
        if self.asks.joins.len() >= ASKED_JOINS_MAX {
            self.stats.asks_dropped += 1;
            return;
        }
        let Some(claim) = OwnedClaim::copy(claim) else { return };
        let ask = self.asks.take_id();
        let fact = Fact::AskJoin {
            ask,
            name: claim.name.clone(),
            addr: claim.addr.socket_addr(),
            meta: claim.meta.clone(),
        };
        self.asks.join_names.insert(claim.name.clone(), ask);
        let until = self.now + ASK_TIMEOUT;
        self.asks.joins.insert(ask, JoinAsk { claim, fingerprint, until });
        self.tell(fact);
    }

    /// Asks about a peer's list of members, and keeps it until then.
    pub(super) fn ask_merge(&mut self, exchange: Exchange, inbox: Inbox) {
        let Some(StreamMessage::PushPull(list)) = inbox.message() else { return };
        if !self.asks.has_room_for(&exchange) {
            self.stats.asks_dropped += 1;
            self.refuse_exchange(exchange);
            return;
        }
        let ask = self.asks.take_id();
        let fact = Fact::AskMerge {
            ask,
            peer: exchange.peer,
            seed: exchange.seed(),
            members: remote_members(&list, |port| self.port_or_own(port)),
            total: list.node_count(),
        };
        self.asks.merge_bytes += inbox.len();
        // No longer than the stream itself could have taken.
        let until = self.now + self.params.stream_timeout.min(ASK_TIMEOUT);
        self.asks.merges.insert(ask, MergeAsk { exchange, inbox, until });
        self.tell(fact);
    }

    /// `false` if nobody waits for this verdict any more.
    pub(super) fn on_verdict(&mut self, id: AskId, verdict: Verdict) -> bool {
        if let Some(ask) = self.asks.take_join(id) {
            self.settle_join(&ask, verdict);
            return true;
        }
        let Some(ask) = self.asks.take_merge(id) else { return false };
        self.settle_merge(&ask, verdict);
        true
    }

    fn settle_join(&mut self, ask: &JoinAsk, verdict: Verdict) {
        match verdict {
            // Judged anew: much may have been said about the name meanwhile.
            Verdict::Accept => self.apply_claim(&ask.claim.as_claim(), Approval::Given),
            Verdict::Refuse => {
                self.stats.joins_refused += 1;
                self.asks.remember_refusal(ask.fingerprint, self.now);
            }
        }
    }

    fn settle_merge(&mut self, ask: &MergeAsk, verdict: Verdict) {
        let Some(StreamMessage::PushPull(list)) = ask.inbox.message() else { return };
        let failure = match verdict {
            Verdict::Accept => match self.accept_exchange(ask.exchange, &list) {
                Ok(()) => return,
                Err(error) => StreamFailure::Answer(error),
            },
            Verdict::Refuse => {
                self.stats.merges_refused += 1;
                self.refuse_exchange(ask.exchange);
                StreamFailure::Vetoed
            }
        };
        if let Some(seed) = ask.exchange.seed() {
            self.seed_failed(seed, failure);
        }
    }

    /// Waits with a takeover until the name's owner has had time to contradict the goodbye.
    pub(super) fn hold_takeover(&mut self, claim: &Claim<'_>, until: Instant) {
        self.stats.takeovers_held += 1;
        if let Some(doubt) = self.asks.doubts.get_mut(claim.name) {
            if claim.incarnation > doubt.claim.incarnation
                && let Some(claim) = OwnedClaim::copy(claim)
            {
                *doubt = Doubt { claim, until };
            }
            return;
        }
        if self.asks.doubts.len() < DOUBTS_MAX
            && let Some(claim) = OwnedClaim::copy(claim)
        {
            self.asks.doubts.insert(claim.name.clone(), Doubt { claim, until });
        }
    }

    /// Refuses what nobody answered in time, and applies what was only doubted.
    pub(super) fn run_asks(&mut self) {
        let now = self.now;
        let due = |(&id, until): (&AskId, Instant)| (until <= now).then_some(id);
        let joins = self.asks.joins.iter().map(|(id, ask)| (id, ask.until));
        let merges = self.asks.merges.iter().map(|(id, ask)| (id, ask.until));
        let overdue: Vec<AskId> = joins.chain(merges).filter_map(due).collect();
        for id in overdue {
            self.stats.asks_expired += 1;
            self.on_verdict(id, Verdict::Refuse);
        }
        while let Some(claim) = self.asks.take_past_doubt(now) {
            self.apply_claim(&claim.as_claim(), Approval::Needed);
        }
    }
}

/// The first members of a peer's list, as the application is told of them. Entries that make no
/// sense are left out, as the merge will leave them out.
fn remote_members(list: &PushPull<'_>, port_or_own: impl Fn(u16) -> u16) -> Vec<RemoteMember> {
    let member = |node: NodeState<'_>| {
        let alive = &node.alive;
        Some(RemoteMember {
            name: NodeName::new(&*alive.node).ok()?,
            addr: NodeAddr::from_wire(&alive.addr, port_or_own(alive.port))?.socket_addr(),
            state: state_of(node.state)?,
            meta: Bytes::copy_from_slice(&alive.meta),
        })
    };
    list.nodes().filter_map(member).take(ASK_MEMBERS_MAX).collect()
}

const fn state_of(state: WireState) -> Option<MemberState> {
    match state {
        WireState::ALIVE => Some(MemberState::Alive),
        WireState::SUSPECT => Some(MemberState::Suspect),
        WireState::DEAD => Some(MemberState::Dead),
        WireState::LEFT => Some(MemberState::Left),
        WireState(_) => None,
    }
}
