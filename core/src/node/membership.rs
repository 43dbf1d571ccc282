//! What is said about members, and what follows from it (protocol page §4.4-4.9).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use super::plausibility::Hearing;
use super::{Leaving, Node};
use crate::event::Fact;
use crate::identity::{BootEpoch, Incarnation, NodeName};
use crate::member::{
    AccusationVerdict, AliveVerdict, Claim, Keep, MemberId, MemberState, Reclaim, Record, Rtt,
    Subject, Table, can_exchange, is_refutable, judge_alive, judge_dead, judge_suspect,
};
use crate::scale::{retransmit_limit, suspicion_timeout};
use crate::suspicion::{Bounds, Suspicion};
use crate::time::Instant;
use crate::wire::message::{Accusation, Alive, MessageType, NodeAddr, NodeState, WireState};
use crate::wire::msgpack::Blob;
use crate::wire::{Full, PORTS_SINCE, Sink, encoded_len};

/// Longest time that a goodbye is waited for.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A name conflict is told this often at most, however often it is heard of.
const CONFLICT_PAUSE: Duration = Duration::from_secs(10);

/// A queued membership message. The fields that the record has are read from it when the message
/// is composed; a newer statement replaces the queued one, so they cannot differ.
#[derive(Debug)]
pub(super) enum Update {
    Alive(MemberId),
    Suspect { member: MemberId, from: NodeName },
    Dead { member: MemberId, from: NodeName },
}

impl Update {
    const fn member(&self) -> MemberId {
        match self {
            Self::Alive(member) | Self::Suspect { member, .. } | Self::Dead { member, .. } => {
                *member
            }
        }
    }

    /// Writes the message; [`Full`] if it does not fit. An update about a member that was reaped
    /// writes nothing.
    pub(super) fn encode<S: Sink + ?Sized>(&self, table: &Table, sink: &mut S) -> Result<(), Full> {
        let Some(record) = table.get(self.member()) else { return Err(Full) };
        match self {
            Self::Alive(_) => alive_of(record).encode(sink),
            Self::Suspect { from, .. } => {
                accusation_of(record, from).encode(MessageType::SUSPECT, sink)
            }
            Self::Dead { from, .. } => accusation_of(record, from).encode(MessageType::DEAD, sink),
        }
    }
}

/// What a member says about itself, as we heard it.
pub(super) fn alive_of(record: &Record) -> Alive<'_> {
    Alive {
        incarnation: record.incarnation,
        node: record.name.as_bytes().into(),
        addr: record.addr.ip_bytes().into(),
        port: record.addr.port,
        meta: Blob::nil_if_empty(record.meta()),
        vsn: record.versions.as_bytes()[..].into(),
    }
}

pub(super) fn accusation_of<'a>(record: &'a Record, from: &'a NodeName) -> Accusation<'a> {
    Accusation {
        incarnation: record.incarnation,
        node: record.name.as_bytes().into(),
        from: from.as_bytes().into(),
    }
}

/// A member's new meta beside its old one.
#[derive(Debug)]
struct Change {
    before: Arc<[u8]>,
    meta: Arc<[u8]>,
    /// The boot epochs in our tag in either, if it has one.
    epochs: [Option<BootEpoch>; 2],
}

impl Change {
    fn begin(record: &mut Record, meta: &[u8]) -> Self {
        let epoch = |record: &Record| record.advert().map(|advert| advert.epoch);
        let (before, old) = (record.meta().into(), epoch(record));
        record.set_meta(meta);
        Self { before, meta: meta.into(), epochs: [old, epoch(record)] }
    }

    fn is_new_life(&self) -> bool {
        let [old, new] = self.epochs;
        old != new
    }

    /// The member runs Rumormill, as before, and says that it began anew.
    fn is_restart(&self) -> bool {
        self.is_new_life() && self.epochs.iter().all(Option::is_some)
    }
}

/// Whether the application has been asked about a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Approval {
    /// It has to be, if it wants to.
    Needed,
    /// It said yes.
    Given,
}

impl Node {
    // ── Statements from the wire ────────────────────────────────────────────────────────────────

    /// `from` is the sender of the datagram, where there is one.
    pub(super) fn on_alive(
        &mut self,
        from: Option<SocketAddr>,
        alive: &Alive<'_>,
        hearing: Hearing,
    ) {
        let Ok(mut claim) = Claim::check(alive, self.addr.port) else {
            self.stats.claims_refused += 1;
            return;
        };
        claim.addr.port = self.port_or_own(claim.addr.port);
        if let Some(from) = from
            && !(self.params.allows(from.ip()) && self.allows(&claim))
        {
            self.stats.outsiders_refused += 1;
            return;
        }
        if !self.is_implausible(claim.name, claim.incarnation, hearing) {
            self.apply_claim(&claim, Approval::Needed);
        }
    }

    /// Who speaks protocol 1 has one port for everybody, its own (protocol page §2.5).
    pub(super) fn port_or_own(&self, port: u16) -> u16 {
        let one_for_all = self.params.protocol_version < PORTS_SINCE;
        if port == 0 || one_for_all { self.addr.port } else { port }
    }

    fn allows(&self, claim: &Claim<'_>) -> bool {
        self.params.allows(claim.addr.socket_addr().ip())
    }

    /// Believes a claim, or does whatever else it calls for.
    pub(super) fn apply_claim(&mut self, claim: &Claim<'_>, approval: Approval) {
        let known = self.table.find(claim.name);
        let subject = self.subject(known);
        if subject == Subject::Me && self.leaving != Leaving::No {
            return;
        }
        // About ourselves it is refuted: Go peers believe it.
        if subject == Subject::Other && !can_exchange(self.my_record().versions, claim.versions) {
            self.stats.claims_refused += 1;
            return;
        }
        let record = known.and_then(|id| self.table.get(id));
        if record.is_none_or(|record| record.addr != claim.addr) && !self.allows(claim) {
            self.stats.outsiders_refused += 1;
            return;
        }
        let newcomer = record.is_none_or(|record| !record.state.is_live());
        let must_ask = newcomer && self.params.ask_joins && approval == Approval::Needed;
        let reclaim = self.reclaim(record, claim);
        match (judge_alive(record, subject, claim, reclaim, self.now), known) {
            (AliveVerdict::Insert | AliveVerdict::Update, _) if must_ask => self.ask_join(claim),
            (AliveVerdict::Insert, None) => self.insert_member(claim),
            (AliveVerdict::Update, Some(id)) => self.update_member(id, claim),
            (AliveVerdict::Refute, Some(_)) => self.refute(claim.incarnation, None),
            (AliveVerdict::Doubtful { until }, _) => self.hold_takeover(claim, until),
            (AliveVerdict::Conflict, Some(id)) => self.report_conflict(id, claim),
            (_, _) => {}
        }
    }

    fn reclaim(&self, known: Option<&Record>, claim: &Claim<'_>) -> Reclaim {
        // Whoever is wrongly said to have left has as long to contradict as a suspect has. Most claims
        // are nothing of the kind, and the formula has a logarithm in it.
        let takes_over = known.is_some_and(|known| known.addr != claim.addr);
        let left_after = if takes_over { self.suspicion_bounds().min } else { Duration::ZERO };
        Reclaim { dead_after: self.params.reclaim_after, left_after }
    }

    pub(super) fn on_suspect(&mut self, from: SocketAddr, suspect: &Accusation<'_>) {
        // A further accuser counts only if we know it, so an unknown one matters for the first
        // accusation alone.
        let matters = |state| state == MemberState::Alive;
        let Some((id, accuser)) = self.parties(from, suspect, matters) else { return };
        self.suspect_member(id, suspect.incarnation, accuser);
    }

    /// `is_answer`: whoever says so answers our probe in the same datagram.
    pub(super) fn on_dead(&mut self, from: SocketAddr, dead: &Accusation<'_>, is_answer: bool) {
        let Some((id, reporter)) = self.parties(from, dead, MemberState::is_live) else { return };
        if id == self.me && dead.incarnation < self.incarnation {
            if is_answer {
                self.repeat_refutation();
            }
            return;
        }
        let goodbye = *dead.node == *dead.from;
        // Like what a peer's list says: there may be an answer to it that we have yet to hear.
        if self.is_dazed && !goodbye && id != self.me {
            return self.suspect_member(id, dead.incarnation, reporter);
        }
        let state = if goodbye { MemberState::Left } else { MemberState::Dead };
        self.bury_member(id, dead.incarnation, state, reporter);
    }

    /// Applies a peer's view of a member, from a push/pull (protocol page §4.8). What it calls
    /// dead is only suspect to us, so that the member has a chance to refute.
    pub(super) fn merge_member(&mut self, node: &NodeState<'_>, hearing: Hearing) {
        let incarnation = node.alive.incarnation;
        match node.state {
            WireState::ALIVE => self.on_alive(None, &node.alive, hearing),
            _ if !is_refutable(incarnation) => self.stats.claims_refused += 1,
            _ if self.is_implausible(&node.alive.node, incarnation, hearing) => {}
            WireState::LEFT => {
                let Some(id) = self.table.find(&node.alive.node) else { return };
                let Some(name) = self.name_of(id) else { return };
                self.bury_member(id, incarnation, MemberState::Left, name);
            }
            WireState::DEAD | WireState::SUSPECT => {
                let Some(id) = self.table.find(&node.alive.node) else { return };
                self.suspect_member(id, incarnation, self.name.clone());
            }
            WireState(_) => {}
        }
    }

    /// The accused member and the accuser's name; `None` if the accused is unknown or the message
    /// makes no sense. An unknown accuser's name is copied only if it `matters` in the accused's
    /// present state.
    fn parties(
        &mut self,
        from: SocketAddr,
        accusation: &Accusation<'_>,
        matters: impl FnOnce(MemberState) -> bool,
    ) -> Option<(MemberId, NodeName)> {
        if !is_refutable(accusation.incarnation) {
            self.stats.claims_refused += 1;
            return None;
        }
        let id = self.table.find(&accusation.node)?;
        let hearing = Hearing::Hearsay(Some(from));
        if self.is_implausible(&accusation.node, accusation.incarnation, hearing) {
            return None;
        }
        if let Some(accuser) = self.table.find(&accusation.from) {
            return Some((id, self.name_of(accuser)?));
        }
        let state = self.table.get(id)?.state;
        if !matters(state) {
            return None;
        }
        let name = NodeName::new(&*accusation.from);
        self.stats.claims_refused += u64::from(name.is_err());
        Some((id, name.ok()?))
    }

    fn subject(&self, id: Option<MemberId>) -> Subject {
        if id == Some(self.me) { Subject::Me } else { Subject::Other }
    }

    // ── What follows ────────────────────────────────────────────────────────────────────────────

    fn insert_member(&mut self, claim: &Claim<'_>) {
        let Ok(name) = NodeName::new(claim.name) else { return };
        self.clear_graves(claim.addr, true);
        let record = Record::alive(name, claim, self.now);
        let Ok(id) = self.table.insert(record, &mut self.membership_rng) else {
            self.stats.members_refused += 1;
            return;
        };
        self.queue_update(Update::Alive(id));
        let fact = self.joined_fact(id);
        self.tell(fact);
    }

    fn update_member(&mut self, id: MemberId, claim: &Claim<'_>) {
        let moved = self.table.get(id).is_some_and(|record| record.addr != claim.addr);
        if moved {
            self.clear_graves(claim.addr, false);
        }
        if self.table.set_addr(id, claim.addr).is_err() {
            self.stats.members_refused += 1;
            return;
        }
        let Some(record) = self.table.get_mut(id) else { return };
        let old_state = record.state;
        let changed = (*record.meta() != *claim.meta).then(|| Change::begin(record, claim.meta));
        record.versions = claim.versions;
        record.incarnation = claim.incarnation;
        let new_life = changed.as_ref().is_some_and(Change::is_new_life);
        if moved || !old_state.is_live() || new_life {
            self.troubles.forget(id);
            record.rtt = Rtt::default();
        }
        let name = record.name.clone();
        if changed.is_some() {
            self.table.note_change();
        }
        if old_state != MemberState::Alive {
            self.table.set_state(id, MemberState::Alive, self.now);
        }
        self.queue_update(Update::Alive(id));
        if !old_state.is_live() {
            let fact = self.joined_fact(id);
            self.tell(fact);
            return;
        }
        if old_state == MemberState::Suspect {
            self.tell(Fact::Recovered { name: name.clone(), incarnation: claim.incarnation });
        }
        if let Some(change) = changed {
            let restarted = change.is_restart();
            let Change { before, meta, .. } = change;
            self.tell(match restarted {
                true => Fact::Restarted { name, meta },
                false => Fact::Updated { name, before, meta },
            });
        }
    }

    fn report_conflict(&mut self, id: MemberId, claim: &Claim<'_>) {
        self.stats.conflicts += 1;
        let due = self.conflict_told_at.is_none_or(|at| at + CONFLICT_PAUSE <= self.now);
        let Some(record) = self.table.get(id).filter(|_| due) else { return };
        let fact = Fact::Conflict {
            name: record.name.clone(),
            existing: record.addr.socket_addr(),
            other: claim.addr.socket_addr(),
        };
        self.conflict_told_at = Some(self.now);
        self.tell(fact);
    }

    /// Somebody suspects a member: ourselves after a failed probe, or a peer.
    pub(super) fn suspect_member(
        &mut self,
        id: MemberId,
        incarnation: Incarnation,
        accuser: NodeName,
    ) {
        let Some(record) = self.table.get(id) else { return };
        match judge_suspect(record, self.subject(Some(id)), incarnation) {
            AccusationVerdict::Stale => {}
            AccusationVerdict::Refute => self.refute(incarnation, Some(accuser)),
            AccusationVerdict::Confirm => self.confirm_suspicion(id, accuser),
            AccusationVerdict::Accept => self.begin_suspicion(id, incarnation, accuser),
        }
    }

    fn begin_suspicion(&mut self, id: MemberId, incarnation: Incarnation, accuser: NodeName) {
        let by = self.table.find(accuser.as_bytes());
        let suspicion = Suspicion::start(self.now, self.suspicion_bounds(), by);
        let deadline = suspicion.deadline();
        self.table.suspect(id, suspicion, self.now);
        let Some(record) = self.table.get_mut(id) else { return };
        record.incarnation = incarnation;
        let name = record.name.clone();
        self.schedule_verdict(deadline, id);
        self.queue_update(Update::Suspect { member: id, from: accuser.clone() });
        self.tell(Fact::Suspected { name, accuser, incarnation });
    }

    /// Only accusers that we know as live members count: an outsider cannot speed up a verdict by
    /// inventing names.
    fn confirm_suspicion(&mut self, id: MemberId, accuser: NodeName) {
        let Some(by) = self.table.find(accuser.as_bytes()) else { return };
        if !self.table.get(by).is_some_and(|record| record.state.is_live()) {
            return;
        }
        let Some(suspicion) = self.table.suspicion_mut(id) else { return };
        if suspicion.confirm(by) {
            let deadline = suspicion.deadline();
            self.schedule_verdict(deadline, id);
            self.queue_update(Update::Suspect { member: id, from: accuser });
        }
    }

    pub(super) fn schedule_verdict(&mut self, deadline: Instant, id: MemberId) {
        self.suspicions.push(Reverse((deadline, id)));
        self.tidy_suspicions();
    }

    /// A refuted, shortened or reaped suspicion leaves its old deadline behind. They are thrown out
    /// when they are the larger part, so that a quick alternation of suspicion and refutation
    /// costs no memory.
    fn tidy_suspicions(&mut self) {
        if self.suspicions.len() > 2 * self.table.len() {
            let running = self.table.suspicions();
            self.suspicions =
                running.map(|(id, suspicion)| Reverse((suspicion.deadline(), id))).collect();
        }
    }

    /// How long a suspicion that begins now may last. With fewer members than confirmations
    /// expected, nobody could confirm, and the shortest time holds from the start.
    pub(super) fn suspicion_bounds(&self) -> Bounds {
        let nodes = self.table.len();
        let expected = self.params.suspicion_mult.saturating_sub(2);
        let others = u32::try_from(nodes.saturating_sub(2)).unwrap_or(u32::MAX);
        let min = suspicion_timeout(self.params.suspicion_mult, nodes, self.suspicion_interval());
        Bounds {
            min,
            max: min.saturating_mul(self.params.suspicion_max_mult),
            expected: if others < expected { 0 } else { expected },
        }
    }

    /// Condemns suspects whose time is over.
    pub(super) fn run_suspicions(&mut self) {
        while let Some(&Reverse((at, id))) = self.suspicions.peek()
            && at <= self.now
        {
            self.suspicions.pop();
            // It may be an old deadline of a suspicion that has ended or was shortened.
            let Some(record) = self.table.get(id) else { continue };
            let Some(suspicion) = self.table.suspicion(id) else { continue };
            if suspicion.deadline() > self.now {
                continue;
            }
            self.stats.suspicions_expired += 1;
            self.stats.suspicions_expired_lonely += u64::from(suspicion.is_lonely());
            let incarnation = record.incarnation;
            self.bury_member(id, incarnation, MemberState::Dead, self.name.clone());
        }
    }

    /// Somebody says that a member is dead or left.
    fn bury_member(
        &mut self,
        id: MemberId,
        incarnation: Incarnation,
        state: MemberState,
        reported_by: NodeName,
    ) {
        let Some(record) = self.table.get(id) else { return };
        match judge_dead(record, self.subject(Some(id)), incarnation) {
            AccusationVerdict::Stale | AccusationVerdict::Confirm => return,
            AccusationVerdict::Refute => return self.refute(incarnation, Some(reported_by)),
            AccusationVerdict::Accept => {}
        }
        let accusers = self.accusers_of(id);
        self.table.set_state(id, state, self.now);
        let Some(record) = self.table.get_mut(id) else { return };
        record.incarnation = incarnation;
        let (name, addr) = (record.name.clone(), record.addr.socket_addr());
        self.troubles.forget(id);
        if state == MemberState::Dead {
            self.healer.lose(addr, self.now);
        }
        self.queue_update(Update::Dead { member: id, from: reported_by.clone() });
        self.tell(if state == MemberState::Left {
            Fact::Left { name, addr }
        } else {
            Fact::Failed { name, addr, reported_by, accusers }
        });
    }

    fn accusers_of(&self, id: MemberId) -> Vec<NodeName> {
        let accusers = self.table.suspicion(id).map_or(&[][..], Suspicion::accusers);
        accusers.iter().filter_map(|&accuser| self.name_of(accuser)).collect()
    }

    // ── Ourselves ───────────────────────────────────────────────────────────────────────────────

    pub(super) fn set_own_incarnation(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        if let Some(record) = self.table.get_mut(self.me) {
            record.incarnation = incarnation;
        }
    }

    pub(super) fn announce_myself(&mut self) {
        self.queue_update(Update::Alive(self.me));
    }

    /// States new meta under a new incarnation.
    pub(super) fn restate(&mut self, meta: &[u8]) {
        let next = self.incarnation.0.saturating_add(1);
        self.set_own_incarnation(Incarnation(next));
        if let Some(record) = self.table.get_mut(self.me) {
            record.set_meta(meta);
        }
        self.announce_myself();
    }

    pub(super) fn begin_leaving(&mut self) {
        if self.leaving != Leaving::No {
            return;
        }
        self.leaving = Leaving::Until(self.now + LEAVE_TIMEOUT);
        self.seeds.clear();
        self.healer.clear();
        self.table.set_state(self.me, MemberState::Left, self.now);
        // Nothing that this node knows is worth more than its own goodbye: the process may end soon.
        let goodbye = Update::Dead { member: self.me, from: self.name.clone() };
        let len = encoded_len(|sink| goodbye.encode(&self.table, sink));
        let key = self.me.as_u64();
        self.stats.updates_dropped += self.updates.insert_urgent(key, len, goodbye) as u64;
    }

    /// Tells when the goodbye has been sent as often as it should.
    pub(super) fn finish_leaving(&mut self) {
        let Leaving::Until(deadline) = self.leaving else { return };
        let said = !self.updates.contains(self.me.as_u64());
        let alone = self.table.live() == 0;
        if said || alone || deadline <= self.now {
            self.leaving = Leaving::Done;
            self.overlay.requests.take();
            self.tell(Fact::LeaveDone);
        }
    }

    // ── Helpers of the above ────────────────────────────────────────────────────────────────────

    pub(super) fn joined_fact(&self, id: MemberId) -> Fact {
        let record = self.table.get(id).expect("the member was just inserted or found");
        Fact::Joined {
            name: record.name.clone(),
            addr: record.addr.socket_addr(),
            meta: record.meta().into(),
        }
    }

    /// Queues a message about a member in place of an older one.
    fn queue_update(&mut self, update: Update) {
        let len = encoded_len(|sink| update.encode(&self.table, sink));
        let key = update.member().as_u64();
        self.stats.updates_dropped += self.updates.insert(Some(key), len, update, 0) as u64;
    }

    /// How often each update is sent.
    pub(super) fn update_limit(&self) -> u32 {
        retransmit_limit(self.params.retransmit_mult, self.table.len())
    }

    /// Buries and forgets members that have been gone for long, and shuffles the probe order.
    pub(super) fn reap(&mut self) {
        let keep = Keep { gossip: self.params.gossip_to_dead, graves: self.params.remember_dead };
        let mut gone = Vec::new();
        self.table.reap_and_shuffle(
            self.me,
            self.now,
            keep,
            &mut self.membership_rng,
            |id, name| gone.push((id, name)),
        );
        for (id, name) in gone {
            self.bid_farewell(id, name);
        }
        self.tidy_suspicions();
    }

    fn bid_farewell(&mut self, id: MemberId, name: NodeName) {
        self.updates.remove(id.as_u64());
        self.tell(Fact::Reaped { name });
    }

    /// Somebody alive is to be at this address: graves make room.
    fn clear_graves(&mut self, addr: NodeAddr, is_new: bool) {
        if let Some(grave) = self.table.grave_in_the_way(addr, is_new)
            && let Some(name) = self.table.forget_grave(grave)
        {
            self.bid_farewell(grave, name);
        }
    }
}
